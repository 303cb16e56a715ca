"""What a long clip takes in memory for each of its frames, at the end of a render too: 16 to 24 bytes, not objects."""

import json
import tracemalloc
from array import array
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from pipeline.decode.source import open_source
from pipeline.encode.long_steps import coarser_time_base
from pipeline.encode.output_plan import OutputPlan
from pipeline.encode.planner import plan_output
from pipeline.media.containers import container_for
from pipeline.resume.output_check import find_fault
from pipeline.resume.segment_reader import SegmentReader
from pipeline.resume.work_folder.durations import Durations
from pipeline.resume.work_folder.manifest import NAME, Manifest, read_manifest
from pipeline.resume.work_folder.segment_record import Segment
from tests.support.interrupted.resuming import interrupt_at

FRAMES, SEGMENTS = 1000, 40
TOTAL = FRAMES * SEGMENTS
TICK = Fraction(1, 90_000)


def peak_and_rest(work: Callable[[], object]) -> tuple[float, float]:
    """Return how many bytes Python takes for ``work`` at most, and for what it returns; per frame of the clip."""
    kept = []
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept.append(work())
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept
    return (peak - before) / TOTAL, (now - before) / TOTAL


def uneven(number: int) -> "array[int]":
    """Times that no run length describes, and that Python has no shared numbers for."""
    draw = np.random.default_rng(number)
    steps = draw.integers(2000, 4000, FRAMES)
    return array("q", (number * FRAMES * 4000 + np.cumsum(steps)).tolist())


def segment(number: int) -> Segment:
    pts = uneven(number)
    return Segment(f"{number:08}.mp4", 7, pts, Durations(each % 3000 for each in pts), 0, "ab", "cd", "12", "34")


def plan_of(clip: Path, target: Path) -> OutputPlan:
    with open_source(clip) as source:
        return plan_output(source, target)


def test_a_manifest_takes_16_bytes_a_frame(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    engine = {"engine": "eager", "precision": "fp32", "device": "cpu", "workers": 1, "strip_rows": None}
    Manifest({"input": "a"}, engine, segments=[segment(number) for number in range(SEGMENTS)]).write(str(tmp_path))
    assert json.loads((tmp_path / NAME).read_text().splitlines()[-1])["segment"]["frames"] == FRAMES
    _, rest = peak_and_rest(lambda: read_manifest(str(tmp_path)))
    assert 16 <= rest < 20


def test_segments_that_are_concatenated_take_16_bytes_a_frame(tmp_path: Path, clip: Path) -> None:
    interrupt_at(9, clip, tmp_path / "out.mp4")
    folder = str(tmp_path / "out.mp4.flowbrush")
    manifest = read_manifest(folder)
    assert manifest is not None
    first = manifest.segments[0]
    as_first: dict[str, Any] = {"file": first.file, "bytes": first.bytes, "sha256": first.sha256, "delay": 2}
    manifest.segments = [replace(segment(number), **as_first) for number in range(SEGMENTS)]
    plan = replace(plan_of(clip, tmp_path / "whole.mp4"), time_base=manifest.time_base)
    peak, rest = peak_and_rest(lambda: SegmentReader(folder, manifest, plan))
    assert 16 <= rest < 20
    assert peak < 34


def test_the_longest_step_is_found_without_a_list() -> None:
    times = array("q", range(0, 3000 * TOTAL, 3000))
    peak, _ = peak_and_rest(lambda: coarser_time_base(times, TICK, container_for("out.mp4"), TICK))
    assert peak < 1


def test_the_check_of_the_output_takes_16_bytes_a_frame(tmp_path: Path) -> None:
    path, step = tmp_path / "out.mkv", 40
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuvj420p"
        picture = av.VideoFrame(16, 16, "yuvj420p")
        picture.pts, picture.time_base = 0, Fraction(1, 1000)
        (packet,) = stream.encode(picture)
        content = bytes(packet)
        for number in range(TOTAL):
            packet = av.Packet(content)
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 1000), True
            packet.pts = packet.dts = number * step
            packet.duration = step
            container.mux_one(packet)
    pts = array("q", range(0, TOTAL * step, step))
    plan, faults = plan_of(path, tmp_path / "copy.mkv"), list[str | None]()
    peak, _ = peak_and_rest(lambda: faults.append(find_fault(str(path), pts, step, Fraction(1, 1000), plan)))
    assert faults == [None]
    assert peak < 20
