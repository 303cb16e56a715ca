"""Finished segments and the other streams of the source become the output, which is looked at before it is shown."""

import heapq
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import cast

import av
import numpy as np

from pipeline.atomic import explained
from pipeline.encode.muxer import Muxer
from pipeline.encode.output_plan import OutputPlan
from pipeline.encode.writer import EncodeReport, encode
from pipeline.errors import EncodeError
from pipeline.frames import Frame
from pipeline.media.packets import StreamPacket, VideoPacket
from pipeline.resume.manifest import Manifest
from pipeline.resume.segments import ANIMATIONS, SegmentConcat


def concat(
    file: str, folder: str, manifest: Manifest, plan: OutputPlan, others: Iterator[StreamPacket], tag: Mapping[str, str]
) -> EncodeReport:
    """Write the output to ``file`` and look whether it is what it should be.

    Args:
        file: that is written; it is left to the caller where this fails.
        folder: that holds the segments.
        manifest: that names them; all of the picture.
        plan: of the output.
        others: packets of the source's other streams, in the order of its file.
        tag: metadata in addition to the plan's.

    Raises:
        EncodeError: the container or the disk refuses, a segment is damaged, or the result is not what it should be.
    """
    if plan.container.name in ANIMATIONS:
        return encode(_decoded(folder, manifest), plan, tag=tag, file=file)
    joint = SegmentConcat(folder, manifest.segments, manifest.time_base, plan)
    try:
        report = _joined(file, joint, plan, others, tag)
    except (ValueError, LookupError) as error:
        raise EncodeError(plan.target, f"the kept work cannot be joined ({error}); --fresh begins anew") from error
    finally:
        joint.close()
    fault = fault_of(file, joint.pts, manifest.segments[-1].durations[-1], manifest.time_base, plan)
    if fault is not None:
        raise EncodeError(plan.target, f"was not written as it should be ({fault}); --fresh begins anew")
    return report


def _joined(
    file: str, joint: SegmentConcat, plan: OutputPlan, others: Iterator[StreamPacket], tag: Mapping[str, str]
) -> EncodeReport:
    with explained(plan.target):
        muxer = Muxer(plan, f"file:{file}", tag=tag, template=joint.template)
    try:
        for is_picture, packet in _merged(joint.packets(), others):
            with explained(plan.target):
                if is_picture:
                    muxer.write_video_packet(cast("VideoPacket", packet))
                else:
                    muxer.write_packet(packet)
        with explained(plan.target):
            muxer.finish()
    except BaseException:
        muxer.abandon()
        raise
    return EncodeReport(plan.target, muxer.video_packets, muxer.audio_packets)


def _merged(picture: Iterator[VideoPacket], others: Iterator[StreamPacket]) -> Iterator[tuple[bool, StreamPacket]]:
    """All packets in the order of their times, each with whether it is one of the picture."""
    first = ((True, cast("StreamPacket", packet)) for packet in picture)
    second = ((False, packet) for packet in others)
    return heapq.merge(first, second, key=lambda item: _seconds(item[1]))


def _seconds(packet: StreamPacket) -> Fraction:
    time = packet.dts if packet.dts is not None else packet.pts
    return Fraction(0) if time is None else Fraction(time * packet.time_base)


def _decoded(folder: str, manifest: Manifest) -> Iterator[Frame]:
    """The frames of lossless segments, for animations, which are encoded in one piece."""
    for segment in manifest.segments:
        with av.open(f"file:{folder}/{segment.file}") as container:
            for number, frame in enumerate(container.decode(video=0)):
                form = "rgba" if frame.format.name == "bgra" else "rgb24"
                pixels = np.asarray(frame.to_ndarray(format=form), np.uint8)
                alpha = pixels[..., 3] if pixels.shape[2] == 4 else None
                time, duration = segment.pts[number], segment.durations[number]
                yield Frame(pixels[..., :3], time, manifest.time_base, duration, alpha)


def fault_of(file: str, pts: list[int], last_duration: int | None, time_base: Fraction, plan: OutputPlan) -> str | None:
    """What is wrong with the picture of a finished file: its frames' number, order, times or last duration.

    Args:
        file: to look into; it is demuxed, not decoded.
        pts: that its frames should have, in the plan's time base; all may be moved alike.
        last_duration: of the last frame, in units of ``time_base``; None where it is not known.
        time_base: of ``last_duration``.
        plan: that the file follows.
    """
    found: list[int] = []
    durations: dict[int, int] = {}
    last_dts: int | None = None
    with av.open(f"file:{file}", metadata_errors="surrogateescape") as container:
        stream = container.streams.video[0]
        clock = cast(Fraction, stream.time_base)
        end = None if stream.duration is None else (stream.start_time or 0) + stream.duration
        for packet in container.demux(stream):
            if not packet.size or packet.pts is None:
                continue
            if last_dts is not None and packet.dts is not None and packet.dts < last_dts:
                return f"decoding goes back at {float(packet.dts * clock):.3f} s"
            last_dts = packet.dts if packet.dts is not None else last_dts
            found.append(packet.pts)
            durations[packet.pts] = packet.duration or 0
    if len(found) != len(pts):
        return f"it holds {len(found)} frames instead of {len(pts)}"
    found.sort()
    slack = 0 if (plan.time_base / clock).denominator == 1 else clock
    for is_at, should_be in zip(found, pts, strict=True):
        if abs((is_at - found[0]) * clock - (should_be - pts[0]) * plan.time_base) > slack:
            return f"a frame of {float(should_be * plan.time_base):.3f} s is at {float(is_at * clock):.3f} s"
    if end is not None and end <= found[-1]:
        return "its last frame is never shown"
    wanted = Fraction(0) if last_duration is None else last_duration * time_base
    # Of an mp4's packets durations are the steps of decoding, and one below a container's clock is none.
    is_told = plan.container.name in ("matroska", "webm") and wanted >= clock
    if is_told and abs(durations[found[-1]] * clock - wanted) > max(slack, clock):
        return f"the last frame lasts {float(durations[found[-1]] * clock):.3f} s"
    return None
