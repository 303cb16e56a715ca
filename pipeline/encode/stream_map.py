"""What becomes of every stream of the source but its picture: copied, converted, or dropped with a reason.

Nothing is decided by a table of formats alone: each way is tried on a throw-away file of the target's container.
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
from pipeline.encode.stream_copy import CarriedTrack
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

# What text subtitles become where the container refuses them as they are.
_TEXT_ENCODERS = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}
# What some containers take without a word, and leave out.
_SILENTLY_LOST = ("attachment", "cover", "data")
_ANIMATIONS = ("gif", "webp")


def plan_streams(
    streams: Sequence[Stream],
    container: Container,
    wanted: str = "all",
    *,
    covers: Mapping[int, bytes] = MappingProxyType({}),
    timecode_fault: str | None = None,
) -> tuple[tuple[StreamMapping, ...], list[str]]:
    """What becomes of each of ``streams`` in ``container``, and a line for each that is not copied.

    Args:
        streams: all of the source but its picture; a track that only repeats the chapters is left out.
        container: of the output.
        wanted: ``all``, ``audio`` or ``none``; what was not asked for is dropped without a line.
        covers: pictures that belong to the file, by the index of their stream.
        timecode_fault: why the metadata hold no time code, which is said there.
    """
    plans = tuple(
        _plan(stream, container, wanted, covers.get(stream.index), timecode_fault)
        for stream in streams
        if not is_chapter_track(stream)
    )
    if container.name in _ANIMATIONS and wanted != "none" and plans:
        return plans, [_summary(plans, container)]
    spoken = (plan for plan in plans if plan.reason and plan.has_track and _is_wanted(plan.stream, wanted))
    return plans, [_notice(plan) for plan in spoken]


def _notice(plan: StreamMapping) -> str:
    fate = "is dropped" if plan.action == "drop" else f"becomes {plan.to}"
    return f"{stream_label(plan.stream)} {fate}: {plan.reason}"


def _summary(plans: Sequence[StreamMapping], container: Container) -> str:
    names = ", ".join(stream_label(plan.stream) for plan in plans)
    are, them = ("is", "it") if len(plans) == 1 else ("are", "them")
    return f"{names} {are} dropped: {container.suffix} files cannot hold {them}"


def _is_wanted(stream: Stream, wanted: str) -> bool:
    return wanted == "all" or (wanted == "audio" and stream.type == "audio")


def _plan(
    stream: Stream, container: Container, wanted: str, cover: bytes | None, timecode_fault: str | None
) -> StreamMapping:
    if not _is_wanted(stream, wanted):
        return StreamMapping(stream, "drop", reason=f"left out by --streams {wanted}")
    if is_timecode(stream) and container.name not in _ANIMATIONS:
        action: Action = "convert" if timecode_fault is None else "drop"
        reason = timecode_fault or f"{container.suffix} files are given it anew"
        return StreamMapping(stream, action, "timecode", reason=reason, has_track=False)
    held = next((plan for plan in _ways(stream, container, cover) if _is_held(plan, container)), None)
    return held or StreamMapping(stream, "drop", reason=_why_dropped(stream, container))


def _ways(stream: Stream, container: Container, cover: bytes | None) -> Iterator[StreamMapping]:
    """How ``stream`` could be carried, best first."""
    if container.name in _ANIMATIONS or not _is_copyable(stream) or (is_cover(stream) and cover is None):
        return
    yield StreamMapping(stream, payload=cover)
    refused = f"{container.suffix} files cannot hold it as it is"
    if isinstance(stream, AudioStream) and container.audio_encoder is not None:
        for layout in dict.fromkeys((stream.layout.name, "stereo")):
            yield StreamMapping(stream, "convert", container.audio_encoder, layout, refused)
    if is_text(stream):
        yield StreamMapping(stream, "convert", _TEXT_ENCODERS[container.name], reason=refused)


def _is_copyable(stream: Stream) -> bool:
    """Whether a copy may be tried: a decoder knows the stream, or it needs none.

    Of data only what a GoPro measures: FFmpeg writes all that it calls ``bin_data`` as if it were that, and what it
    knows by another name (timed ID3, KLV) stands in no file of our containers afterwards.
    """
    if stream.type == "data":
        return stream.name == "bin_data" and "GoPro" in stream.metadata.get("handler_name", "")
    return stream.type == "attachment" or stream.codec_context is not None


def _why_dropped(stream: Stream, container: Container) -> str:
    if codec_name(stream) in (None, "bin_data") and stream.type != "attachment" and not _is_copyable(stream):
        return "what it holds is not known"
    return f"{container.suffix} files cannot hold it"


def _is_held(plan: StreamMapping, container: Container) -> bool:
    """Whether a throw-away file of the container opens with the stream; no table of ours could be as right."""
    file, kind = io.BytesIO(), stream_kind(plan.stream)
    trial = av.open(file, "w", format=container.name, metadata_errors="surrogateescape")
    try:
        if kind not in _SILENTLY_LOST:
            track = CarriedTrack(trial, plan)
            trial.start_encoding()
            if plan.encoder is None and (codec_name(plan.stream) or "").startswith("pcm_"):
                # Channels without a layout are refused with the index, at the very end.
                trial.mux(_any_packet(track))
                trial.close()
            return True
        picture = trial.add_stream("libvpx" if container.name == "webm" else "mpeg4", rate=30)
        track = CarriedTrack(trial, plan)
        trial.mux(picture.encode(av.VideoFrame(picture.width, picture.height, "yuv420p")))
        trial.mux(picture.encode(None))
        trial.mux(track.head() or _any_packet(track))
        trial.close()
    except (av.FFmpegError, ValueError):
        return False
    finally:
        with suppress(av.FFmpegError):
            trial.close()
    return _comes_back(file, kind)


def _any_packet(track: CarriedTrack) -> list[StreamPacket]:
    if track.stream.type == "attachment":
        return []
    packet = Packet(bytes(8))
    packet.pts = packet.dts = 0
    packet.time_base = Fraction(1, 1000)
    return track.packets(packet)


def _comes_back(file: io.BytesIO, kind: str) -> bool:
    file.seek(0)
    try:
        with av.open(file, metadata_errors="surrogateescape") as written:
            return any(stream_kind(stream) == kind for stream in written.streams)
    except av.FFmpegError:
        return False
