"""What a person may change while the camera runs: one object, shared by the window and the painter."""

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

CROSS_FADE_SECONDS = 0.5
STRENGTH_STEP = 0.1
# Windows tell of no key that is let go. A key held down is repeated after a delay of up to 0.7 s, then quickly.
HOLD_DELAY_SECONDS, RELEASE_SECONDS = 0.9, 0.25
MESSAGE_SECONDS = 2.5


class Action(Enum):
    """What a key does."""

    STYLE = auto()
    NEXT_STYLE = auto()
    PREVIOUS_STYLE = auto()
    STRONGER = auto()
    WEAKER = auto()
    COLORS = auto()
    MIRROR = auto()
    STILL = auto()
    RECORD = auto()
    ORIGINAL = auto()
    FULL_SCREEN = auto()
    HELP = auto()
    QUIT = auto()


@dataclass(frozen=True, slots=True)
class Binding:
    """Keys that do one thing.

    Attributes:
        keys: their names: a character, or ``left``, ``right``, ``up``, ``down``, ``escape``.
        label: how they are written in the help.
        action: what they do.
        text: what the help says.
        repeats: whether holding the key does it again and again.
    """

    keys: tuple[str, ...]
    label: str
    action: Action
    text: str
    repeats: bool = False


BINDINGS = (
    Binding(tuple("1234567890"), "1 .. 9, 0", Action.STYLE, "style by its number"),
    Binding(("right",), "right", Action.NEXT_STYLE, "next style", repeats=True),
    Binding(("left",), "left", Action.PREVIOUS_STYLE, "style before", repeats=True),
    Binding(("up",), "up", Action.STRONGER, "stronger", repeats=True),
    Binding(("down",), "down", Action.WEAKER, "weaker", repeats=True),
    Binding(("c",), "c", Action.COLORS, "keep colours"),
    Binding(("m",), "m", Action.MIRROR, "mirror"),
    Binding(("s",), "s", Action.STILL, "save a still"),
    Binding(("r",), "r", Action.RECORD, "record, stop"),
    Binding(("b",), "b", Action.ORIGINAL, "original (hold or tap)", repeats=True),
    Binding(("f",), "f", Action.FULL_SCREEN, "full screen"),
    Binding(("h",), "h", Action.HELP, "this help"),
    Binding(("q", "escape"), "q, Esc", Action.QUIT, "quit"),
)
BY_KEY = {key: binding for binding in BINDINGS for key in binding.keys}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one frame is to look like.

    Attributes:
        weights: share of each style, in [0, 1], their sum 1; one of them is 1 unless a cross-fade runs.
        style: index of the style that is shown, or faded to.
        strength: 0 leaves the picture as it is, 1 paints it fully.
        keep_colors: keep the picture's colours.
        mirror: swap left and right, as people know themselves.
        show_original: show the picture unpainted; the window's own affair, other sinks go on as they were.
    """

    weights: tuple[float, ...]
    style: int
    strength: float
    keep_colors: bool
    mirror: bool
    show_original: bool


class Controls:
    """The state of all controls; every method may be called from any thread.

    Args:
        names: the styles to choose from, at least one; the first is shown at the start.
        strength: in [0, 1].
        keep_colors: keep the picture's colours.
        mirror: swap left and right.
        recording: record from the start.
        clock: monotonic seconds.

    Attributes:
        names: the styles.
        quitting: set once the session is to end.

    Raises:
        ValueError: no style, or a strength out of range.
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
        self._lock = threading.Lock()
        self._style = 0
        self._before = self._one_hot(0)
        self._changed_at = -math.inf
        self._strength = strength
        self._keep_colors, self._mirror, self._recording = keep_colors, mirror, recording
        self._help = self._full_screen = self._original = self._held = False
        self._held_at = -math.inf
        self._stills = 0
        self._pressed: dict[str, float] = {}
        self._last_key = ""
        self._no_recording = ""
        self._message = ""
        self._message_until = -math.inf

    def snapshot(self) -> Snapshot:
        """How the frame that is painted now is to look."""
        with self._lock:
            now = self._clock()
            self._let_go(now)
            return Snapshot(
                self._weights(now), self._style, self._strength, self._keep_colors, self._mirror, self._original
            )

    def press(self, key: str) -> Action | None:
        """Do what ``key`` does; return what that was, None for a key without a meaning or one that repeats itself."""
        binding = BY_KEY.get(key)
        if binding is None:
            return None
        with self._lock:
            now = self._clock()
            since = now - self._pressed.get(key, -math.inf)
            self._pressed[key] = now
            is_held = key == self._last_key and since < HOLD_DELAY_SECONDS
            self._last_key = key
            if is_held and not binding.repeats:
                return None
            self._do(binding, key, since, now)
        return binding.action

    def choose(self, style: int) -> None:
        """Fade to the style with this index; one that is not there changes nothing."""
        with self._lock:
            self._fade_to(style, self._clock())

    def set_strength(self, strength: float) -> None:
        """Set the strength, brought into [0, 1]."""
        with self._lock:
            self._strength = min(max(strength, 0.0), 1.0)

    def say(self, message: str) -> None:
        """Show ``message`` in the window for a moment."""
        with self._lock:
            self._message, self._message_until = message, self._clock() + MESSAGE_SECONDS

    def quit(self) -> None:
        """End the session."""
        self.quitting.set()

    def take_still(self) -> bool:
        """Whether a still is wanted; each wish is answered once."""
        with self._lock:
            wanted = self._stills > 0
            self._stills -= wanted
            return wanted

    def refuse_recording(self, reason: str) -> None:
        """Recording is over and not to be had again; the window says ``reason`` to who asks for it."""
        with self._lock:
            self._recording, self._no_recording = False, reason
        self.say(reason)

    @property
    def recording(self) -> bool:
        """Whether the picture is to be recorded."""
        with self._lock:
            return self._recording

    @property
    def help(self) -> bool:
        """Whether the help is shown."""
        with self._lock:
            return self._help

    @property
    def full_screen(self) -> bool:
        """Whether the window fills the screen."""
        with self._lock:
            return self._full_screen

    @property
    def message(self) -> str:
        """What is to be shown just now; empty for nothing."""
        with self._lock:
            return self._message if self._clock() < self._message_until else ""

    def _do(self, binding: Binding, key: str, since: float, now: float) -> None:
        match binding.action:
            case Action.STYLE:
                self._fade_to(binding.keys.index(key), now)
            case Action.NEXT_STYLE | Action.PREVIOUS_STYLE:
                step = 1 if binding.action is Action.NEXT_STYLE else -1
                self._fade_to((self._style + step) % len(self.names), now)
            case Action.STRONGER | Action.WEAKER:
                self._step_strength(1 if binding.action is Action.STRONGER else -1)
            case Action.COLORS:
                self._keep_colors = not self._keep_colors
            case Action.MIRROR:
                self._mirror = not self._mirror
            case Action.STILL:
                self._stills += 1
            case Action.RECORD:
                self._press_record(now)
            case Action.ORIGINAL:
                self._press_original(since, now)
            case Action.FULL_SCREEN:
                self._full_screen = not self._full_screen
            case Action.HELP:
                self._help = not self._help
            case Action.QUIT:
                self.quitting.set()

    def _step_strength(self, steps: int) -> None:
        """To the next whole step, so that a strength of 0.75 goes to 0.8, and ten steps down from 1 end at 0."""
        nearest = round(self._strength / STRENGTH_STEP, 6)
        reached = math.floor(nearest) + 1 if steps > 0 else math.ceil(nearest) - 1
        self._strength = round(min(max(reached * STRENGTH_STEP, 0.0), 1.0), 6)

    def _press_record(self, now: float) -> None:
        self._recording = not self._recording and not self._no_recording
        if self._no_recording:
            self._message, self._message_until = self._no_recording, now + MESSAGE_SECONDS

    def _press_original(self, since: float, now: float) -> None:
        """A tap switches; a key that comes again within the keyboard's delay is held, and is let go in time."""
        self._held_at = now
        if since < HOLD_DELAY_SECONDS:
            self._original = self._held = True
        else:
            self._original, self._held = not self._original, False

    def _let_go(self, now: float) -> None:
        if self._held and now - self._held_at > RELEASE_SECONDS:
            self._original = self._held = False

    def _fade_to(self, style: int, now: float) -> None:
        if 0 <= style < len(self.names) and style != self._style:
            self._before = self._weights(now)
            self._style, self._changed_at = style, now

    def _weights(self, now: float) -> tuple[float, ...]:
        """From what was shown at the last change to the style chosen then; a fade that is broken off does not jump."""
        share = min(max((now - self._changed_at) / CROSS_FADE_SECONDS, 0.0), 1.0)
        goal = self._one_hot(self._style)
        return goal if share == 1 else tuple(a + share * (b - a) for a, b in zip(self._before, goal, strict=True))

    def _one_hot(self, style: int) -> tuple[float, ...]:
        return tuple(float(index == style) for index in range(len(self.names)))
