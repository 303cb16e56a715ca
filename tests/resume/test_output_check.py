"""What is checked of a finished file before it replaces anything."""

from fractions import Fraction
from pathlib import Path

import pytest

from pipeline.decode.source import open_source
from pipeline.encode.planner import plan_output
from pipeline.resume.output_check import find_fault
from tests.support.media import Audio, Clip, make_clip

PTS = [0, 40, 80, 200]


@pytest.mark.parametrize(
    ("pts", "last_duration", "fault"),
    [
        (PTS, 300, None),
        ([each + 7 for each in PTS], 300, None),
        (PTS[:-1], 300, "4 frames instead of 3"),
        ([0, 40, 90, 200], 300, "0.090 s is at 0.080 s"),
        (PTS, 900, "lasts 0.300 s"),
    ],
)
def test_number_times_and_last_duration_of_the_frames(
    tmp_path: Path, pts: list[int], last_duration: int, fault: str | None
) -> None:
    clip = Clip(pts=PTS, time_base=Fraction(1, 1000), last_duration=300)
    path = make_clip(tmp_path / "in.mkv", clip)
    with open_source(path) as source:
        plan = plan_output(source, tmp_path / "out.mkv")
    found = find_fault(str(path), pts, last_duration, Fraction(1, 1000), plan)
    assert found is None if fault is None else fault in str(found)


def test_a_frame_that_an_edit_list_hides_is_missing(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "in.mp4", Clip(pts=range(-5120, 10240, 512)))
    with open_source(path) as source:
        plan = plan_output(source, tmp_path / "out.mp4")
    found = find_fault(str(path), list(range(-5120, 10240, 512)), 512, Fraction(1, 15360), plan)
    assert "is hidden" in str(found)


def test_frames_that_start_long_after_the_audio_are_no_fault(tmp_path: Path) -> None:
    """Matroska stores no dts, and FFmpeg's guess of them goes back then."""
    pts = range(8000, 9000, 40)
    audio = Audio(rate=8000, layout="mono", seconds=Fraction(9))
    clip = Clip(pts=pts, time_base=Fraction(1, 1000), audio=[audio], last_duration=40)
    path = make_clip(tmp_path / "in.mkv", clip)
    with open_source(path) as source:
        plan = plan_output(source, tmp_path / "out.mkv")
    assert find_fault(str(path), list(pts), 40, Fraction(1, 1000), plan) is None
