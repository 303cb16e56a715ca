"""The controls of a live session: set by the window's keys, read by the stylizer and the sinks."""

import math
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pipeline.live.keys import BY_KEY, Action, Binding

CROSS_FADE_SECONDS = 0.5
STRENGTH_STEP = 0.1
# Windows report no release of a key. A held key is repeated after a delay of up to 0.7 s, then quickly.
HOLD_DELAY_SECONDS, RELEASE_SECONDS = 0.9, 0.25
MESSAGE_SECONDS = 2.5

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The controls at one moment, for one frame.

    Attributes:
        weights: share of each style, in [0, 1]; their sum is 1, and one of them is 1 except during a cross-fade.
        style: index of the style that is shown, or that the cross-fade leads to.
        strength: in [0, 1]; 0 leaves the frame as it is.
        keep_colors: whether the frame keeps its colors.
        mirror: whether left and right are swapped.
        show_original: whether the window shows the original; the other sinks are not affected.
    """

    weights: tuple[float, ...]
    style: int
    strength: float
    keep_colors: bool
    mirror: bool
    show_original: bool


class WeightFade(Generic[Name]):
    """Leads from the styles that are shown to those that are chosen; styles may come and go meanwhile.

    Args:
        weights: of the styles that are shown at the start, by name or index.
        seconds: that the way takes.
    """

    def __init__(self, weights: Mapping[Name, float], seconds: float) -> None:
        self._before = self._goal = dict(weights)
        self._seconds = seconds
        self._started_at = -math.inf

    def weights(self, goal: Mapping[Name, float], now: float) -> dict[Name, float]:
        """Return the weights at ``now`` on the way to ``goal``; a way that is changed does not jump."""
        if goal != self._goal:
            self._before, self._goal, self._started_at = self._at(now), dict(goal), now
        return self._at(now)

    def _at(self, now: float) -> dict[Name, float]:
        share = min(max((now - self._started_at) / self._seconds, 0.0), 1.0)
        if share == 1:
            return dict(self._goal)
        names = dict.fromkeys([*self._before, *self._goal])
        return {name: (1 - share) * self._before.get(name, 0.0) + share * self._goal.get(name, 0.0) for name in names}


class CrossFade:
    """Fades from the styles that are shown to the one that is chosen.

    Args:
        count: number of styles; the first is shown at the start.
    """

    def __init__(self, count: int) -> None:
        self.style = 0
        self._count = count
        self._fade = WeightFade({self.style: 1.0}, CROSS_FADE_SECONDS)

    def add(self) -> None:
        """Add a style to choose from."""
        self._count += 1

    def choose(self, style: int, now: float) -> None:
        """Start to fade to a style; an index without a style changes nothing."""
        if 0 <= style < self._count and style != self.style:
            self.style = style
            self._fade.weights({style: 1.0}, now)

    def weights(self, now: float) -> tuple[float, ...]:
        """Return the share of each style."""
        weights = self._fade.weights({self.style: 1.0}, now)
        return tuple(weights.get(index, 0.0) for index in range(self._count))


class Controls:
    """The state of all controls; every method may be called from any thread.

    Args:
        names: the styles to choose from, at least one; the first is shown at the start.
        strength: in [0, 1].
        keep_colors: whether the frames keep their colors.
        mirror: whether left and right are swapped.
        recording: whether to record from the start.
        clock: monotonic seconds.

    Attributes:
        names: the styles.
        quitting: set once the session is to end.
        recording: whether to record.
        help: whether the help is shown.
        full_screen: whether the window fills the screen.

    Raises:
        ValueError: there is no style, or the strength is out of range.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        strength: float = 1.0,
        keep_colors: bool = False,
        mirror: bool = False,
        recording: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not names:
            raise ValueError("at least one style is needed")
        if not 0 <= strength <= 1:
            raise ValueError(f"strength {strength:g} is out of range; it goes from 0 to 1")
        self.names = tuple(names)
        self.quitting = threading.Event()
        self._clock = clock
        self._lock = threading.RLock()
        self._fade = CrossFade(len(names))
        self._strength, self._keep_colors, self._mirror, self.recording = strength, keep_colors, mirror, recording
        self.help = self.full_screen = self._original = self._original_held = False
        self._original_pressed_at = -math.inf
        self._stills = 0
        self._pressed_at: dict[str, float] = {}
        self._last_key = ""
        self._why_no_recording = ""
        self._message, self._message_until = "", -math.inf

    def snapshot(self) -> Snapshot:
        """Return the controls for the frame that is stylized now."""
        with self._lock:
            now = self._clock()
            if self._original_held and now - self._original_pressed_at > RELEASE_SECONDS:
                self._original = self._original_held = False
            weights = self._fade.weights(now)
            return Snapshot(weights, self._fade.style, self._strength, self._keep_colors, self._mirror, self._original)

    def add_style(self, name: str, *, is_chosen: bool) -> None:
        """Add a style at the end, and fade to it if it ``is_chosen``."""
        with self._lock:
            self.names = (*self.names, name)
            self._fade.add()
            if is_chosen:
                self._fade.choose(len(self.names) - 1, self._clock())

    def press(self, key: str) -> Action | None:
        """Do what ``key`` does and return it; None for a key without an action, or one that is only held."""
        binding = BY_KEY.get(key)
        if binding is None:
            return None
        with self._lock:
            now = self._clock()
            since = now - self._pressed_at.get(key, -math.inf)
            is_held = key == self._last_key and since < HOLD_DELAY_SECONDS
            self._pressed_at[key], self._last_key = now, key
            if is_held and not binding.repeats:
                return None
            self._do(binding, key, since, now)
        return binding.action

    def show(self, message: str) -> None:
        """Show ``message`` in the window for a moment."""
        with self._lock:
            self._message, self._message_until = message, self._clock() + MESSAGE_SECONDS

    def quit(self) -> None:
        """End the session."""
        self.quitting.set()

    def take_still(self) -> bool:
        """Return whether to save a still; True once for each key press."""
        with self._lock:
            wanted = self._stills > 0
            self._stills -= wanted
            return wanted

    def refuse_recording(self, reason: str) -> None:
        """Stop recording for good, and show ``reason`` now and whenever the key is pressed."""
        with self._lock:
            self.recording, self._why_no_recording = False, reason
            self.show(reason)

    @property
    def message(self) -> str:
        """The message to show now; empty for none."""
        with self._lock:
            return self._message if self._clock() < self._message_until else ""

    def _do(self, binding: Binding, key: str, since: float, now: float) -> None:
        match binding.action:
            case Action.STYLE:
                self._fade.choose(binding.keys.index(key), now)
            case Action.NEXT_STYLE | Action.PREVIOUS_STYLE:
                step = 1 if binding.action is Action.NEXT_STYLE else -1
                self._fade.choose((self._fade.style + step) % len(self.names), now)
            case Action.STRONGER | Action.WEAKER:
                self._step_strength(up=binding.action is Action.STRONGER)
            case Action.COLORS:
                self._keep_colors = not self._keep_colors
            case Action.MIRROR:
                self._mirror = not self._mirror
            case Action.STILL:
                self._stills += 1
            case Action.RECORD:
                if self._why_no_recording:
                    self.show(self._why_no_recording)
                else:
                    self.recording = not self.recording
            case Action.ORIGINAL:
                self._press_original(since, now)
            case Action.FULL_SCREEN:
                self.full_screen = not self.full_screen
            case Action.HELP:
                self.help = not self.help
            case Action.QUIT:
                self.quitting.set()

    def _step_strength(self, *, up: bool) -> None:
        """Go to the next whole step, so that 0.75 becomes 0.8, and ten steps down from 1 end at 0."""
        steps = round(self._strength / STRENGTH_STEP, 6)
        steps = math.floor(steps) + 1 if up else math.ceil(steps) - 1
        self._strength = round(min(max(steps * STRENGTH_STEP, 0.0), 1.0), 6)

    def _press_original(self, since: float, now: float) -> None:
        """Switch at a tap; show the original while the key is repeated within the keyboard's delay."""
        self._original_pressed_at = now
        self._original_held = since < HOLD_DELAY_SECONDS
        self._original = self._original_held or not self._original
