"""Metadata of the output: what of the source's is still true, and what its container can store."""

import io
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import av

from pipeline.errors import printable
from pipeline.media.containers import Container

# Keys, in lower case, that a muxer writes itself, or that are only true of the source file.
_STALE = frozenset({"encoder", "major_brand", "minor_version", "compatible_brands", "duration", "software", "rotate"})
_STALE_OF_STREAM = frozenset({"duration", "vendor_id", "number_of_frames", "number_of_bytes", "bps", "rotate"})
_STALE_WHEN_ENCODED = frozenset({"encoder", "encoder_options", "alpha_mode"})
_TIMECODE = "timecode"
# Languages with two codes in ISO 639-2, or with a code of Apple's own.
_OTHER_CODES = {
    "deu": "ger", "nld": "dut", "swe": "sve", "ell": "gre", "isl": "ice", "zho": "chi", "sqi": "alb", "mkd": "mac",
    "kat": "geo", "gle": "iri", "rum": "ron", "cze": "ces", "slo": "slk", "fre": "fra", "hye": "arm", "bod": "tib",
    "mya": "bur", "msa": "may", "cym": "wel", "eus": "baq", "nob": "nor", "nno": "nor",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class OutputMetadata:
    """The metadata of an output.

    Attributes:
        file: of the file.
        video: of the video stream.
        has_free_keys: whether mp4 and mov store arbitrary keys, in a form that fewer players read.
        timecode_fault: why the time code is dropped; None if it is kept, or there is none.
        notices: what the user should know, one line each.
    """

    file: Mapping[str, str]
    video: Mapping[str, str]
    has_free_keys: bool
    timecode_fault: str | None
    notices: tuple[str, ...]


def stream_metadata(metadata: Mapping[str, str], container: str, *, is_encoded: bool) -> dict[str, str]:
    """Return what of a source stream's metadata is true of the output stream; titles under one key.

    Args:
        metadata: of the source stream.
        container: FFmpeg's name of the output's muxer.
        is_encoded: whether the output stream is encoded, not copied.
    """
    stale = _STALE_OF_STREAM | _STALE_WHEN_ENCODED if is_encoded else _STALE_OF_STREAM
    current = {
        key: text
        for key, text in metadata.items()
        if key.casefold().partition("-")[0] not in stale and not key.startswith("_STATISTICS")
    }
    if "language" in current:
        language = _supported_language(current.pop("language"), container)
        current |= {"language": language} if language is not None else {}
    if "name" in current and "title" not in current:  # mp4 and mov return a title as the name
        current["title"] = current.pop("name")
    return current


@lru_cache
def _supported_language(language: str, container: str) -> str | None:
    """Return the container's code of a language; mov has a list of its own, and few languages in it."""
    if container != "mov" or language == "und":
        return language
    codes = {language, _OTHER_CODES.get(language, language)}
    codes |= {other for other, code in _OTHER_CODES.items() if code == language}
    for code in sorted(codes, key=lambda code: code != language):
        if "language" in (_read_back({}, {"language": code}, container, Fraction(30), of_stream=True) or {}):
            return code
    return None


def choose_metadata(
    file: Mapping[str, str],
    video: Mapping[str, str],
    container: Container,
    rate: Fraction,
    *,
    is_start_trimmed: bool,
    has_cover: bool,
) -> OutputMetadata:
    """Choose the metadata that ``container`` can store, by writing it into a scratch file in memory.

    Args:
        file: metadata of the source.
        video: metadata of the source's main video stream.
        container: of the output.
        rate: frames per second, by which a time code counts.
        is_start_trimmed: whether the output starts later than the source, so that its time code would be wrong.
        has_cover: whether the output has a cover; FFmpeg's mp4 muxer then cannot store arbitrary keys.
    """
    file = {key: text for key, text in file.items() if key.casefold() not in _STALE}
    video = stream_metadata(video, container.name, is_encoded=True)
    fault = _timecode_fault(file, video, container, rate, is_start_trimmed)
    notices = []
    if fault is not None:
        notices.append(f"the time code is dropped: {fault}")
        file, video = _without_timecode(file), _without_timecode(video)
    lost = _unsupported_keys(file, video, container, rate)
    has_free_keys = bool(lost) and container.is_quicktime and not has_cover
    if lost and not has_free_keys:
        names = ", ".join(printable(key) for key in lost)
        notices.append(f"metadata is dropped ({names}): {container.suffix} files do not support it")
    return OutputMetadata(file, video, has_free_keys, fault, tuple(notices))


def _timecode_fault(
    file: Mapping[str, str], video: Mapping[str, str], container: Container, rate: Fraction, is_start_trimmed: bool
) -> str | None:
    """Return why the time code is dropped; None if it is kept, or there is none."""
    if container.is_animation or not any(key.casefold() == _TIMECODE for key in (*file, *video)):
        return None
    if is_start_trimmed:
        return "the output starts later"
    if container.is_quicktime and _read_back(file, video, container.name, rate) is None:
        return f"{container.suffix} files do not support it at this frame rate"
    return None


def _without_timecode(metadata: Mapping[str, str]) -> dict[str, str]:
    return {key: text for key, text in metadata.items() if key.casefold() != _TIMECODE}


def _unsupported_keys(
    file: Mapping[str, str], video: Mapping[str, str], container: Container, rate: Fraction
) -> list[str]:
    """Return the keys of ``file`` that cannot be read back from the container; Matroska stores all."""
    if container.is_animation:
        return list(file)
    if not file or not container.is_quicktime:
        return []
    stored = {key.casefold() for key in _read_back(file, video, container.name, rate) or {}}
    return [key for key in file if key.casefold() not in stored]


def _read_back(
    file: Mapping[str, str], video: Mapping[str, str], container: str, rate: Fraction, *, of_stream: bool = False
) -> dict[str, str] | None:
    """Write the metadata into a file of one small frame; return what is read back, None if the muxer fails."""
    buffer = io.BytesIO()
    output = av.open(buffer, "w", format=container, metadata_errors="surrogateescape")
    try:
        stream = output.add_stream("mjpeg", rate=rate)  # which supports any rate, unlike MPEG-4
        stream.width = stream.height = 16
        stream.pix_fmt = "yuvj420p"
        stream.metadata.update(video)
        output.metadata.update(file)
        output.mux(stream.encode(av.VideoFrame(16, 16, "yuvj420p")))
        output.mux(stream.encode(None))
        output.close()
    except av.FFmpegError:
        with suppress(av.FFmpegError):
            output.close()
        return None
    buffer.seek(0)
    with av.open(buffer, metadata_errors="surrogateescape") as written:
        return dict(written.streams[0].metadata if of_stream else written.metadata)
