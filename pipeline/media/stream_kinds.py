"""The kinds of streams in a file, and how messages name a stream."""

from av.stream import Discard, Disposition, Stream

from pipeline.errors import printable

_COVERS = Disposition.attached_pic | Disposition.timed_thumbnails


def codec_name(stream: Stream) -> str | None:
    """Return FFmpeg's name of the codec, or the MIME type of an attachment; None if unknown."""
    if stream.codec_context is not None:
        return stream.codec_context.codec.canonical_name
    if is_timecode(stream):
        return "timecode"
    if stream.type == "attachment":
        return printable(stream.metadata.get("mimetype", "")) or None
    return getattr(stream, "name", None)  # not every stream of PyAV has a name


def is_cover(stream: Stream) -> bool:
    """Return whether a video stream is a cover image."""
    return stream.type == "video" and bool(stream.disposition & _COVERS)


def stream_kind(stream: Stream) -> str:
    """Return ``audio``, ``subtitle``, ``video``, ``cover``, ``attachment``, ``data`` or ``unknown``."""
    return "cover" if is_cover(stream) else stream.type


def stream_label(stream: Stream) -> str:
    """Return the name of a stream for messages, as in ``audio stream 2 (aac, eng)``."""
    name = stream.metadata.get("filename") if stream.type == "attachment" else codec_name(stream)
    details = ", ".join(printable(text) for text in (name, stream.language) if text and text != "und")
    kind = "cover image" if is_cover(stream) else f"{stream.type} stream"
    return f"{kind} {stream.index}" + (f" ({details})" if details else "")


def is_text(stream: Stream) -> bool:
    """Return whether a stream is text subtitles, which can be converted, and not image subtitles."""
    return stream.type == "subtitle" and stream.codec_context is not None and stream.codec_context.codec.text_sub


def is_timecode(stream: Stream) -> bool:
    """Return whether a data stream is a time code, which the metadata contain too."""
    return stream.type == "data" and stream.name is None and "timecode" in stream.metadata


def is_chapter_track(stream: Stream) -> bool:
    """Return whether a data stream only repeats the chapters, as in mp4 and mov files."""
    return stream.type == "data" and stream.name == "bin_data" and stream.discard == Discard.all


def has_packets(stream: Stream) -> bool:
    """Return whether packets of ``stream`` are of use; attachments and chapter tracks are in the header."""
    return stream.type != "attachment" and not is_chapter_track(stream)
