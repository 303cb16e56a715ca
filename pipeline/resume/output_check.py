"""Check a finished file before it replaces anything."""

from array import array
from collections.abc import Sequence
from fractions import Fraction
from typing import cast

import av
import numpy as np

from pipeline.encode.output_plan import OutputPlan


def find_fault(
    file: str, pts: Sequence[int], last_duration: int | None, time_base: Fraction, plan: OutputPlan
) -> str | None:
    """Return what is wrong with the number, order or times of a file's frames, None if nothing is.

    Args:
        file: demuxed, but not decoded.
        pts: expected, in the plan's time base; a common offset is allowed.
        last_duration: of the last frame, in units of ``time_base``; None if unknown.
        time_base: of ``last_duration``.
        plan: of the file.
    """
    found = array("q")
    latest, latest_duration = None, 0
    last_dts: int | None = None
    # Matroska stores pts and durations; FFmpeg guesses its dts. Others store dts; durations are their differences.
    is_matroska = plan.container.name in ("matroska", "webm")
    with av.open(f"file:{file}", metadata_errors="surrogateescape") as container:
        stream = container.streams.video[0]
        tick = cast(Fraction, stream.time_base)
        end = None if stream.duration is None else (stream.start_time or 0) + stream.duration
        for packet in container.demux(stream):
            if not packet.size or packet.pts is None:
                continue
            if not is_matroska and last_dts is not None and packet.dts is not None and packet.dts < last_dts:
                return f"dts decrease at {float(packet.dts * tick):.3f} s"
            if packet.is_discard:
                return f"the frame at {float(packet.pts * tick):.3f} s is hidden, as it is before the start"
            last_dts = packet.dts if packet.dts is not None else last_dts
            found.append(packet.pts)
            if latest is None or packet.pts > latest:
                latest, latest_duration = packet.pts, packet.duration or 0
    if len(found) != len(pts):
        return f"it has {len(found)} frames instead of {len(pts)}"
    times = np.sort(np.frombuffer(found, np.int64)).data
    tolerance = 0 if (plan.time_base / tick).denominator == 1 else tick
    for actual, expected in zip(times, pts, strict=True):
        if abs((actual - times[0]) * tick - (expected - pts[0]) * plan.time_base) > tolerance:
            return f"the frame at {float(expected * plan.time_base):.3f} s is at {float(actual * tick):.3f} s"
    if end is not None and end <= times[-1]:
        return "its last frame is never shown"
    wanted = Fraction(0) if last_duration is None else last_duration * time_base
    # FFmpeg stores no duration below one tick or within a tick of the usual one, and reads the usual one rounded.
    if is_matroska and wanted >= tick and abs(latest_duration * tick - wanted) >= 2 * tick:
        return f"the last frame lasts {float(latest_duration * tick):.3f} s"
    return None
