"""Concatenate finished segments and the other streams of the source into the output."""

import heapq
from array import array
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from typing import cast

import av

from pipeline.encode.errors import encode_errors
from pipeline.encode.long_steps import coarser_time_base
from pipeline.encode.muxer import Muxer
from pipeline.encode.output_plan import OutputPlan
from pipeline.encode.writer import EncodeReport, encode
from pipeline.errors import EncodeError, first_line
from pipeline.media.packets import StreamPacket, VideoPacket
from pipeline.resume.output_check import find_fault
from pipeline.resume.segment_reader import DamagedSegmentError, SegmentReader, decode_segments
from pipeline.resume.segments import ANIMATIONS
from pipeline.resume.work_folder.manifest import Manifest


def concat(
    file: str,
    folder: str,
    manifest: Manifest,
    plan: OutputPlan,
    side_packets: Iterator[StreamPacket],
    tag: Mapping[str, str],
) -> EncodeReport:
    """Write the output to ``file``, and check its number of frames and their times.

    Args:
        file: path to write to; the caller removes it after an error.
        folder: the work folder.
        manifest: names segments that cover the whole clip.
        plan: of the output.
        side_packets: packets of the source's other streams, in the order of its file.
        tag: metadata in addition to the plan's.

    Raises:
        EncodeError: the container rejects a packet, the disk is full, a segment is damaged, or the check fails.
    """
    try:
        if plan.container.name in ANIMATIONS:
            return encode(decode_segments(folder, manifest, plan), plan, tag=tag, file=file)
        plan = _fitting(plan, manifest)
        with closing(SegmentReader(folder, manifest, plan)) as segments:
            report = _mux(file, segments, plan, side_packets, tag)
    except DamagedSegmentError as error:
        reason = f"{error} in the partial output; the same command stylizes it again"
        raise EncodeError(plan.target, reason) from error
    except (ValueError, LookupError, av.FFmpegError) as error:
        reason = f"the finished segments cannot be concatenated ({first_line(error)}); start from scratch with --fresh"
        raise EncodeError(plan.target, reason) from error
    fault = find_fault(file, segments.pts, manifest.segments[-1].durations[-1], manifest.time_base, plan)
    if fault is not None:
        raise EncodeError(plan.target, f"was written incorrectly ({fault}); start from scratch with --fresh")
    return report


def _fitting(plan: OutputPlan, manifest: Manifest) -> OutputPlan:
    """Return ``plan``, with a coarser time base if a frame is shown too long for an mp4 or mov."""
    if not plan.container.is_quicktime:
        return plan
    ticks = array("q", (pts for segment in manifest.segments for pts in segment.pts))
    ticks.append(ticks[-1] + (manifest.segments[-1].durations[-1] or 0))
    coarser = coarser_time_base(ticks, manifest.time_base, plan.container, plan.time_base)
    return plan if coarser is None else replace(plan, time_base=coarser, keeps_ticks=True)


def _mux(
    file: str, segments: SegmentReader, plan: OutputPlan, side_packets: Iterator[StreamPacket], tag: Mapping[str, str]
) -> EncodeReport:
    with encode_errors(plan.target):
        muxer = Muxer(plan, f"file:{file}", tag=tag, template=segments.template)
    try:
        for is_video, packet in _merged(segments.packets(), side_packets):
            with encode_errors(plan.target):
                if is_video:
                    muxer.write_video_packet(cast("VideoPacket", packet))
                else:
                    muxer.write_packet(packet)
        with encode_errors(plan.target):
            muxer.finish()
    except BaseException:
        muxer.abandon()
        raise
    return EncodeReport(plan.target, muxer.video_packets, muxer.audio_packets, tuple(muxer.notices))


def _merged(video: Iterator[VideoPacket], others: Iterator[StreamPacket]) -> Iterator[tuple[bool, StreamPacket]]:
    """Yield all packets in the order of their times, each with whether it is of the video stream."""
    first = ((True, cast("StreamPacket", packet)) for packet in video)
    second = ((False, packet) for packet in others)
    return heapq.merge(first, second, key=lambda item: _seconds(item[1]))


def _seconds(packet: StreamPacket) -> Fraction:
    time = packet.dts if packet.dts is not None else packet.pts
    return Fraction(0) if time is None else Fraction(time * packet.time_base)
