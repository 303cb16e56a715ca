"""Frames that are shown for hours: longer than mp4, GIF and WebP can store."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline.encode.long_steps import QUICKTIME_TICKS, coarser_time_base
from pipeline.media.containers import container_for
from tests.support.clips.transcoding import transcode_file
from tests.support.fuzz.clip_cases import run_clip
from tests.support.fuzz.oracle import play
from tests.support.fuzz.recordings import Recording, record
from tests.support.media import Clip, make_clip

MP4 = container_for("out.mp4")
STEP = Fraction(1001, 30000)


def paused(path: Path, pause_seconds: int) -> Path:
    """Write a clip whose clock jumps after the sixth of twelve frames; no common tick is coarse enough."""
    start = 6 * STEP + pause_seconds + Fraction(1, 60_000)
    record(
        path,
        [Recording(frames=6, step=STEP, sounds=()), Recording(first=6, frames=6, step=STEP, start=start, sounds=())],
        form="nut",
    )
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_a_long_pause_is_stored_with_a_coarser_clock(tmp_path: Path, suffix: str) -> None:
    source, target = paused(tmp_path / "in.nut", 80_000), tmp_path / f"out.{suffix}"
    summary = run_clip(source, target)
    shown, wanted = play(target).frames, play(source).frames
    assert [number for _, number in shown] == list(range(12))
    assert summary.frames == 12
    assert not summary.damage
    for (time, _), (expected, _) in zip(shown, wanted, strict=True):
        assert abs(time - shown[0][0] - (expected - wanted[0][0])) < Fraction(1, 20_000)


@pytest.mark.parametrize("pause_seconds", [50_000, 400_000])
def test_a_clock_of_milliseconds_stays_exact(tmp_path: Path, pause_seconds: int) -> None:
    """FFmpeg would count in sixteenths of milliseconds."""
    pts = [*range(0, 240, 40), *range(1000 * pause_seconds + 1, 1000 * pause_seconds + 200, 40)]
    source = make_clip(tmp_path / "in.mkv", Clip(pts=pts, time_base=Fraction(1, 1000)))
    run_clip(source, tmp_path / "out.mp4")
    assert [time * 1000 for time, _ in play(tmp_path / "out.mp4").frames] == pts


def test_in_a_single_pass_the_frame_is_repeated(tmp_path: Path) -> None:
    """The header, which tells the clock, is written before the pause is seen."""
    source, target = paused(tmp_path / "in.nut", 80_000), tmp_path / "out.mp4"
    report, _ = transcode_file(source, target)
    shown, wanted = play(target).frames, play(source).frames
    assert [number for _, number in shown] == [*range(5), *[5] * 18, *range(6, 12)]
    assert report.frames == 29
    assert "repeated" in report.notices[0]
    kept = [shown[0], *(after for before, after in pairwise(shown) if before[1] != after[1])]
    assert [time - shown[0][0] for time, _ in kept] == [time - wanted[0][0] for time, _ in wanted]


@pytest.mark.parametrize(("suffix", "longest"), [("gif", Fraction(65_535, 100)), ("webp", Fraction(2**24 - 1, 1000))])
def test_animations_shorten_a_pause(tmp_path: Path, suffix: str, longest: Fraction) -> None:
    source, target = paused(tmp_path / "in.nut", 24_000), tmp_path / f"out.{suffix}"
    report, _ = transcode_file(source, target)
    times = [time for time, _ in play(target).frames]
    assert [number for _, number in play(target).frames] == list(range(12))
    assert max(after - before for before, after in pairwise(times)) == longest
    assert times[6] - times[0] == pytest.approx(float(5 * STEP + longest), abs=0.02)
    assert times[-1] - times[6] == pytest.approx(float(5 * STEP), abs=0.02)
    assert report.notices == (
        f"frames are shown shorter than in the input (1): .{suffix} files store {float(longest):.0f} s at most",
    )


def test_a_coarser_clock_is_exact_if_one_is() -> None:
    times, tick = [0, 40, 40_000_000, 40_001_000], Fraction(1, 1000)
    assert coarser_time_base(times, tick, MP4, Fraction(1, 90_000)) == Fraction(1, 25)
    assert coarser_time_base(times, tick, MP4, Fraction(1, 25)) is None
    assert coarser_time_base(times[:2], tick, MP4, Fraction(1, 90_000)) is None
    assert coarser_time_base(times, tick, container_for("out.mkv"), Fraction(1, 90_000)) is None


def test_a_clock_that_cannot_be_exact_is_as_fine_as_possible() -> None:
    times = [0, 1, 80_000 * 90_000]
    found = coarser_time_base(times, Fraction(1, 90_000), MP4, Fraction(1, 90_000))
    assert found is not None
    assert 80_000 / found <= QUICKTIME_TICKS < 80_000 * (1 / found + 1)


@pytest.mark.parametrize("is_whole", [True, False])
def test_every_frame_may_be_shown_for_hours(tmp_path: Path, is_whole: bool) -> None:
    """A frame that is stored out of order is decoded several frames early."""
    pts = [number * 30_000_000 for number in range(8)]
    source = make_clip(tmp_path / "in.mkv", Clip(pts=pts, time_base=Fraction(1, 1000)))
    run_clip(source, tmp_path / "out.mp4", in_segments=is_whole)
    times = [time * 1000 for time, _ in play(tmp_path / "out.mp4").frames]
    assert set(pts) <= set(times)
    assert times == pts or not is_whole
