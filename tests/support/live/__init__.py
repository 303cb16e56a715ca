"""Fakes for tests of live sessions: a camera, and sinks that record, block or fail."""

import threading
import time
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
from av.container import InputContainer

from pipeline.config import StylizeConfig
from pipeline.errors import InputError
from pipeline.live.capture.device import CaptureDevice
from pipeline.live.config import LiveConfig
from pipeline.live.controls import Controls
from pipeline.live.frames import CapturedFrame, LiveFrame
from pipeline.live.sinks.sink import Sink, SinkError
from tests.support.media import moving_square

PLAIN = StylizeConfig(style="great-wave", engine="eager", device="cpu", precision="fp32", stability="none", threads=1)


def plain_config(**changes: object) -> LiveConfig:
    """A session with a `FakeCamera` that starts at once."""
    return LiveConfig(**({"source": "0", "stylize": PLAIN} | changes))  # type: ignore[arg-type]


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until ``condition`` is true; fail after ``seconds``."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.005)


def live_frame(index: int = 0, captured_at: float = 0.0, *, width: int = 64, height: int = 48) -> LiveFrame:
    """A frame of `moving_square`."""
    pixels = moving_square(index, width=width, height=height)
    return LiveFrame(pixels, pixels, captured_at, index)


def audio_frame(
    start: float, seconds: float, *, origin: float = 0.0, click: float | None = None, rate: int = 44100
) -> av.AudioFrame:
    """Silent mono, as from a microphone, with a loud 10 ms at ``click``; times count from ``origin``."""
    samples = np.zeros((1, round(seconds * rate)), np.int16)
    if click is not None:
        first = round((click - start) * rate)
        if 0 <= first < samples.shape[1]:
            samples[:, first : first + rate // 100] = 25000
    frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
    frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, 1_000_000), round((origin + start) * 1_000_000)
    return frame


class WrappedContainer:
    """A container of PyAV with some attributes replaced."""

    def __init__(self, container: InputContainer, **replaced: object) -> None:
        self._container, self._replaced = container, replaced

    def __getattr__(self, name: str) -> object:
        return self._replaced[name] if name in self._replaced else getattr(self._container, name)

    def __enter__(self) -> "WrappedContainer":
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()


class FakeCamera(CaptureDevice):
    """Delivers `moving_square` at a steady rate; the red value of the top left pixel is the frame number.

    Args:
        fps: frame rate.
        count: number of frames before the end; None for no end.
        unplugged: from when until when the camera is unplugged, in seconds after its first frame.
        size: height and width in pixels.
    """

    name = "fake camera"

    def __init__(
        self,
        fps: float = 100.0,
        *,
        count: int | None = None,
        unplugged: tuple[float, float] = (0.0, 0.0),
        size: tuple[int, int] = (48, 64),
    ) -> None:
        self.fps = fps
        self.opened = self.closed = self.index = 0
        self.is_open = False
        self._count, self._unplugged, self._size = count, unplugged, size
        self._started_at: float | None = None
        self._stopped = threading.Event()

    def is_unplugged(self) -> bool:
        """Whether the camera is unplugged now."""
        seconds = 0.0 if self._started_at is None else time.monotonic() - self._started_at
        return self._unplugged[0] < seconds < self._unplugged[1]

    def open(self) -> None:
        self.opened += 1
        if self.is_unplugged():
            raise InputError(self.name, "not found")
        self.is_open = True

    def read(self) -> CapturedFrame | None:
        assert self.is_open
        self._stopped.wait(1 / (self.fps or 100.0))
        if self._count is not None and self.index >= self._count:
            return None
        if self.is_unplugged():
            raise InputError(self.name, "delivers no more frames")
        self._started_at = self._started_at or time.monotonic()
        pixels = moving_square(self.index, height=self._size[0], width=self._size[1])
        pixels[0, 0, 0] = self.index % 256
        self.index += 1
        return CapturedFrame(pixels, time.monotonic())

    def stop(self) -> None:
        self._stopped.set()

    def close(self) -> None:
        self.closed += self.is_open
        self.is_open = False


class Memory(Sink):
    """Records what it is given."""

    is_active = is_connected = True

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self.frames: list[tuple[int, float, float]] = []
        self.last: LiveFrame | None = None
        self.size = (0, 0)
        self.fps = Fraction(0)
        self.closed = self.polled = 0
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

    def poll(self) -> None:
        self.polled += 1
        self.write_threads.add(threading.get_ident())

    def close(self) -> None:
        self.closed += 1
        self.write_threads.add(threading.get_ident())

    def then(self, count: int, do: Callable[[], object]) -> None:
        """Call ``do`` after frame number ``count``."""
        self._after, self._do = count, do

    def quit_after(self, count: int, controls: Controls) -> None:
        """End the session after frame number ``count``."""
        self.then(count, controls.quit)

    def gaps(self) -> list[float]:
        """Seconds between consecutive frames."""
        return [float(gap) for gap in np.diff([at for _, _, at in self.frames])]


class Blocking(Memory):
    """Blocks for ``seconds`` at frame number ``at``, or until `released`."""

    def __init__(self, seconds: float, *, at: int = 5, name: str = "blocking") -> None:
        super().__init__(name)
        self.released = threading.Event()
        self._seconds, self._at = seconds, at

    def write(self, frame: LiveFrame) -> None:
        super().write(frame)
        if len(self.frames) == self._at:
            self.released.wait(self._seconds)


class Dying(Memory):
    """Fails at frame number ``at``; at 0 it cannot be opened."""

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
