"""The header of an input file, and the interface of all readers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

import av
from av.container import InputContainer
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipeline.config import LONGEST_SECONDS
from pipeline.errors import InputError
from pipeline.media.chapters import Chapter, read_chapters
from pipeline.media.damage import DamageLog
from pipeline.media.packets import StreamPacket
from pipeline.media.stream_kinds import is_cover

# What a frame takes at least, with its place in the container: one that repeats the frame before.
LEAST_FRAME_BYTES = 8


@dataclass(frozen=True)
class Header:
    """The header of an input file; what a header may lack can be None.

    Attributes:
        container: FFmpeg's name of the demuxer.
        codec: FFmpeg's name of the video decoder.
        time_base: seconds per unit of pts of the frames.
        sample_aspect_ratio: width of a stored pixel over its height.
        average_rate: frames per second on average.
        frame_count: number of frames.
        most_frames: more do not fit into the file; None if its size is unknown.
        duration_seconds: of the video, or of the file.
        start_seconds: when the earliest of video and audio starts.
        video: the main video stream; None if PyAV does not read the file.
        other_streams: all other streams.
        chapters: of the whole file.
        metadata: of the file.
    """

    container: str
    codec: str
    time_base: Fraction
    sample_aspect_ratio: Fraction = Fraction(1)
    average_rate: Fraction | None = None
    frame_count: int | None = None
    most_frames: int | None = None
    duration_seconds: float | None = None
    start_seconds: Fraction | None = None
    video: VideoStream | None = field(default=None, repr=False)
    other_streams: tuple[Stream, ...] = field(default=(), repr=False)
    chapters: tuple[Chapter, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


class Reader(Protocol):
    """One pass over an input file, without trimming.

    Attributes:
        header: the header of the file.
        side_streams: the streams besides the main video whose packets are read.
        damage: places that could not be read as written.
    """

    header: Header
    side_streams: tuple[Stream, ...]
    damage: DamageLog

    def read(self) -> Iterator[VideoFrame | StreamPacket]:
        """Yield frames in presentation order, and packets of the side streams, from the current position on."""

    def seek(self, seconds: Fraction) -> None:
        """Go to a key frame at or before ``seconds``, if the container can seek."""

    def stop(self) -> None:
        """End a `read` that waits for input, in another thread, as if the file ended."""

    def close(self) -> None:
        """Close the file."""


def read_header(container: InputContainer, video: VideoStream) -> Header:
    """Return the header of an open file with the main video ``video``."""
    duration = None if container.duration is None else container.duration / av.time_base
    if video.duration is not None and video.time_base:
        duration = float(video.duration * video.time_base)
    return Header(
        container=container.format.name,
        codec=video.codec_context.name,
        time_base=video.time_base or Fraction(1, 90000),
        sample_aspect_ratio=video.sample_aspect_ratio or Fraction(1),
        # FFmpeg guesses up to 1000 frames per second for containers without a rate.
        average_rate=next(
            (rate for rate in (video.average_rate, video.guessed_rate) if rate and 1 <= rate <= 240), None
        ),
        frame_count=video.frames or None,
        most_frames=container.size // LEAST_FRAME_BYTES if container.size > 0 else None,
        duration_seconds=duration if duration is not None and 0 < duration <= LONGEST_SECONDS else None,
        start_seconds=_start_seconds(video, container),
        video=video,
        other_streams=tuple(stream for stream in container.streams if stream.index != video.index),
        chapters=tuple(read_chapters(container)),
        metadata=dict(container.metadata),
    )


def main_video(container: InputContainer, path: str) -> VideoStream:
    """Return the first video stream that is not a cover, as players choose; it need not be the best in quality.

    Raises:
        InputError: there is none.
    """
    streams = [stream for stream in container.streams.video if stream.codec_context is not None]
    video = next((stream for stream in streams if not is_cover(stream)), None)
    if video is not None:
        return video
    if not len(container.streams):
        raise InputError(path, "has no streams at all; check that the file is complete")
    kinds = "a cover image" if streams else ", ".join(sorted({stream.type for stream in container.streams}))
    raise InputError(path, f"has no video that can be decoded (only {kinds}); give a file with a video track")


def _start_seconds(video: VideoStream, container: InputContainer) -> Fraction | None:
    """Return when the earliest of video and audio starts, without audio that claims to start months away."""
    audio = [stream for stream in container.streams.audio if stream.codec_context is not None]
    starts = [
        stream.start_time * stream.time_base
        for stream in (video, *audio)
        if stream.start_time is not None and stream.time_base
    ]
    return min((start for start in starts if abs(start - starts[0]) < LONGEST_SECONDS), default=None)
