"""What happens to each stream of the source but the main video: copied, converted, or dropped with a reason.

No table of formats decides: each way is tried on a scratch file in memory of the output's container.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from types import MappingProxyType

import av
from av.audio.stream import AudioStream
from av.packet import Packet
from av.stream import Stream

from pipeline.encode.output_plan import Action, StreamMapping
from pipeline.encode.side_streams.side_tracks import SideTrack
from pipeline.media.containers import Container
from pipeline.media.packets import StreamPacket
from pipeline.media.stream_kinds import (
    codec_name,
    is_chapter_track,
    is_cover,
    is_text,
    is_timecode,
    stream_kind,
    stream_label,
)

# Encoders of text subtitles that a container does not support as they are.
_TEXT_ENCODERS = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}
# Kinds of streams that some muxers accept and then silently leave out.
_SILENTLY_DROPPED = ("attachment", "cover", "data")


def map_streams(
    streams: Sequence[Stream],
    container: Container,
    wanted: str = "all",
    *,
    covers: Mapping[int, bytes] = MappingProxyType({}),
    timecode_fault: str | None = None,
) -> tuple[tuple[StreamMapping, ...], list[str]]:
    """Return what happens to each of ``streams`` in ``container``, and a notice for each that is not copied.

    Args:
        streams: of the source, without the main video; chapter tracks are ignored.
        container: of the output.
        wanted: ``all``, ``audio`` or ``none``; the others are dropped without a notice.
        covers: cover images as stored in the file, by stream index.
        timecode_fault: why the metadata do not have the time code, which has its own notice; None if they have.
    """
    mappings = tuple(
        _map(stream, container, wanted, covers.get(stream.index), timecode_fault)
        for stream in streams
        if not is_chapter_track(stream)
    )
    if container.is_animation and wanted != "none" and mappings:
        labels = ", ".join(stream_label(mapping.stream) for mapping in mappings)
        are, them = ("is", "it") if len(mappings) == 1 else ("are", "them")
        return mappings, [f"{labels} {are} dropped: {container.suffix} files do not support {them}"]
    changed = (each for each in mappings if each.reason and each.has_track and _is_wanted(each.stream, wanted))
    return mappings, [_notice(mapping) for mapping in changed]


def _notice(mapping: StreamMapping) -> str:
    change = "is dropped" if mapping.action == "drop" else f"becomes {mapping.to}"
    return f"{stream_label(mapping.stream)} {change}: {mapping.reason}"


def _is_wanted(stream: Stream, wanted: str) -> bool:
    return wanted == "all" or (wanted == "audio" and stream.type == "audio")


def _map(
    stream: Stream, container: Container, wanted: str, cover: bytes | None, timecode_fault: str | None
) -> StreamMapping:
    if not _is_wanted(stream, wanted):
        return StreamMapping(stream, "drop", reason=f"left out by --streams {wanted}")
    if is_timecode(stream) and not container.is_animation:
        reason = timecode_fault or f"{container.suffix} files get it from the metadata"
        action: Action = "convert" if timecode_fault is None else "drop"
        return StreamMapping(stream, action, "timecode", reason=reason, has_track=False)
    ways = (way for way in _ways(stream, container, cover) if _is_supported(way, container))
    return next(ways, None) or StreamMapping(stream, "drop", reason=_why_dropped(stream, container))


def _ways(stream: Stream, container: Container, cover: bytes | None) -> Iterator[StreamMapping]:
    """Yield the ways to carry ``stream``, best first."""
    if container.is_animation or not _is_copyable(stream) or (is_cover(stream) and cover is None):
        return
    yield StreamMapping(stream, payload=cover)
    reason = f"{container.suffix} files do not support it as it is"
    if isinstance(stream, AudioStream) and container.audio_encoder is not None:
        for layout in dict.fromkeys((stream.layout.name, "stereo")):
            yield StreamMapping(stream, "convert", container.audio_encoder, layout, reason)
    if is_text(stream):
        yield StreamMapping(stream, "convert", _TEXT_ENCODERS[container.name], reason=reason)


def _is_copyable(stream: Stream) -> bool:
    """Return whether a copy can be tried: a decoder knows the stream, or it needs none.

    Of data streams only GoPro's measurements: FFmpeg writes all ``bin_data`` as if it were that, and data that it knows
    by another name (timed ID3, KLV) does not arrive in any of our containers.
    """
    if stream.type == "data":
        return stream.name == "bin_data" and "GoPro" in stream.metadata.get("handler_name", "")
    return stream.type == "attachment" or stream.codec_context is not None


def _why_dropped(stream: Stream, container: Container) -> str:
    if codec_name(stream) in (None, "bin_data") and stream.type != "attachment" and not _is_copyable(stream):
        return "its format is unknown"
    return f"{container.suffix} files do not support it"


def _is_supported(mapping: StreamMapping, container: Container) -> bool:
    """Return whether a scratch file of the container opens with the stream, and has it when it is read back."""
    file, kind = io.BytesIO(), stream_kind(mapping.stream)
    trial = av.open(file, "w", format=container.name, metadata_errors="surrogateescape")
    try:
        if kind not in _SILENTLY_DROPPED:
            track = SideTrack(trial, mapping)
            trial.start_encoding()
            if mapping.encoder is None and (codec_name(mapping.stream) or "").startswith("pcm_"):
                # Channels without a layout are refused with the index, at the very end.
                trial.mux(_any_packet(track))
                trial.close()
            return True
        video = trial.add_stream("libvpx" if container.name == "webm" else "mpeg4", rate=30)
        track = SideTrack(trial, mapping)
        trial.mux(video.encode(av.VideoFrame(video.width, video.height, "yuv420p")))
        trial.mux(video.encode(None))
        trial.mux(track.first_packets() or _any_packet(track))
        trial.close()
    except (av.FFmpegError, ValueError):
        return False
    finally:
        with suppress(av.FFmpegError):
            trial.close()
    return _has_stream(file, kind)


def _any_packet(track: SideTrack) -> list[StreamPacket]:
    if track.stream.type == "attachment":
        return []
    packet = Packet(bytes(8))
    packet.pts = packet.dts = 0
    packet.time_base = Fraction(1, 1000)
    return track.packets(packet)


def _has_stream(file: io.BytesIO, kind: str) -> bool:
    file.seek(0)
    try:
        with av.open(file, metadata_errors="surrogateescape") as written:
            return any(stream_kind(stream) == kind for stream in written.streams)
    except av.FFmpegError:
        return False
