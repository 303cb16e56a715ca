"""The plan of an output file: everything about it but its pixels and packets."""

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
from pipeline.system.files.names import destination

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
        add_damage: called with each damaged place of a converted stream, in output time.
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
    add_damage: Callable[[Damage], None] | None = field(default=None, repr=False, compare=False)
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
    """Everything about the output but its pixels; made by `pipeline.encode.planner.plan_output`.

    Attributes:
        target: the file as the user named it, or ``-``.
        replaces: whether the output replaces an existing file; otherwise a file that appears meanwhile is an error.
        container: its container.
        encoder: the video encoder.
        options: the options to open the encoder with.
        threads: number of threads of the encoder; 0 lets it choose.
        width: of the stylized frames, in pixels.
        height: of the stylized frames, in pixels.
        pixel_format: FFmpeg's name of the encoder's pixel format.
        time_base: seconds per unit of pts of the video stream; the source's if the container supports it.
        rate: frames per second on average; a hint to the encoder, never a clock.
        sample_aspect_ratio: width of a pixel over its height.
        color: how samples are written and tagged.
        background: grey (0 or 255) under transparent frames if the pixel format has no alpha.
        streams: what happens to each other stream of the source.
        chapters: of the output.
        metadata: of the file.
        has_free_keys: whether mp4 and mov store metadata under arbitrary keys.
        video_metadata: of the video stream.
        video_disposition: FFmpeg's disposition flags of the video stream.
        notices: what the user should know, one line each.
        gpu: number of the GPU that a hardware encoder runs on; None for the first.
        keeps_ticks: whether an mp4 or mov must count in ticks of ``time_base``, and in no finer ones.
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
    gpu: int | None = None
    keeps_ticks: bool = False

    @property
    def path(self) -> str:
        """Absolute path of the file ``target``."""
        return destination(self.target, may_replace=self.replaces)

    @property
    def carried(self) -> tuple[StreamMapping, ...]:
        """The source streams that have a track in the output."""
        return tuple(stream for stream in self.streams if stream.action != "drop" and stream.has_track)
