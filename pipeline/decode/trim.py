"""Trimming: keep the wanted part of what a reader yields, moved so that it starts at zero.

All streams move by the same time, a whole number of the video's ticks, so that the offset between audio and video stays
exact. Packets of a stream whose clock is too coarse for that get a finer one.
"""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from math import ceil, lcm

from av.rational import AVRational
from av.stream import Stream
from av.video.frame import VideoFrame

from pipeline.config import LONGEST_SECONDS, DecodeConfig
from pipeline.decode.reader import Header
from pipeline.media.chapters import Chapter
from pipeline.media.packets import StreamPacket
from pipeline.media.stream_kinds import is_cover

# Audio may be stored this long after the frames of the same time; reading ends so long after the last frame.
INTERLEAVE_SECONDS = 10
# Subtitles are stored roughly where they start; reading continues so long for them after everything else has ended.
SUBTITLE_SECONDS = 1

# A stream that starts so little before zero is rounded: the clock of Matroska has milliseconds.
ROUNDED_SECONDS = Fraction(2, 1000)

# By so much a repeated pts is moved at least: containers that count in milliseconds tell it from the one before.
LEAST_STEP_SECONDS = Fraction(1, 1000)

_FRAMES = -1  # stands for the decoded video among stream indexes


class Trim:
    """The part of a file that ``config`` asks for: ``start <= time < start + duration``, from the clip's start.

    The clip starts with its earliest stream. Subtitles that are shown across a limit are shortened; copied video starts
    with a key frame.

    Args:
        header: of the file.
        config: the wanted part.
        side_streams: the streams whose packets are read.
        has_frames: whether decoded frames are read.
        shift_ticks: by how much all times are reduced, in the video's ticks, as an earlier pass found; None for what
            the header says.

    Attributes:
        config: the wanted part.
        first_seconds: file time of the first decoded frame, wanted or not; None before it.
        shift_ticks: by how much all times are reduced, in the video's ticks.
        start_seconds: file time at which the part starts; None means the clip's start.
        end_seconds: file time at which the part ends; None means the clip's end.
    """

    def __init__(
        self,
        header: Header,
        config: DecodeConfig,
        side_streams: Iterable[Stream],
        *,
        has_frames: bool = True,
        shift_ticks: int | None = None,
    ) -> None:
        self.first_seconds: Fraction | None = None
        self.config = config
        self._time_base = header.time_base
        origin = self._origin = header.start_seconds or Fraction(0)
        self.start_seconds = origin + config.start_seconds if config.start_seconds else None
        start = origin if self.start_seconds is None else self.start_seconds
        self.end_seconds = None if config.duration_seconds is None else start + config.duration_seconds
        shift = (start if _starts_early(header) else max(start, Fraction(0))) // header.time_base
        self.shift_ticks = shift if shift_ticks is None else shift_ticks
        self._is_shift_known = not has_frames or shift_ticks is not None or self.start_seconds is not None
        self._frame_times = FrameTimes(header.time_base, origin, header.average_rate)
        self._dense = {stream.index for stream in side_streams if _is_dense(stream)}
        if has_frames:
            self._dense.add(_FRAMES)
        self._has_subtitles = any(stream.type == "subtitle" for stream in side_streams)
        self._ended: set[int] = set()
        self._started: set[int] = set()

    @property
    def missed_start(self) -> bool:
        """Whether decoding started after the wanted start, so that frames may be missing."""
        return self.start_seconds is not None and (self.first_seconds or self.start_seconds) > self.start_seconds

    @property
    def shift_seconds(self) -> Fraction:
        """By how much all times are reduced."""
        return self.shift_ticks * self._time_base

    def items(self, items: Iterable[VideoFrame | StreamPacket]) -> Iterator[VideoFrame | StreamPacket]:
        """Yield the wanted ones of the frames and packets of the file, all moved alike; pts of frames increase."""
        early: list[VideoFrame | StreamPacket] = []
        for item in items:
            if isinstance(item, VideoFrame):
                is_wanted, seconds = self._frame(item), (item.pts or 0) * self._time_base
            else:
                is_wanted, seconds = self._packet(item)
            if self._is_over(seconds):
                break
            if not is_wanted:
                continue
            early.append(item)
            if self._is_shift_known or isinstance(item, VideoFrame):
                yield from self._all_moved(early)
                early = []
        yield from self._all_moved(early)

    def _all_moved(self, items: list[VideoFrame | StreamPacket]) -> Iterator[VideoFrame | StreamPacket]:
        """Yield ``items``, moved so far that no frame is before zero, as an mp4 would hide it.

        The first frame that decodes may precede the start in the header.
        """
        if not self._is_shift_known:
            self._is_shift_known = True
            first = next((item.pts or 0 for item in items if isinstance(item, VideoFrame)), self.shift_ticks)
            self.shift_ticks = min(self.shift_ticks, first)
        for item in items:
            self._move(item)
            yield item

    def chapters(self, chapters: Sequence[Chapter]) -> list[Chapter]:
        """Return the chapters of the wanted part, moved with it."""
        start, end = self.start_seconds, self.end_seconds
        trimmed = (chapter.trimmed(self.shift_seconds, start=start, end=end) for chapter in chapters)
        return [chapter for chapter in trimmed if chapter is not None]

    def _frame(self, frame: VideoFrame) -> bool:
        """Set the pts of ``frame``; return whether it is wanted."""
        frame.pts = self._frame_times.pts(frame)
        seconds = frame.pts * self._time_base
        if self.first_seconds is None:
            self.first_seconds = seconds
        self._note_end(_FRAMES, seconds)
        return self._is_inside(seconds)

    def _packet(self, packet: StreamPacket) -> tuple[bool, Fraction]:
        """Return whether ``packet`` is wanted, and its time in the file."""
        if is_cover(packet.stream):
            return True, self.start_seconds or Fraction(0)
        time = packet.pts if packet.pts is not None else packet.dts
        seconds = (time or 0) * packet.time_base
        if time is None:
            return self.start_seconds is None, seconds
        if _is_absurd(seconds, self._origin):
            return False, self._origin
        if packet.stream.type == "video":
            return self._video_packet(packet, seconds), seconds
        self._note_end(packet.stream_index, seconds)
        if packet.stream.type == "subtitle":
            return self._subtitle(packet, time), seconds
        return self._is_inside(seconds), seconds

    def _video_packet(self, packet: StreamPacket, seconds: Fraction) -> bool:
        """Return whether a packet of a copied video is wanted: from a key frame on, to the end in decoding order."""
        if self._note_end(packet.stream_index, seconds if packet.dts is None else packet.dts * packet.time_base):
            return False
        if self.start_seconds is None:
            return True
        if packet.is_keyframe and seconds >= self.start_seconds:
            self._started.add(packet.stream_index)
        return packet.stream_index in self._started and seconds >= self.start_seconds

    def _subtitle(self, packet: StreamPacket, time: int) -> bool:
        """Shorten a subtitle to the part; return whether it is wanted.

        None may start before zero, or muxers would move all streams for its sake.
        """
        clock, length = packet.time_base, packet.duration or 0
        first = ceil((self.start_seconds or self.shift_seconds) / clock)
        if time < first:
            if self.start_seconds is not None and time + length <= first:
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

    def _note_end(self, index: int, seconds: Fraction) -> bool:
        """Note that a stream has reached the end of the part; return whether it has."""
        if self.end_seconds is None or seconds < self.end_seconds:
            return False
        self._ended.add(index)
        return True

    def _is_inside(self, seconds: Fraction) -> bool:
        is_after_start = self.start_seconds is None or seconds >= self.start_seconds
        return is_after_start and (self.end_seconds is None or seconds < self.end_seconds)

    def _is_over(self, seconds: Fraction) -> bool:
        if self.end_seconds is None or (_FRAMES in self._dense and _FRAMES not in self._ended):
            return False
        if self._dense <= self._ended and (not self._has_subtitles or seconds >= self.end_seconds + SUBTITLE_SECONDS):
            return True
        return seconds >= self.end_seconds + INTERLEAVE_SECONDS

    def _move(self, item: VideoFrame | StreamPacket) -> None:
        if isinstance(item, VideoFrame):
            item.pts = (item.pts or 0) - self.shift_ticks
            return
        if is_cover(item.stream):
            item.pts = item.dts = 0
            return
        if (self.shift_seconds / item.time_base).denominator != 1:
            _refine_clock(item, self._time_base)
        shift = round(self.shift_seconds / item.time_base)
        item.pts = None if item.pts is None else item.pts - shift
        item.dts = None if item.dts is None else item.dts - shift


class FrameTimes:
    """Gives frames strictly increasing pts: the expected one replaces a pts that is missing, repeated or absurd.

    Args:
        time_base: seconds per unit of pts.
        origin: start of the clip in seconds.
        average_rate: frames per second of frames without a duration; None if unknown.
    """

    def __init__(self, time_base: Fraction, origin: Fraction, average_rate: Fraction | None) -> None:
        self._time_base = time_base
        self._origin = origin
        self._usual_duration = 1 if average_rate is None else max(round(1 / (average_rate * time_base)), 1)
        self._least_step = ceil(LEAST_STEP_SECONDS / time_base)
        self._last: int | None = None
        self._next = max(origin, Fraction(0)) // time_base

    def pts(self, frame: VideoFrame) -> int:
        """Return the pts of the next frame."""
        pts = frame.pts if frame.pts is not None else frame.dts
        if pts is None or _is_absurd(pts * self._time_base, self._origin):
            pts = self._next
        elif self._last is not None and pts <= self._last:
            least = self._last + self._least_step
            pts = least if pts == self._last else max(self._next, least)
        self._last = pts
        self._next = pts + (frame.duration or self._usual_duration)
        return pts


def _starts_early(header: Header) -> bool:
    """Return whether frames or audio lie before zero: an mp4 would hide them.

    FFmpeg's start of an audio stream is after its priming, which players skip.
    """
    video, start = header.video, header.start_seconds or Fraction(0)
    if video is None or video.start_time is None:
        return False
    return video.start_time < 0 or start < -ROUNDED_SECONDS


def _is_absurd(seconds: Fraction, origin: Fraction) -> bool:
    """Return whether a time is months from the clip's start, which is more than containers can count."""
    return abs(seconds - origin) > 2 * LONGEST_SECONDS


def _is_dense(stream: Stream) -> bool:
    """Return whether a stream has packets all the time, so that one after the end means that it has ended."""
    return stream.type in ("audio", "video") and not is_cover(stream)


def _refine_clock(packet: StreamPacket, other: Fraction) -> None:
    """Give the packet a time base with all ticks of ``other`` too, if FFmpeg supports one that fine."""
    ticks = lcm(packet.time_base.denominator, other.denominator)
    if ticks < 2**31:
        packet.rescale_ts(AVRational(Fraction(1, ticks)))
