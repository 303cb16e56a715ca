"""A render of a clip whose clock jumps: whole, resumed and split among workers, it is the same."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline.run import stylize_video
from tests.support.clips.timelines import WRAP, joined, stream
from tests.support.interrupted.resuming import UNSTYLIZED, config, interrupt_at
from tests.support.media import contents
from tests.support.workers import segment_jobs

HOUR = 3600


@pytest.mark.parametrize("starts", [(10, 10, 10), (10, 8 * HOUR), (1000, 10)])
def test_audio_and_video_continue_in_the_output(tmp_path: Path, starts: tuple[int, ...]) -> None:
    source, target = joined(tmp_path / "in.ts", *starts), tmp_path / "out.mp4"
    summary = stylize_video(config(source, target, stylize=UNSTYLIZED))
    found = contents(target)
    assert summary.frames == 10 * len(starts)
    assert all("marks it" in str(place["reason"]) for place in summary.damage)  # packets are counted across the joints
    assert len(found.times) == summary.frames
    for times, step in ((found.times, 1 / 30), (found.audio_times[0], 1024 / 48_000)):
        assert all(step / 2 < after - before < 3 * step for before, after in pairwise(times))


@pytest.mark.parametrize("starts", [(10, 10, 10), (10, 8 * HOUR, 20)])
@pytest.mark.parametrize("frame", [9, 25])
def test_a_resumed_render_has_the_same_times(tmp_path: Path, starts: tuple[int, ...], frame: int) -> None:
    source, whole, target = joined(tmp_path / "in.ts", *starts), tmp_path / "whole.mp4", tmp_path / "out.mp4"
    stylize_video(config(source, whole, stylize=UNSTYLIZED))
    interrupt_at(frame, source, target, stylize=UNSTYLIZED)
    summary = stylize_video(config(source, target, stylize=UNSTYLIZED))
    assert summary.frames_reused == frame // 8 * 8
    before, after = contents(whole), contents(target)
    assert (after.times, after.audio_times, after.audio) == (before.times, before.audio_times, before.audio)
    assert all((a == b).all() for a, b in zip(after.planes, before.planes, strict=True))


def test_workers_have_the_same_times(tmp_path: Path) -> None:
    source, whole, target = joined(tmp_path / "in.ts", 10, 10, count=40), tmp_path / "whole.mkv", tmp_path / "out.mkv"
    stylize_video(segment_jobs.config(source, whole))
    executor = segment_jobs.InlineExecutor()
    summary = segment_jobs.split_in_two(segment_jobs.config(source, target), executor)
    assert len(executor.jobs) == 2
    assert summary.frames == 80
    assert contents(target).times == contents(whole).times
    assert contents(target).audio_times == contents(whole).audio_times


def test_a_clip_that_starts_before_zero_loses_nothing(tmp_path: Path) -> None:
    """A clock that wraps shortly after its start is negative before."""
    source, target = stream(tmp_path / "in.ts", WRAP - Fraction(1, 2), count=30), tmp_path / "out.mp4"
    summary = stylize_video(config(source, target, stylize=UNSTYLIZED))
    found = contents(target)
    assert len(found.times) == summary.frames == 30
    assert sum(len(track) for track in found.audio) == summary.audio_packets
