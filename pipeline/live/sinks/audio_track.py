"""A track of sound without gaps, made of pieces that come with their times."""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

RATE = 48000
LAYOUT = "stereo"
# Pieces come later or earlier than their samples add up to: the clocks of sound card and computer differ, and a piece
# is seen only when it is complete. What is less than this is not heard, and left as it is.
TOLERANCE_SECONDS = 0.06


class AudioTrack:
    """Turns pieces of sound with times into one track without gaps: silence for what is missing, overlaps cut.

    Args:
        origin: the moment that is time zero, in seconds of `time.monotonic`.
    """

    def __init__(self, origin: float) -> None:
        self._origin = Fraction(origin)
        self._resampler: AudioResampler | None = None
        self._form: tuple[str, str, int] | None = None
        self._next: int | None = None

    def pieces(self, frame: AudioFrame) -> Iterator[AudioFrame]:
        """What ``frame`` adds to the track: planar float32 stereo at `RATE`, ``pts`` in samples since the origin."""
        if frame.pts is None or not frame.time_base:
            return
        first = round((frame.pts * frame.time_base - self._origin) * RATE)
        samples = self._resampled(frame)
        if self._next is None:
            samples, first = samples[:, max(-first, 0) :], max(first, 0)
            if not samples.shape[1]:
                return
            self._next = first
        gap = first - self._next
        if gap > TOLERANCE_SECONDS * RATE:
            yield from self._silence(gap)
        elif gap < -TOLERANCE_SECONDS * RATE:
            samples = samples[:, -gap:]
        if samples.shape[1]:
            yield self._piece(samples)

    def _silence(self, count: int) -> Iterator[AudioFrame]:
        """In pieces of a second: after a long pause as one it would take much memory."""
        for first in range(0, count, RATE):
            yield self._piece(np.zeros((2, min(RATE, count - first)), np.float32))

    def _piece(self, samples: NDArray[np.float32]) -> AudioFrame:
        assert self._next is not None
        piece = AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=LAYOUT)
        piece.sample_rate, piece.time_base, piece.pts = RATE, Fraction(1, RATE), self._next
        self._next += samples.shape[1]
        return piece

    def _resampled(self, frame: AudioFrame) -> NDArray[np.float32]:
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if form != self._form:
            self._form, self._resampler = form, AudioResampler(format="fltp", layout=LAYOUT, rate=RATE)
        assert self._resampler is not None
        parts = [part.to_ndarray() for part in self._resampler.resample(frame)]
        return np.concatenate([np.zeros((2, 0), np.float32), *parts], axis=1).astype(np.float32, copy=False)
