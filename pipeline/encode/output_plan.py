"""What an output file is to be, as it is handed from the stage that decides to those that write."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from pipeline.frames import Color
from pipeline.media.chapters import Chapter
from pipeline.media.codecs import Container, Encoder
from pipeline.media.stream_kinds import StreamPlan


@dataclass(frozen=True, slots=True)
class OutputPlan:
    """Everything about the output but its pixels; made by `plan_output`.

    Attributes:
        target: the file as the user named it, or ``-``.
        replaces: whether the output takes the place of a file; else one that comes there meanwhile stays.
        container: its kind.
        encoder: of the picture.
        options: the encoder is opened with.
        threads: of the encoder; 0 lets it choose.
        width: of the frames that will come, in pixels.
        height: of the frames that will come, in pixels.
        pixel_format: FFmpeg's name of what the encoder is given.
        time_base: seconds per unit of pts of the video stream; the source's wherever the container can hold it.
        rate: frames per second on average; a hint to the encoder, never a clock.
        sample_aspect_ratio: width of a pixel over its height.
        color: how the samples are written, and tagged.
        background: the grey, 0 or 255, that transparent frames are laid over where the pixel format has no alpha.
        streams: what becomes of each stream of the source besides the picture.
        chapters: of the output.
        metadata: of the whole file.
        has_free_keys: whether mp4 and mov write metadata under keys of any name.
        video_metadata: of the picture's stream.
        video_disposition: of the picture's stream, FFmpeg's flags.
        notices: what the user should know, a line each.
    """

    target: str
    replaces: bool
    container: Container
    encoder: Encoder
    options: Mapping[str, str]
    threads: int
    width: int
    height: int
    pixel_format: str
    time_base: Fraction
    rate: Fraction
    sample_aspect_ratio: Fraction
    color: Color
    background: int
    streams: tuple[StreamPlan, ...]
    chapters: tuple[Chapter, ...]
    metadata: Mapping[str, str]
    has_free_keys: bool
    video_metadata: Mapping[str, str]
    video_disposition: int
    notices: tuple[str, ...]

    @property
    def carried(self) -> tuple[StreamPlan, ...]:
        """The streams that the output has besides its picture."""
        return tuple(stream for stream in self.streams if stream.action != "drop" and stream.has_track)
