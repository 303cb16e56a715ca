"""What becomes of one stream of the source, and how a stream is spoken of."""

from av.stream import Discard, Disposition, Stream

_COVERS = Disposition.attached_pic | Disposition.timed_thumbnails


def codec_name(stream: Stream) -> str | None:
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


def stream_kind(stream: Stream) -> str:
    """``audio``, ``subtitle``, ``video``, ``cover``, ``attachment``, ``data`` or ``unknown``."""
    return "cover" if is_cover(stream) else stream.type


def stream_label(stream: Stream) -> str:
    """How a stream is named in notices: ``audio stream 2 (aac, eng)``."""
    name = stream.metadata.get("filename") if stream.type == "attachment" else codec_name(stream)
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
