"""What every reader of an input file provides, and how streams of a file are chosen and described."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Protocol

import av
from av.container import InputContainer
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipeline.config import LONGEST_SECONDS
from pipeline.errors import InputError
from pipeline.media.chapters import Chapter
from pipeline.media.damage import DamageLog
from pipeline.media.packets import StreamPacket
from pipeline.media.stream_kinds import is_chapter_track, is_cover

# A demuxer that fails so often in a row, without a packet between, does not recover.
MAX_FAILURES = 100


class Reader(Protocol):
    """One pass over an input file, without knowing which part of it is wanted.

    Attributes:
        container: FFmpeg's name of the demuxer.
        codec: FFmpeg's name of the video decoder.
        time_base: seconds per unit of pts of the frames.
        sample_aspect_ratio: width of a stored pixel over its height.
        average_rate: frames per second on average, None if unknown.
        frame_count: number of frames by the header, None if unknown.
        duration_seconds: by the header, None if unknown.
        start_seconds: when the earliest of video and audio starts, None if unknown.
        video: the main video stream, None if PyAV does not read the file.
        other_streams: all other streams.
        side_streams: the other streams whose packets are read.
        chapters: of the whole file.
        metadata: of the file.
        damage: places that could not be read as written.
    """

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
    side_streams: tuple[Stream, ...]
    chapters: list[Chapter]
    metadata: dict[str, str]
    damage: DamageLog

    def read(self) -> Iterator[VideoFrame | StreamPacket]:
        """Yield frames in presentation order, and packets of the side streams, from the current position on."""

    def seek(self, seconds: Fraction) -> None:
        """Go to a key frame at or before ``seconds``, if the container can seek."""

    def stop(self) -> None:
        """End a `read` that waits for input, in another thread, as if the file ended."""

    def close(self) -> None:
        """Close the file."""


def main_video(container: InputContainer, path: str) -> VideoStream:
    """Return the first video stream that is not a cover, as players choose; it need not be the best in quality.

    Raises:
        InputError: there is none.
    """
    covers = 0
    for stream in container.streams.video:
        if stream.codec_context is None:
            continue
        if not is_cover(stream):
            return stream
        covers += 1
    if not len(container.streams):
        raise InputError(path, "has no streams at all; check that the file is complete")
    only = "only a cover picture" if covers else f"only {', '.join(sorted({s.type for s in container.streams}))}"
    raise InputError(path, f"has no video that can be decoded ({only}); give a file with a video track")


def has_packets(stream: Stream, *, only_covers: bool = False) -> bool:
    """Return whether packets of ``stream`` are read: attachments and chapter tracks are in the header."""
    return is_cover(stream) if only_covers else stream.type != "attachment" and not is_chapter_track(stream)


def start_seconds(video: VideoStream, container: InputContainer) -> Fraction | None:
    """Return when the earliest of video and audio starts; None if the header does not say.

    Audio that claims to start months from the video is ignored.
    """
    audio = [stream for stream in container.streams.audio if stream.codec_context is not None]
    starts = [
        stream.start_time * stream.time_base
        for stream in (video, *audio)
        if stream.start_time is not None and stream.time_base
    ]
    return min((start for start in starts if abs(start - starts[0]) < LONGEST_SECONDS), default=None)


def plausible_rate(video: VideoStream) -> Fraction | None:
    """Return the average frame rate; FFmpeg guesses up to 1000 frames per second for containers without one."""
    for rate in (video.average_rate, video.guessed_rate):
        if rate and 1 <= rate <= 240:
            return rate
    return None


def duration_seconds(container: InputContainer, video: VideoStream) -> float | None:
    """Return the duration by the header; None if unknown."""
    if video.duration is not None and video.time_base:
        return float(video.duration * video.time_base)
    return None if container.duration is None else container.duration / av.time_base
