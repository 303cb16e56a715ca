"""One viewer: the newest frame of a page, how it is to be stylized, and the newest stylized frame."""

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from pipeline.frames import Pixels
from pipeline.live.controls import WeightFade
from pipeline.live.frames import CapturedFrame
from pipeline.live.mailbox import Mailbox
from pipeline.live.stylize.adaptive_stylizer import AdaptiveStylizer
from pipeline.live.stylize.live_network import LiveNetwork
from pipeline.live.stylize.live_stylizer import LiveStylizer
from pipeline.live.stylize.modes import Size
from pipeline.studio.live.network import goal_of, output_size, shared_sizes, snapshot
from pipeline.studio.live.statistics import Speed
from pipeline.studio.settings import ViewerSettings

MOST_FPS = 30.0
CROSS_FADE_SECONDS = 0.4
# The rate alone decides about the size: the page does not say when it showed a frame.
LATENCY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ReceivedFrame:
    """A frame of a page, not converted yet: most frames never are.

    Attributes:
        height: in pixels.
        width: in pixels.
        read: returns the frame as ``(H, W, 3)`` uint8 RGB at this height and width; called in the stylize thread.
        received_at: in seconds of `time.monotonic`.
    """

    height: int
    width: int
    read: Callable[[Size], Pixels]
    received_at: float


class Outbox:
    """Hands the newest stylized frame from the stylize thread to the event loop.

    Args:
        loop: in which `get` is called.
        on_taken: called when a frame was taken.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_taken: Callable[[], None]) -> None:
        self._loop, self._on_taken = loop, on_taken
        self._item: Pixels | None = None
        self._is_closed = False
        self._changed = asyncio.Event()

    @property
    def is_empty(self) -> bool:
        """Whether the last frame was taken."""
        return self._item is None

    def put(self, item: Pixels) -> None:
        """Put a frame in, in place of one that was not taken; from any thread."""
        self._item = item
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._changed.set)

    async def get(self) -> Pixels | None:
        """Take the frame, or wait for one; None once the outbox is closed."""
        while not self._is_closed:
            self._changed.clear()
            item, self._item = self._item, None
            if item is not None:
                self._on_taken()
                return item
            await self._changed.wait()
        return None

    def close(self) -> None:
        """Wake who waits; called in the loop."""
        self._is_closed, self._item = True, None
        self._changed.set()


class Viewer:
    """One page that sends frames and gets them back stylized.

    Args:
        settings: to start with.
        loop: in which frames are taken from the outbox.
        wake: called when the viewer may have become ready for a turn.
        notify: called with messages for the log.

    Attributes:
        id: that nobody can guess.
        settings: how to stylize; replaced as a whole, from any thread.
        outbox: where stylized frames go.
        speed: of the frames so far.
        engine: that stylized the last frame; empty before.
        working: height and width at which it was stylized.
        received_at: when the last frame came, or the viewer, in seconds of `time.monotonic`.
        has_come: whether a frame came.
        failure: why it cannot be stylized; empty otherwise.
    """

    def __init__(
        self,
        settings: ViewerSettings,
        loop: asyncio.AbstractEventLoop,
        wake: Callable[[], None],
        notify: Callable[[str], None],
    ) -> None:
        self.id = secrets.token_urlsafe(9)
        self.settings = settings
        self.outbox = Outbox(loop, wake)
        self.speed = Speed()
        self.engine, self.working, self.failure = "", (0, 0), ""
        self.received_at = time.monotonic()
        self.has_come = False
        self._wake, self._notify = wake, notify
        self._received: Mailbox[ReceivedFrame] = Mailbox()
        self._adaptive: AdaptiveStylizer | None = None
        self._made_for: tuple[Size, str] | None = None
        self._fade: WeightFade[str] | None = None
        self._count = 0

    def put(self, frame: ReceivedFrame) -> None:
        """Take a frame of the page; it replaces one that has not had its turn."""
        self.received_at, self.has_come = frame.received_at, True
        self._received.put(frame)
        self._wake()

    @property
    def is_ready(self) -> bool:
        """Whether there is a new frame, and room for its stylized one."""
        return not self._received.is_empty and self.outbox.is_empty and not self.failure

    def stylize(self, network: LiveNetwork, turns_per_second: float) -> None:
        """Stylize the newest frame; called in the thread of the network.

        Args:
            network: that all viewers share.
            turns_per_second: that the machine should manage; the size follows from it.

        Raises:
            DeviceError: the network cannot run.
        """
        received = self._received.get(0.0)
        if received is None:
            return
        adaptive = self._stylizer(network, output_size(received.height, received.width), turns_per_second)
        pixels = received.read(adaptive.stylizer.size)
        settings = self.settings
        names = network.mixer.names
        goal = goal_of(settings, names)
        self._fade = self._fade or WeightFade(goal, CROSS_FADE_SECONDS)
        controls = snapshot(settings, self._fade.weights(goal, time.monotonic()), names)
        mode = adaptive.choose(time.monotonic())
        result = adaptive.stylize(CapturedFrame(pixels, received.received_at, self._count), controls, mode)
        if result is None:
            self._try_again(received)
            return
        frame, job = result
        now = time.monotonic()
        self.outbox.put(frame.pixels)
        self._count += 1
        self.speed.add(now - received.received_at)
        self.engine, self.working = mode.engine, mode.size
        adaptive.learn(now, job, turns_per_second, None)

    def _try_again(self, received: ReceivedFrame) -> None:
        """Stylize the frame at a smaller size, unless there is a newer one."""
        if self._received.is_empty:
            self._received.put(received)

    def close(self) -> None:
        """Take no more frames and release what is there; called in the loop."""
        self._received.close()
        self._received.get(0.0)
        self.outbox.close()

    def _stylizer(self, network: LiveNetwork, size: Size, turns_per_second: float) -> AdaptiveStylizer:
        """Return the stylizer of this viewer, a new one where the size of the frames or the stability has changed."""
        stability = self.settings.stability
        if self._adaptive is None or self._made_for != (size, stability):
            stylizer = LiveStylizer(network, size, stability)
            sizes = shared_sizes(*size)
            self._adaptive = AdaptiveStylizer(stylizer, sizes, turns_per_second, LATENCY_SECONDS, self._notify)
            self._made_for = size, stability
        return self._adaptive
