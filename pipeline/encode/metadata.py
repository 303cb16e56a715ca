"""What a file says of itself and of its streams: what of it stays true in another one, and what is held there."""

import io
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import av

from pipeline.errors import printable
from pipeline.media.containers import Container

# Said by the container itself, wrong for another one, or true of the old file alone; lower case.
_STALE = frozenset({"encoder", "major_brand", "minor_version", "compatible_brands", "duration", "software", "rotate"})
_STALE_OF_STREAM = frozenset({"duration", "vendor_id", "number_of_frames", "number_of_bytes", "bps", "rotate"})
_STALE_WHEN_ENCODED = frozenset({"encoder", "encoder_options", "alpha_mode"})
_TIMECODE = "timecode"
_QUICKTIME = ("mp4", "mov")
# Languages that have two codes (ISO 639-2), or one of Apple's own.
_OTHER_CODES = {
    "deu": "ger", "nld": "dut", "swe": "sve", "ell": "gre", "isl": "ice", "zho": "chi", "sqi": "alb", "mkd": "mac",
    "kat": "geo", "gle": "iri", "rum": "ron", "cze": "ces", "slo": "slk", "fre": "fra", "hye": "arm", "bod": "tib",
    "mya": "bur", "msa": "may", "cym": "wel", "eus": "baq", "nob": "nor", "nno": "nor",
}  # fmt: skip
_ANIMATIONS = ("gif", "webp")


@dataclass(frozen=True, slots=True)
class FileMetadata:
    """What the output says of itself.

    Attributes:
        whole: of the file.
        picture: of the picture's stream.
        has_free_keys: whether mp4 and mov write keys of any name, in a way of their own that fewer players read.
        timecode_fault: why there is no time code any more; None where there is one, or never was.
        notices: what the user should know, a line each.
    """

    whole: Mapping[str, str]
    picture: Mapping[str, str]
    has_free_keys: bool
    timecode_fault: str | None
    notices: tuple[str, ...]


def stream_metadata(metadata: Mapping[str, str], container: str, *, is_encoded: bool) -> dict[str, str]:
    """What of a stream's metadata is true of its copy, or of what is encoded anew; titles under one name.

    Args:
        metadata: of the stream in the source.
        container: FFmpeg's name of the output's.
        is_encoded: whether the packets are new.
    """
    stale = _STALE_OF_STREAM | _STALE_WHEN_ENCODED if is_encoded else _STALE_OF_STREAM
    kept = {
        key: text
        for key, text in metadata.items()
        if key.casefold().partition("-")[0] not in stale and not key.startswith("_STATISTICS")
    }
    if "language" in kept:
        language = _held_language(kept.pop("language"), container)
        kept |= {"language": language} if language is not None else {}
    if "name" in kept and "title" not in kept:  # as mp4 and mov give back what was their title
        kept["title"] = kept.pop("name")
    return kept


@lru_cache
def _held_language(language: str, container: str) -> str | None:
    """The code by which the container knows a language; mov has a list of its own, and few languages in it."""
    if container != "mov" or language == "und":
        return language
    names = {language, _OTHER_CODES.get(language, language)}
    names |= {other for other, code in _OTHER_CODES.items() if code == language}
    for name in sorted(names, key=lambda name: name != language):
        if "language" in (_read_back({}, {"language": name}, container, Fraction(30), of_stream=True) or {}):
            return name
    return None


def plan_metadata(
    whole: Mapping[str, str],
    picture: Mapping[str, str],
    container: Container,
    rate: Fraction,
    *,
    is_start_trimmed: bool,
    has_cover: bool,
) -> FileMetadata:
    """Decide what is carried into ``container``, by writing it into a throw-away file.

    Args:
        whole: of the source.
        picture: of the source's video stream.
        container: of the output.
        rate: frames a second, by which a time code counts.
        is_start_trimmed: whether the output begins later than the source, so that its time code would be wrong.
        has_cover: whether the output has a cover picture; mp4 has no room for free keys beside it.
    """
    whole = {key: text for key, text in whole.items() if key.casefold() not in _STALE}
    picture = stream_metadata(picture, container.name, is_encoded=True)
    fault = _timecode_fault(whole, picture, container, rate, is_start_trimmed)
    notices = []
    if fault is not None:
        notices.append(f"the time code is dropped: {fault}")
        whole, picture = _without_timecode(whole), _without_timecode(picture)
    lost = _lost(whole, picture, container, rate)
    has_free_keys = bool(lost) and container.name in _QUICKTIME and not has_cover
    if lost and not has_free_keys:
        names = ", ".join(printable(key) for key in lost)
        notices.append(f"metadata is dropped ({names}): {container.suffix} files cannot hold it")
    return FileMetadata(whole, picture, has_free_keys, fault, tuple(notices))


def _timecode_fault(
    whole: Mapping[str, str], picture: Mapping[str, str], container: Container, rate: Fraction, is_start_trimmed: bool
) -> str | None:
    """Why the time code is not carried; None where it is, or where there is none."""
    if container.name in _ANIMATIONS or not (_has_timecode(whole) or _has_timecode(picture)):
        return None
    if is_start_trimmed:
        return "the part begins later"
    if container.name in _QUICKTIME and _read_back(whole, picture, container.name, rate) is None:
        return f"{container.suffix} files cannot hold it at this frame rate"
    return None


def _has_timecode(metadata: Mapping[str, str]) -> bool:
    return any(key.casefold() == _TIMECODE for key in metadata)


def _without_timecode(metadata: Mapping[str, str]) -> dict[str, str]:
    return {key: text for key, text in metadata.items() if key.casefold() != _TIMECODE}


def _lost(whole: Mapping[str, str], picture: Mapping[str, str], container: Container, rate: Fraction) -> list[str]:
    """The keys of ``whole`` that would not come back from a file; Matroska holds them all."""
    if container.name in _ANIMATIONS:
        return list(whole)
    if not whole or container.name not in _QUICKTIME:
        return []
    held = {key.casefold() for key in _read_back(whole, picture, container.name, rate) or {}}
    return [key for key in whole if key.casefold() not in held]


def _read_back(
    whole: Mapping[str, str],
    picture: Mapping[str, str],
    container: str,
    rate: Fraction,
    *,
    of_stream: bool = False,
) -> dict[str, str] | None:
    """What comes back of ``whole``, or of ``picture``, from a file of one small frame; None where it is refused."""
    file = io.BytesIO()
    output = av.open(file, "w", format=container, metadata_errors="surrogateescape")
    try:
        stream = output.add_stream("mjpeg", rate=rate)  # which takes any rate, unlike MPEG-4
        stream.width = stream.height = 16
        stream.pix_fmt = "yuvj420p"
        stream.metadata.update(picture)
        output.metadata.update(whole)
        output.mux(stream.encode(av.VideoFrame(16, 16, "yuvj420p")))
        output.mux(stream.encode(None))
        output.close()
    except av.FFmpegError:
        with suppress(av.FFmpegError):
            output.close()
        return None
    file.seek(0)
    with av.open(file, metadata_errors="surrogateescape") as written:
        return dict(written.streams[0].metadata if of_stream else written.metadata)
