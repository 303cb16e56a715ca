"""What an output file is to be, as it is handed from the stage that decides to those that write."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from av.stream import Stream

from pipeline.errors import printable
from pipeline.frames import Color
from pipeline.media.chapters import Chapter
from pipeline.media.codecs import Encoder
from pipeline.media.containers import Container
from pipeline.media.damage import Damage
from pipeline.media.stream_kinds import codec_name, stream_kind

Action = Literal["copy", "convert", "drop"]


@dataclass(frozen=True, slots=True)
class StreamMapping:
    """What happens to one source stream besides the main video.

    Attributes:
        stream: the source stream.
        action: ``copy`` (bit for bit), ``convert`` or ``drop``.
        encoder: FFmpeg's name of the encoder of a converted stream.
        layout: channel layout of converted audio.
        reason: why the stream is not copied; empty if it is.
        payload: the image file of a cover.
        has_track: whether the output has a track for it; a time code is stored as metadata instead.
        damaged: called with each damaged place of a converted stream, in output time.
        entry: description for the summary: ``index``, ``type``, ``codec``, ``language``, ``action``, ``to`` and
            ``reason``; valid after the source is closed, unlike ``stream``.
    """

    stream: Stream = field(repr=False)  # PyAV reads freed memory once the file is closed
    action: Action = "copy"
    encoder: str | None = None
    layout: str = "stereo"
    reason: str = ""
    payload: bytes | None = None
    has_track: bool = True
    damaged: Callable[[Damage], None] | None = field(default=None, repr=False, compare=False)
    entry: Mapping[str, object] = field(init=False)

    def __post_init__(self) -> None:
        entry = {
            "index": self.stream.index,
            "type": stream_kind(self.stream),
            "codec": codec_name(self.stream),
            "language": printable(self.stream.language or "") or None,
            "action": self.action,
            "to": self.to,
            "reason": self.reason or None,
        }
        object.__setattr__(self, "entry", entry)

    @property
    def to(self) -> str | None:
        """The codec in the output; None if the stream is dropped."""
        return None if self.action == "drop" else self.encoder or codec_name(self.stream)


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
    streams: tuple[StreamMapping, ...]
    chapters: tuple[Chapter, ...]
    metadata: Mapping[str, str]
    has_free_keys: bool
    video_metadata: Mapping[str, str]
    video_disposition: int
    notices: tuple[str, ...]

    @property
    def carried(self) -> tuple[StreamMapping, ...]:
        """The streams that the output has besides its picture."""
        return tuple(stream for stream in self.streams if stream.action != "drop" and stream.has_track)
