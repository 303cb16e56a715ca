"""Keep the wanted part of what a reader gives, and move it so that it begins at zero.

All streams move by the same time, a whole number of the video's ticks, so that the offset between picture and sound
stays exact; packets of a stream whose clock is too coarse for that go over to a finer one.
"""

from collections.abc import Iterator
from fractions import Fraction
from math import lcm

from av.rational import AVRational
from av.video.frame import VideoFrame

from pipeline.config import DecodeConfig
from pipeline.reader import AudioPacket, Reader

# Sound may lie this far behind the picture in a file; a cut ends at the latest so long after its last frame.
INTERLEAVE_SECONDS = 10


class Cut:
    """The part of ``reader`` that ``config`` asks for: ``start <= time < start + duration`` from the clip's start.

    The clip's start is that of its earliest stream. A part with neither start nor duration is everything.

    Attributes:
        first_seconds: time in the file of the first frame that was decoded, wanted or not; None before it.
    """

    def __init__(self, reader: Reader, config: DecodeConfig) -> None:
        self.first_seconds: Fraction | None = None
        self._reader = reader
        origin = reader.start_seconds or Fraction(0)
        self.begin_seconds = origin + config.start_seconds if config.start_seconds else None
        begin = origin if self.begin_seconds is None else self.begin_seconds
        self._end = None if config.duration_seconds is None else begin + config.duration_seconds
        self._shift_ticks = max(begin, Fraction(0)) // reader.time_base
        self._ended: set[int] = set()
        self._last: int | None = None
        self._next = 0

    @property
    def landed_late(self) -> bool:
        """Whether decoding began behind the wanted start, so that frames may be missing."""
        return self.begin_seconds is not None and (self.first_seconds or self.begin_seconds) > self.begin_seconds

    def items(self) -> Iterator[VideoFrame | AudioPacket]:
        """Frames in presentation order with strictly increasing pts, and audio packets, moved alike."""
        for item in self._reader.read():
            if isinstance(item, VideoFrame):
                keep, seconds = self._frame(item), (item.pts or 0) * self._reader.time_base
            else:
                keep, seconds = self._packet(item)
            if self._is_over(seconds):
                return
            if keep:
                self._move(item)
                yield item

    def _frame(self, frame: VideoFrame) -> bool:
        pts = self._stamp(frame)
        frame.pts = pts
        seconds = pts * self._reader.time_base
        if self.first_seconds is None:
            self.first_seconds = seconds
        if self._end is not None and seconds >= self._end:
            self._ended.add(-1)
        return self._is_inside(seconds)

    def _stamp(self, frame: VideoFrame) -> int:
        """The frame's own pts; where it lacks one or goes back, the nearest that follows the frame before."""
        pts = frame.pts if frame.pts is not None else frame.dts
        if pts is None:
            pts = self._next
        elif self._last is not None and pts <= self._last:
            pts = self._last + 1 if pts == self._last else max(self._next, self._last + 1)
        self._last = pts
        self._next = pts + (frame.duration or self._usual_duration())
        return pts

    def _usual_duration(self) -> int:
        rate = self._reader.average_rate
        return 1 if rate is None else max(round(1 / (rate * self._reader.time_base)), 1)

    def _packet(self, packet: AudioPacket) -> tuple[bool, Fraction]:
        time = packet.pts if packet.pts is not None else packet.dts
        seconds = (time or 0) * packet.time_base
        if time is None:
            return self.begin_seconds is None, seconds
        if self._end is not None and seconds >= self._end:
            self._ended.add(packet.stream_index)
        return self._is_inside(seconds), seconds

    def _is_inside(self, seconds: Fraction) -> bool:
        begins = self.begin_seconds is None or seconds >= self.begin_seconds
        return begins and (self._end is None or seconds < self._end)

    def _is_over(self, seconds: Fraction) -> bool:
        if self._end is None or -1 not in self._ended:
            return False
        return len(self._ended) > len(self._reader.audio) or seconds >= self._end + INTERLEAVE_SECONDS

    def _move(self, item: VideoFrame | AudioPacket) -> None:
        if isinstance(item, VideoFrame):
            item.pts = (item.pts or 0) - self._shift_ticks
            return
        shift_seconds = self._shift_ticks * self._reader.time_base
        if (shift_seconds / item.time_base).denominator != 1:
            _to_finer_clock(item, self._reader.time_base)
        shift = round(shift_seconds / item.time_base)
        item.pts = None if item.pts is None else item.pts - shift
        item.dts = None if item.dts is None else item.dts - shift


def _to_finer_clock(packet: AudioPacket, other: Fraction) -> None:
    """Count the packet's times on a clock that also ticks whenever ``other`` does, if FFmpeg can count so finely."""
    ticks = lcm(packet.time_base.denominator, other.denominator)
    if ticks < 2**31:
        packet.rescale_ts(AVRational(Fraction(1, ticks)))
