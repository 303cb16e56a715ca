"""Audio for recordings and streams: a queue between two threads, and a track without gaps."""

import threading
from collections import deque
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

RATE = 48000
LAYOUT = "stereo"
# Audio older than this is dropped from the queue: while no video frames arrive it must not fill the memory.
QUEUE_SECONDS = 5.0
# Smaller gaps and overlaps are ignored. They are not audible, and come from the differing clocks of sound card and
# computer, and from frames being seen only when complete.
TOLERANCE_SECONDS = 0.06


class AudioQueue:
    """Audio frames on the way from the capturing to the writing thread; the oldest are dropped when it is full."""

    def __init__(self) -> None:
        self._frames: deque[AudioFrame] = deque()
        self._seconds = 0.0
        self._lock = threading.Lock()

    def put(self, frame: AudioFrame) -> None:
        """Add a frame; never waits."""
        with self._lock:
            self._frames.append(frame)
            self._seconds += frame.samples / frame.sample_rate
            while self._seconds > QUEUE_SECONDS:
                oldest = self._frames.popleft()
                self._seconds -= oldest.samples / oldest.sample_rate

    def take(self) -> list[AudioFrame]:
        """Remove and return all frames, oldest first."""
        with self._lock:
            frames, self._seconds = list(self._frames), 0.0
            self._frames.clear()
            return frames


class AudioTrack:
    """Joins audio frames with time stamps into a track without gaps: fills gaps with silence, cuts overlaps.

    Args:
        origin: time zero of the track, in seconds of `time.monotonic`.
    """

    def __init__(self, origin: float) -> None:
        self._origin = Fraction(origin)
        self._resampler: AudioResampler | None = None
        self._input_format: tuple[str, str, int] | None = None
        self._next: int | None = None

    def add(self, frame: AudioFrame) -> Iterator[AudioFrame]:
        """Yield what ``frame`` adds to the track: planar float32 stereo at `RATE`, ``pts`` in samples since zero."""
        if frame.pts is None or not frame.time_base:
            return
        first = round((frame.pts * frame.time_base - self._origin) * RATE)
        samples = self._resample(frame)
        if self._next is None:
            samples, first = samples[:, max(-first, 0) :], max(first, 0)
            if not samples.shape[1]:
                return
            self._next = first
        gap = first - self._next
        if gap > TOLERANCE_SECONDS * RATE:
            # A second at a time: a long pause at once would need much memory.
            for start in range(0, gap, RATE):
                yield self._append(np.zeros((2, min(RATE, gap - start)), np.float32))
        elif gap < -TOLERANCE_SECONDS * RATE:
            samples = samples[:, -gap:]
        if samples.shape[1]:
            yield self._append(samples)

    def _append(self, samples: NDArray[np.float32]) -> AudioFrame:
        assert self._next is not None
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=LAYOUT)
        frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), self._next
        self._next += samples.shape[1]
        return frame

    def _resample(self, frame: AudioFrame) -> NDArray[np.float32]:
        input_format = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler is None or input_format != self._input_format:
            self._input_format = input_format
            self._resampler = AudioResampler(format="fltp", layout=LAYOUT, rate=RATE)
        resampled = [part.to_ndarray() for part in self._resampler.resample(frame)]
        return np.concatenate([np.zeros((2, 0), np.float32), *resampled], axis=1).astype(np.float32, copy=False)
