"""One pass over a media file: decoded video frames, and the audio packets between them as they are.

A reader knows neither where a clip is cut nor what pixels are wanted; `pipeline.source` and `pipeline.decode` do.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol, cast

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipeline.errors import InputError
from pipeline.opening import open_container, raise_what_came, reason_of, standard_input

if TYPE_CHECKING:
    AudioPacket = Packet[AudioStream]
    VideoPacket = Packet[VideoStream]
else:  # generic in the type stubs alone
    AudioPacket = VideoPacket = Packet

# A clip is given up when so many packets have failed before a first frame.
HOPELESS_PACKETS = 500


@dataclass(frozen=True, slots=True)
class Damage:
    """A place where the input could not be read; reading went on behind it.

    Attributes:
        packet_index: zero-based index of the video packet that failed, or was next when the container failed; a
            decoder with several threads may report it a few packets late.
        seconds: its presentation time in the input; None where it has none.
        reason: in FFmpeg's words.
    """

    packet_index: int
    seconds: Fraction | None
    reason: str


class Reader(Protocol):
    """What `pipeline.source.Source` needs of a reader."""

    container: str
    codec: str
    time_base: Fraction
    sample_aspect_ratio: Fraction
    average_rate: Fraction | None
    frame_count: int | None
    duration_seconds: float | None
    start_seconds: Fraction | None
    audio: tuple[AudioStream, ...]
    others: tuple[Stream, ...]
    metadata: dict[str, str]
    damage: list[Damage]

    def read(self) -> Iterator[VideoFrame | AudioPacket]:
        """Frames in presentation order, and audio packets, from the current position on."""

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

    Raises:
        InputError: the file cannot be opened, or holds no video.
    """

    def __init__(self, path: str, *, threads: int = 0) -> None:
        self._pipe = standard_input() if path == "-" else None
        self._input = open_container(path, self._pipe)
        try:
            self._video = _main_video(self._input, path)
        except InputError:
            self._input.close()
            raise
        self._video.codec_context.thread_type = "AUTO"
        self._video.codec_context.thread_count = threads
        self.audio = tuple(stream for stream in self._input.streams.audio if stream.codec_context is not None)
        self.others = tuple(stream for stream in self._input.streams if not self._is_read(stream))
        self.damage: list[Damage] = []
        self._packet_index = 0
        self._is_hopeless = True
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
        starts = [_start_seconds(stream) for stream in (video, *self.audio)]
        self.start_seconds = min((start for start in starts if start is not None), default=None)

    def _is_read(self, stream: Stream) -> bool:
        return stream.index == self._video.index or any(stream.index == audio.index for audio in self.audio)

    def read(self) -> Iterator[VideoFrame | AudioPacket]:
        """Decode to the end; what is damaged is noted in ``damage`` and skipped."""
        failures = 0
        while failures < 100:
            index = self._packet_index
            try:
                for packet in self._packets():
                    # Not packet.stream_index: it is 0 in the empty packets that flush, whatever their stream.
                    if packet.stream.index == self._video.index:
                        yield from self._decode(cast("VideoPacket", packet))
                    elif packet.size:
                        yield cast("AudioPacket", packet)
                self._note_shortfall()
                return
            except av.FFmpegError as error:
                self.damage.append(Damage(self._packet_index, None, reason_of(error)))
                failures = failures + 1 if index == self._packet_index else 0
            except OSError as error:
                raise InputError(self._path, f"cannot be read any further ({reason_of(error)})") from error

    def _packets(self) -> Iterator["Packet[Stream]"]:
        for packet in self._input.demux((self._video, *self.audio)):
            raise_what_came(self._pipe)
            yield packet
        raise_what_came(self._pipe)

    def _decode(self, packet: VideoPacket) -> list[VideoFrame]:
        """The frames that ``packet`` completes; an empty packet flushes the decoder."""
        self._packet_index += bool(packet.size)
        try:
            frames = packet.decode()
            self._is_hopeless = self._is_hopeless and not frames
            self._frames += len(frames)
            ends = [frame.pts + (frame.duration or 0) for frame in frames if frame.pts is not None]
            self._end = max((end for end in (self._end, *ends) if end is not None), default=None)
            return frames
        except EOFError:
            return []
        except av.FFmpegError as error:
            time = packet.pts if packet.pts is not None else packet.dts
            seconds = None if time is None else time * self.time_base
            self.damage.append(Damage(max(self._packet_index - 1, 0), seconds, reason_of(error)))
            if self._is_hopeless and len(self.damage) >= HOPELESS_PACKETS:
                raise InputError(
                    self._path, f"its first {HOPELESS_PACKETS} packets hold no frame that decodes"
                ) from error
            return []

    def _note_shortfall(self) -> None:
        """A file cut short ends like a whole one, but an mp4 says beforehand how much there is.

        Edit lists leave out frames that are counted, so that the time, which they shorten too, has the last word.
        """
        duration, start, count = self._video.duration, self._video.start_time, self.frame_count
        if not (self._is_whole and self.container.startswith("mov") and duration and count and self._end is not None):
            return
        missing = (start or 0) + duration - self._end
        if self._frames < count and (missing * self.time_base > 1 or missing > duration / 20):
            reason = f"the file ends after {self._frames} of {count} frames; check that it is complete"
            self.damage.append(Damage(self._packet_index, self._end * self.time_base, reason))

    def seek(self, seconds: Fraction) -> None:
        """Go to a key frame at or before ``seconds``, as far as the container's index can be trusted."""
        self._is_whole = False
        self._input.seek(int(seconds // self.time_base), stream=self._video)

    def stop(self) -> None:
        """End a wait for standard input; a file never keeps anyone waiting."""
        if self._pipe is not None:
            self._pipe.stop()

    def close(self) -> None:
        """Let go of the file and the decoder."""
        self._input.close()


def _main_video(container: InputContainer, path: str) -> VideoStream:
    """The first video stream that is no cover picture, as players choose; the best in quality can be another."""
    covers = 0
    for stream in container.streams.video:
        if stream.codec_context is None:
            continue
        if not stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails):
            return stream
        covers += 1
    if not len(container.streams):
        raise InputError(path, "holds no stream at all; check that the file is complete")
    only = "only a cover picture" if covers else f"only {', '.join(sorted({s.type for s in container.streams}))}"
    raise InputError(path, f"holds no video that can be decoded ({only}); give a file with a video track")


def _start_seconds(stream: Stream) -> Fraction | None:
    if stream.start_time is None or not stream.time_base:
        return None
    return stream.start_time * stream.time_base


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
