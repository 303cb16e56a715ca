"""What live sessions are tested with: cameras made of numbers, sinks that remember, block or die."""

import threading
import time
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from pipeline.config import StylizeConfig
from pipeline.errors import InputError
from pipeline.live.capture.device import Taken
from pipeline.live.config import LiveConfig
from pipeline.live.controls import Controls
from pipeline.live.frames import LiveFrame
from pipeline.live.sinks.sink import Sink, SinkError
from tests.support.media import moving_square

PLAIN = StylizeConfig(style="great-wave", engine="eager", device="cpu", precision="fp32", stability="none", threads=1)


def plain_config(**changes: object) -> LiveConfig:
    """A session that is ready at once, of what a `FakeCamera` gives."""
    return LiveConfig(**({"source": "0", "stylize": PLAIN} | changes))  # type: ignore[arg-type]


class FakeCamera:
    """A `pipeline.live.capture.device.Device`: moving squares at a steady rate, whose red top left pixel counts them.

    Args:
        fps: of its pictures.
        count: how many there are before the end; None for no end.
        gone: pairs of moments, seconds after the first picture, from when until when it is unplugged.
    """

    name = "fake camera"

    def __init__(
        self,
        fps: float = 100.0,
        *,
        count: int | None = None,
        gone: tuple[float, float] = (0.0, 0.0),
        size: tuple[int, int] = (48, 64),
    ) -> None:
        self.returns = True
        self.fps: float | None = fps
        self.opened = self.closed = self.index = 0
        self.is_open = False
        self._count, self._gone, self._size = count, gone, size
        self._begun: float | None = None
        self._stopped = threading.Event()

    def is_gone(self) -> bool:
        """Whether it is unplugged now."""
        since = 0.0 if self._begun is None else time.monotonic() - self._begun
        return self._gone[0] < since < self._gone[1]

    def open(self) -> None:
        self.opened += 1
        if self.is_gone():
            raise InputError(self.name, "is not there")
        self.is_open = True

    def read(self) -> Taken | None:
        assert self.is_open
        self._stopped.wait(1 / (self.fps or 100.0))
        if self._count is not None and self.index >= self._count:
            return None
        if self.is_gone():
            raise InputError(self.name, "gives no more pictures")
        self._begun = self._begun or time.monotonic()
        picture = moving_square(self.index, height=self._size[0], width=self._size[1])
        picture[0, 0, 0] = self.index % 256
        self.index += 1
        return Taken(picture, time.monotonic())

    def stop(self) -> None:
        self._stopped.set()

    def close(self) -> None:
        self.closed += self.is_open
        self.is_open = False


class Memory(Sink):
    """A sink that remembers what it was given."""

    is_idle, is_connected = False, True

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self.frames: list[tuple[int, float, float]] = []
        self.last: LiveFrame | None = None
        self.size = (0, 0)
        self.fps = Fraction(0)
        self.closed = self.idled = 0
        self.threads: set[str] = set()
        self.write_threads: set[int] = set()
        self._after = 0
        self._do: Callable[[], object] = lambda: None

    def open(self, width: int, height: int, fps: Fraction) -> None:
        self.size, self.fps = (width, height), fps
        self.write_threads.add(threading.get_ident())

    def write(self, frame: LiveFrame) -> None:
        self.frames.append((frame.index, frame.captured_at, time.monotonic()))
        self.last = frame
        self.write_threads.add(threading.get_ident())
        if len(self.frames) == self._after:
            self._do()

    def idle(self) -> None:
        self.idled += 1
        self.write_threads.add(threading.get_ident())

    def close(self) -> None:
        self.closed += 1
        self.write_threads.add(threading.get_ident())

    def then(self, count: int, do: Callable[[], object]) -> None:
        """Call ``do`` with picture number ``count``."""
        self._after, self._do = count, do

    def quit_after(self, count: int, controls: Controls) -> None:
        """End the session with picture number ``count``."""
        self.then(count, controls.quit)

    def gaps(self) -> list[float]:
        """Seconds between one picture and the next."""
        return [float(gap) for gap in np.diff([at for _, _, at in self.frames])]


class Blocking(Memory):
    """Holds on to its picture number ``at`` for some seconds, or for ever."""

    def __init__(self, seconds: float, *, at: int = 5, name: str = "blocking") -> None:
        super().__init__(name)
        self.released = threading.Event()
        self._seconds, self._at = seconds, at

    def write(self, frame: LiveFrame) -> None:
        super().write(frame)
        if len(self.frames) == self._at:
            self.released.wait(self._seconds)


class Dying(Memory):
    """Breaks at its picture number ``at``; at 0 it cannot even be opened."""

    def __init__(self, *, at: int = 5, name: str = "dying", error: Exception | None = None) -> None:
        super().__init__(name)
        self._at = at
        self._error = error or SinkError(name, "the cable was pulled; put it back")

    def open(self, width: int, height: int, fps: Fraction) -> None:
        super().open(width, height, fps)
        if not self._at:
            raise self._error

    def write(self, frame: LiveFrame) -> None:
        super().write(frame)
        if len(self.frames) == self._at:
            raise self._error
