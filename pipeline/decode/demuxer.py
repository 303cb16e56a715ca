"""One pass over a media file: decoded video frames, and the packets of all other streams between them as they are.

A reader knows neither where a clip is cut nor what pixels are wanted; `pipeline.decode.source` and
`pipeline.decode.decoder` do.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import Protocol, cast

import av
from av.container import InputContainer
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipeline.config import LONGEST_SECONDS
from pipeline.decode.container_check import what_is_missing
from pipeline.decode.open import Storage, limit_frame_size, open_container, packets_of, raise_what_came, standard_input
from pipeline.decode.reorder import Ordering
from pipeline.errors import InputError, reason_of
from pipeline.media.chapters import Chapter, read_chapters
from pipeline.media.damage import MARKED_CORRUPT, Damage, DamageLog
from pipeline.media.packets import StreamPacket, VideoPacket
from pipeline.media.stream_kinds import is_chapter_track, is_cover

# A clip is given up when so many packets have failed before a first frame.
HOPELESS_PACKETS = 500

# A demuxer that fails so often, without a packet between, does not get any further.
MOST_FAILURES = 100

# Two days at 60 frames a second; more than can be painted in one go, and less than a small file can pretend to hold.
MOST_FRAMES = 10_000_000


class Reader(Protocol):
    """What `pipeline.decode.source.Source` needs of a reader."""

    container: str
    codec: str
    time_base: Fraction
    sample_aspect_ratio: Fraction
    average_rate: Fraction | None
    frame_count: int | None
    duration_seconds: float | None
    start_seconds: Fraction | None
    video: VideoStream | None
    other_streams: tuple[Stream, ...]
    read_along: tuple[Stream, ...]
    chapters: list[Chapter]
    metadata: dict[str, str]
    damage: DamageLog

    def read(self) -> Iterator[VideoFrame | StreamPacket]:
        """Frames in presentation order, and packets of the streams read along, from the current position on."""

    def seek(self, seconds: Fraction) -> None:
        """Go to a key frame at or before ``seconds``, where the container can tell."""

    def stop(self) -> None:
        """Let a `read` that waits for more, in another thread, see the end of the file now."""

    def close(self) -> None:
        """Let go of the file."""


class MediaReader:
    """Reads whatever FFmpeg can, through PyAV; see `Reader` for the attributes.

    Args:
        path: a local file, or ``-`` for standard input.
        threads: of the video decoder; 0 lets FFmpeg choose.
        strict: whether a damage is an error.
        reads_along: whether packets of the streams besides the picture come between the frames, and not covers alone.

    Raises:
        InputError: the file cannot be opened, holds no video, or one that is too large.
    """

    def __init__(self, path: str, *, threads: int = 0, strict: bool = False, reads_along: bool = True) -> None:
        self._pipe = standard_input() if path == "-" else None
        self._input = open_container(path, self._pipe)
        try:
            self._video = main_video(self._input, path)
            limit_frame_size(path, self._video.codec_context)
        except InputError:
            self._input.close()
            raise
        self._decoder = _alpha_decoder(self._video, threads)
        self._video.codec_context.thread_type = "AUTO"
        self._video.codec_context.thread_count = threads
        self.video: VideoStream | None = self._video
        self.other_streams = tuple(stream for stream in self._input.streams if stream.index != self._video.index)
        self.read_along = tuple(
            stream for stream in self.other_streams if has_packets(stream, only_covers=not reads_along)
        )
        self.damage = DamageLog(path, strict=strict)
        self._storage = Storage(path)
        self._order = Ordering(self._video.codec_context.name)
        self._packet_index = 0
        self._failed = 0
        self._frames = 0
        self._end: int | None = None
        self._is_whole = True
        self._path = path
        self._describe()

    def _describe(self) -> None:
        video = self._video
        self.container = self._input.format.name
        self.codec = video.codec_context.name
        self.time_base = video.time_base or Fraction(1, 90000)
        self.sample_aspect_ratio = video.sample_aspect_ratio or Fraction(1)
        self.average_rate = _plausible_rate(video)
        self.frame_count = video.frames or None
        self.duration_seconds = _duration_seconds(self._input, video)
        self.metadata = dict(self._input.metadata)
        self.chapters = read_chapters(self._input)
        self.start_seconds = start_seconds(video, self._input)

    def read(self) -> Iterator[VideoFrame | StreamPacket]:
        """Decode to the end; what is damaged is noted in ``damage`` and skipped.

        Raises:
            InputError: the file system fails, or the file gives packets or frames without end.
        """
        failures = 0
        while failures < MOST_FAILURES:
            index = self._packet_index
            try:
                for packet in self._packets():
                    # Not packet.stream_index: it is 0 in the empty packets that flush, whatever their stream.
                    if packet.stream.index == self._video.index:
                        yield from self._decode(cast(VideoPacket, packet))
                    elif packet.size:
                        self.damage.add_if_corrupt(packet, is_numbered=self._is_whole)
                        yield packet
                self._storage.check()
                self._note_shortfall()
                return
            except av.FFmpegError as error:
                self._storage.check()
                self._note(self._packet_index, self._reached_seconds, reason_of(error))
                failures = failures + 1 if index == self._packet_index else 0
            except OSError as error:
                raise InputError(self._path, f"cannot be read any further ({reason_of(error)})") from error

    def _packets(self) -> Iterator[StreamPacket]:
        for packet in packets_of(self._input, (self._video, *self.read_along)):
            raise_what_came(self._pipe)
            self._storage.count(packet.pos)
            yield packet
        raise_what_came(self._pipe)

    @property
    def _reached_seconds(self) -> Fraction | None:
        return None if self._end is None else self._end * self.time_base

    def _decode(self, packet: VideoPacket) -> list[VideoFrame]:
        """The frames that ``packet`` completes; the empty packet at the end flushes the decoder."""
        if not packet.size and packet.dts is not None:
            return []  # an empty sample, which would flush it too early
        index, self._packet_index = self._packet_index, self._packet_index + bool(packet.size)
        self._order.sent(index, packet)
        seconds = None if packet.pts is None else packet.pts * self.time_base
        if packet.is_corrupt:
            self._note(index, seconds, MARKED_CORRUPT)
        try:
            frames = packet.decode() if self._decoder is None else self._decoder.decode(packet if packet.size else None)
        except EOFError:
            return []
        except av.FFmpegError as error:
            self._give_up_at_last(error)
            self._note(max(self._packet_index - 1, 0), seconds, reason_of(error))
            return []
        for frame in frames:
            self._look_at(frame)
        if not packet.size:
            self._look_for_lost(None)
        return frames

    def _give_up_at_last(self, error: av.FFmpegError) -> None:
        self._failed += 1
        if not self._frames and self._failed >= HOPELESS_PACKETS:
            raise InputError(self._path, f"its first {HOPELESS_PACKETS} packets hold no frame that decodes") from error

    def _look_at(self, frame: VideoFrame) -> None:
        """Note what the decoder concealed, and packets that gave no picture."""
        self._frames += 1
        if self._frames > MOST_FRAMES:
            raise InputError(
                self._path, f"holds more than {MOST_FRAMES} frames; paint it in parts (--start, --duration)"
            )
        if frame.pts is None:
            return
        self._end = max(frame.pts + (frame.duration or 0), self._end or frame.pts)
        index = self._order.came(frame.pts)
        if frame.is_corrupt:
            place = max(self._packet_index - 1, 0) if index is None else index
            self._note(place, frame.pts * self.time_base, "parts of the picture are lost, and concealed")
        self._look_for_lost(frame.pts)

    def _look_for_lost(self, before: int | None) -> None:
        """Decoders with threads report a failure late, and some none at all: the picture that is missing tells."""
        for index, pts in self._order.lost(before):
            seconds = pts * self.time_base
            if self.damage.move(range(index, index + self._order.lateness), index, seconds):
                continue
            if self._order.is_strict:
                self._note(index, seconds, "no picture came of it")

    def _note_shortfall(self) -> None:
        """A file cut short ends like a whole one, but most containers say beforehand how much there is.

        Edit lists leave out frames that are counted, so that the time, which they shorten too, has the last word.
        """
        reason = what_is_missing(self._path, self.container)
        duration, start, count = self._video.duration, self._video.start_time, self.frame_count
        if self._is_whole and self.container.startswith("mov") and duration and count and self._end is not None:
            missing = (start or 0) + duration - self._end
            if self._frames < count and (missing * self.time_base > 1 or missing > duration / 20):
                reason = f"the file ends after {self._frames} of {count} frames; check that it is complete"
        if reason is not None:
            self._note(self._packet_index, self._reached_seconds, reason)

    def _note(self, packet_index: int, seconds: Fraction | None, reason: str) -> None:
        self.damage.add(Damage(packet_index, seconds, reason, is_numbered=self._is_whole))

    def seek(self, seconds: Fraction) -> None:
        """Go to a key frame at or before ``seconds``, as far as the container's index can be trusted."""
        self._is_whole = False
        self._order.clear()
        self._input.seek(int(seconds // self.time_base), stream=self._video)
        if self._decoder is not None:
            self._decoder.flush_buffers()

    def stop(self) -> None:
        """End a wait for standard input; a file never keeps anyone waiting."""
        if self._pipe is not None:
            self._pipe.stop()

    def close(self) -> None:
        """Let go of the file and the decoder."""
        # Its threads must be at rest when it is freed: that waits for them with Python's lock, which their log wants.
        self._video.codec_context.flush_buffers()
        if self._decoder is not None:
            self._decoder.flush_buffers()
        self._input.close()


def _alpha_decoder(video: VideoStream, threads: int) -> VideoCodecContext | None:
    """The decoder for VP8 or VP9 with an alpha, which FFmpeg's own leave out; None for all other streams."""
    metadata = {key.casefold(): text for key, text in video.metadata.items()}
    library = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(video.codec_context.name)
    if library is None or metadata.get("alpha_mode") != "1" or library not in av.codecs_available:
        return None
    decoder = cast("VideoCodecContext", av.CodecContext.create(library, "r"))
    decoder.thread_count = threads
    return decoder


def main_video(container: InputContainer, path: str) -> VideoStream:
    """The first video stream that is no cover picture, as players choose; the best in quality can be another."""
    covers = 0
    for stream in container.streams.video:
        if stream.codec_context is None:
            continue
        if not is_cover(stream):
            return stream
        covers += 1
    if not len(container.streams):
        raise InputError(path, "holds no stream at all; check that the file is complete")
    only = "only a cover picture" if covers else f"only {', '.join(sorted({s.type for s in container.streams}))}"
    raise InputError(path, f"holds no video that can be decoded ({only}); give a file with a video track")


def has_packets(stream: Stream, *, only_covers: bool = False) -> bool:
    """Whether packets of ``stream`` are read; attachments stand in the header, and what is no cover can be left out."""
    return is_cover(stream) if only_covers else stream.type != "attachment" and not is_chapter_track(stream)


def start_seconds(video: VideoStream, container: InputContainer) -> Fraction | None:
    """When the earliest of the picture and the sound begins; None where the header does not tell.

    A sound that claims to begin months from the picture is not asked.
    """
    sounds = [stream for stream in container.streams.audio if stream.codec_context is not None]
    starts = [
        stream.start_time * stream.time_base
        for stream in (video, *sounds)
        if stream.start_time is not None and stream.time_base
    ]
    return min((start for start in starts if abs(start - starts[0]) < LONGEST_SECONDS), default=None)


def _plausible_rate(video: VideoStream) -> Fraction | None:
    """Containers without a rate make FFmpeg guess as much as 1000 frames per second."""
    for rate in (video.average_rate, video.guessed_rate):
        if rate and 1 <= rate <= 240:
            return rate
    return None


def _duration_seconds(container: InputContainer, video: VideoStream) -> float | None:
    if video.duration is not None and video.time_base:
        return float(video.duration * video.time_base)
    return None if container.duration is None else container.duration / av.time_base
