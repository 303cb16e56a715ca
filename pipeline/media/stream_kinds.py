"""What becomes of one stream of the source, and how a stream is spoken of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from av.stream import Discard, Disposition, Stream

from pipeline.media.damage import Damage

Action = Literal["copy", "convert", "drop"]

_COVERS = Disposition.attached_pic | Disposition.timed_thumbnails


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """What becomes of one stream.

    Attributes:
        stream: of the source, as PyAV knows it.
        action: ``copy`` (bit for bit), ``convert`` or ``drop``.
        encoder: FFmpeg's name of the encoder of a stream that is converted.
        layout: of the channels where sound is converted.
        reason: why it is not copied; empty where it is.
        payload: the whole picture of a cover.
        has_track: whether it is a stream of the output too; a time code becomes metadata.
        damaged: called with each place of a stream that is converted which does not decode, in the time of the output.
        entry: for a summary: ``index``, ``type``, ``codec``, ``language``, ``action``, ``to`` and ``reason``; still
            there when the source is closed, and the stream must not be touched any more.
    """

    stream: Stream = field(repr=False)  # PyAV reads freed memory where the file is closed
    action: Action = "copy"
    encoder: str | None = None
    layout: str = "stereo"
    reason: str = ""
    payload: bytes | None = None
    has_track: bool = True
    damaged: Callable[[Damage], None] | None = field(default=None, repr=False, compare=False)
    entry: Mapping[str, object] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "entry", self._described())

    @property
    def to(self) -> str | None:
        """The codec in the output; None where the stream is dropped."""
        if self.action == "drop":
            return None
        return self.encoder or codec_of(self.stream)

    def _described(self) -> dict[str, object]:
        return {
            "index": self.stream.index,
            "type": kind_of(self.stream),
            "codec": codec_of(self.stream),
            "language": printable(self.stream.language or "") or None,
            "action": self.action,
            "to": self.to,
            "reason": self.reason or None,
        }


def codec_of(stream: Stream) -> str | None:
    """FFmpeg's name of the codec, or the kind of an attachment, where there is one."""
    if stream.codec_context is not None:
        return stream.codec_context.codec.canonical_name
    if is_timecode(stream):
        return "timecode"
    if stream.type == "attachment":
        return printable(stream.metadata.get("mimetype", "")) or None
    return getattr(stream, "name", None)  # PyAV gives not all of them a name


def is_cover(stream: Stream) -> bool:
    """Whether a video stream is a picture that belongs to the file, and no moving picture."""
    return stream.type == "video" and bool(stream.disposition & _COVERS)


def kind_of(stream: Stream) -> str:
    """``audio``, ``subtitle``, ``video``, ``cover``, ``attachment``, ``data`` or ``unknown``."""
    return "cover" if is_cover(stream) else stream.type


def called(stream: Stream) -> str:
    """How a stream is named in notices: ``audio stream 2 (aac, eng)``."""
    name = stream.metadata.get("filename") if stream.type == "attachment" else codec_of(stream)
    told = ", ".join(printable(part) for part in (name, stream.language) if part and part != "und")
    kind = "cover picture" if is_cover(stream) else f"{stream.type} stream"
    return f"{kind} {stream.index}" + (f" ({told})" if told else "")


def printable(text: str) -> str:
    """Without what no terminal and no JSON can take: bytes that are no UTF-8, line breaks."""
    valid = text.encode("utf-8", "replace").decode()
    return "".join(letter if letter.isprintable() else "?" for letter in valid)


def is_text(stream: Stream) -> bool:
    """Whether subtitles are text, which can be converted, and no pictures."""
    return stream.type == "subtitle" and stream.codec_context is not None and stream.codec_context.codec.text_sub


def is_timecode(stream: Stream) -> bool:
    """Whether a data stream is a time code, which stands in the metadata too."""
    return stream.type == "data" and stream.name is None and "timecode" in stream.metadata


def is_chapter_track(stream: Stream) -> bool:
    """Whether a data stream only repeats the chapters, as it does in mp4 and mov files."""
    return stream.type == "data" and stream.name == "bin_data" and stream.discard == Discard.all
