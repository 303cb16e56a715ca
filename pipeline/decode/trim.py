"""Keep the wanted part of what a reader gives, and move it so that it begins at zero.

All streams move by the same time, a whole number of the video's ticks, so that the offset between picture and sound
stays exact; packets of a stream whose clock is too coarse for that go over to a finer one.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import ceil, lcm
from typing import Protocol

from av.rational import AVRational
from av.stream import Stream
from av.video.frame import VideoFrame

from pipeline.config import LONGEST_SECONDS, DecodeConfig
from pipeline.media.chapters import Chapter
from pipeline.media.packets import StreamPacket
from pipeline.media.stream_kinds import is_cover

# Sound may lie this far behind the picture in a file; a cut ends at the latest so long after its last frame.
INTERLEAVE_SECONDS = 10
# Subtitles lie where they begin, more or less: so long they are waited for when all else has ended.
SPARSE_SECONDS = 1

_FRAMES = -1


class Readable(Protocol):
    """What a cut needs of `pipeline.decode.demuxer.Reader` or `pipeline.decode.side_packets.PacketReader`."""

    time_base: Fraction
    average_rate: Fraction | None
    start_seconds: Fraction | None
    read_along: tuple[Stream, ...]

    def read(self) -> Iterator[VideoFrame | StreamPacket]:
        """Frames and packets in the file's order."""


class Trim:
    """The part of ``reader`` that ``config`` asks for: ``start <= time < start + duration`` from the clip's start.

    The clip's start is that of its earliest stream. A part with neither start nor duration is everything. A subtitle
    that is shown across a border is shortened; pictures that are only copied begin with a key frame.

    Args:
        reader: what is cut.
        config: which part.
        has_frames: whether the reader gives decoded frames too.

    Attributes:
        config: which part.
        first_seconds: time in the file of the first frame that was decoded, wanted or not; None before it.
        begin_seconds: time in the file at which the part begins; None where it is the clip's start.
        end_seconds: time in the file at which it ends; None where it is the clip's end.
    """

    def __init__(self, reader: Readable, config: DecodeConfig, *, has_frames: bool = True) -> None:
        self.first_seconds: Fraction | None = None
        self.config = config
        self._reader = reader
        origin = self._origin = reader.start_seconds or Fraction(0)
        self.begin_seconds = origin + config.start_seconds if config.start_seconds else None
        begin = origin if self.begin_seconds is None else self.begin_seconds
        self.end_seconds = None if config.duration_seconds is None else begin + config.duration_seconds
        self._shift_ticks = max(begin, Fraction(0)) // reader.time_base
        self._dense = {stream.index for stream in reader.read_along if _is_dense(stream)} | (
            {_FRAMES} if has_frames else set()
        )
        self._is_sparse_read = any(stream.type == "subtitle" for stream in reader.read_along)
        self._ended: set[int] = set()
        self._begun: set[int] = set()
        self._last: int | None = None
        self._next = max(origin, Fraction(0)) // reader.time_base

    @property
    def landed_late(self) -> bool:
        """Whether decoding began behind the wanted start, so that frames may be missing."""
        return self.begin_seconds is not None and (self.first_seconds or self.begin_seconds) > self.begin_seconds

    @property
    def shift_seconds(self) -> Fraction:
        """By which everything moves towards zero."""
        return self._shift_ticks * self._reader.time_base

    def items(self) -> Iterator[VideoFrame | StreamPacket]:
        """Frames in presentation order with strictly increasing pts, and packets, moved alike."""
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

    def chapters(self, chapters: Sequence[Chapter]) -> list[Chapter]:
        """What of them lies in the part, moved with it."""
        start, end = self.begin_seconds, self.end_seconds
        trimmed = (chapter.trimmed(self.shift_seconds, start=start, end=end) for chapter in chapters)
        return [chapter for chapter in trimmed if chapter is not None]

    def _frame(self, frame: VideoFrame) -> bool:
        pts = self._stamp(frame)
        frame.pts = pts
        seconds = pts * self._reader.time_base
        if self.first_seconds is None:
            self.first_seconds = seconds
        if self.end_seconds is not None and seconds >= self.end_seconds:
            self._ended.add(_FRAMES)
        return self._is_inside(seconds)

    def _stamp(self, frame: VideoFrame) -> int:
        """The frame's own pts; where it lacks one, or has one that cannot be, the one that would follow."""
        pts = frame.pts if frame.pts is not None else frame.dts
        if pts is None or self._is_absurd(pts * self._reader.time_base):
            pts = self._next
        elif self._last is not None and pts <= self._last:
            pts = self._last + 1 if pts == self._last else max(self._next, self._last + 1)
        self._last = pts
        self._next = pts + (frame.duration or self._usual_duration())
        return pts

    def _is_absurd(self, seconds: Fraction) -> bool:
        """Whether a time is months from the clip's start, which no film is, and more than containers can count."""
        return abs(seconds - self._origin) > 2 * LONGEST_SECONDS

    def _usual_duration(self) -> int:
        rate = self._reader.average_rate
        return 1 if rate is None else max(round(1 / (rate * self._reader.time_base)), 1)

    def _packet(self, packet: StreamPacket) -> tuple[bool, Fraction]:
        """Whether ``packet`` is wanted, and its time in the file."""
        if is_cover(packet.stream):
            return True, self.begin_seconds or Fraction(0)
        time = packet.pts if packet.pts is not None else packet.dts
        seconds = (time or 0) * packet.time_base
        if time is None:
            return self.begin_seconds is None, seconds
        if self._is_absurd(seconds):
            return False, self._origin
        if packet.stream.type == "video":
            return self._picture(packet, seconds), seconds
        if self.end_seconds is not None and seconds >= self.end_seconds:
            self._ended.add(packet.stream_index)
        if packet.stream.type == "subtitle":
            return self._subtitle(packet, time), seconds
        return self._is_inside(seconds), seconds

    def _picture(self, packet: StreamPacket, seconds: Fraction) -> bool:
        """Of a video that is copied: from a key frame on, and to the end in the order of decoding."""
        decoded = seconds if packet.dts is None else packet.dts * packet.time_base
        if self.end_seconds is not None and decoded >= self.end_seconds:
            self._ended.add(packet.stream_index)
            return False
        if self.begin_seconds is None:
            return True
        if packet.is_keyframe and seconds >= self.begin_seconds:
            self._begun.add(packet.stream_index)
        return packet.stream_index in self._begun and seconds >= self.begin_seconds

    def _subtitle(self, packet: StreamPacket, time: int) -> bool:
        """Shorten what is shown across a border; nothing may begin before zero, or all streams would move for it."""
        clock, length = packet.time_base, packet.duration or 0
        first = ceil((self.begin_seconds or self.shift_seconds) / clock)
        if time < first:
            if self.begin_seconds is not None and time + length <= first:
                return False
            length = max(time + length - first, 0)
            time = first
            packet.pts = packet.dts = time
        if self.end_seconds is not None:
            end = ceil(self.end_seconds / clock)
            if time >= end:
                return False
            length = min(length, end - time)
        packet.duration = length
        return True

    def _is_inside(self, seconds: Fraction) -> bool:
        begins = self.begin_seconds is None or seconds >= self.begin_seconds
        return begins and (self.end_seconds is None or seconds < self.end_seconds)

    def _is_over(self, seconds: Fraction) -> bool:
        if self.end_seconds is None or (_FRAMES in self._dense and _FRAMES not in self._ended):
            return False
        if self._dense <= self._ended and (not self._is_sparse_read or seconds >= self.end_seconds + SPARSE_SECONDS):
            return True
        return seconds >= self.end_seconds + INTERLEAVE_SECONDS

    def _move(self, item: VideoFrame | StreamPacket) -> None:
        if isinstance(item, VideoFrame):
            item.pts = (item.pts or 0) - self._shift_ticks
            return
        if is_cover(item.stream):
            item.pts = item.dts = 0
            return
        if (self.shift_seconds / item.time_base).denominator != 1:
            _to_finer_clock(item, self._reader.time_base)
        shift = round(self.shift_seconds / item.time_base)
        item.pts = None if item.pts is None else item.pts - shift
        item.dts = None if item.dts is None else item.dts - shift


def _is_dense(stream: Stream) -> bool:
    """Whether packets of a stream come all the time, so that one behind the end tells that it has ended."""
    return stream.type in ("audio", "video") and not is_cover(stream)


def _to_finer_clock(packet: StreamPacket, other: Fraction) -> None:
    """Count the packet's times on a clock that also ticks whenever ``other`` does, if FFmpeg can count so finely."""
    ticks = lcm(packet.time_base.denominator, other.denominator)
    if ticks < 2**31:
        packet.rescale_ts(AVRational(Fraction(1, ticks)))
