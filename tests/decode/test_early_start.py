"""Clips with frames or audio before zero: nothing is hidden in the output."""

from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.support.clips.reading import spoil
from tests.support.clips.timelines import TICKS, WRAP, set_clock, stream
from tests.support.clips.transcoding import transcode_file
from tests.support.fuzz.recordings import Recording, Sound, record
from tests.support.media import Audio, Clip, contents, make_clip


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm"])
@pytest.mark.parametrize("part", [{}, {"start_seconds": Fraction(1, 5)}])
def test_a_clip_that_starts_before_zero_loses_nothing(tmp_path: Path, suffix: str, part: dict[str, Fraction]) -> None:
    """A clock that wraps shortly after its start is negative before."""
    source, target = stream(tmp_path / "in.ts", WRAP - Fraction(1, 2), count=30), tmp_path / f"out.{suffix}"
    report, _ = transcode_file(source, target, decoding=part)
    found = contents(target)
    assert len(found.times) == report.frames == (24 if part else 30)
    assert abs(_samples(target) - report.frames * 1600) <= 2048


def test_audio_before_zero_is_heard(tmp_path: Path) -> None:
    audio = Audio(start_seconds=WRAP - Fraction(1, 2), seconds=Fraction(1))
    first = int(WRAP / TICKS)
    clip = Clip(pts=range(first, first + 45_000, 3000), time_base=TICKS, audio=[audio])
    transcode_file(make_clip(tmp_path / "in.ts", clip), tmp_path / "out.mp4")
    assert _samples(tmp_path / "out.mp4") >= 48_000


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_a_little_audio_before_zero_is_heard_too(tmp_path: Path, suffix: str) -> None:
    """Unlike priming, which the file says to skip, it is no silence; the frames move with it."""
    piece = Recording(frames=16, sounds=(Sound("libmp3lame", delay=Fraction(-3, 20)),))
    record(tmp_path / "in.mkv", [piece], form="matroska", options={"avoid_negative_ts": "disabled"})
    before, after = contents(tmp_path / "in.mkv"), tmp_path / f"out.{suffix}"
    transcode_file(tmp_path / "in.mkv", after)
    assert _samples(after) == _samples(tmp_path / "in.mkv")
    assert abs(contents(after).offset - before.offset) <= Fraction(1, 1000)


@pytest.mark.parametrize("codec", ["aac", "libopus", "libmp3lame"])
def test_priming_moves_no_frame(tmp_path: Path, codec: str) -> None:
    source = make_clip(tmp_path / "in.mkv", Clip(audio=[Audio(codec=codec)]))
    transcode_file(source, tmp_path / "out.mp4")
    assert contents(tmp_path / "out.mp4").times[0] == contents(source).times[0] == 0


def _samples(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(frame.samples for frame in container.decode(audio=0))


def test_a_frame_before_the_start_in_the_header_is_shown(tmp_path: Path) -> None:
    """The first packet, which tells the start, is late and does not decode."""
    pts, options = range(900_000, 930_000, 3000), {"g": "1", "preset": "ultrafast"}
    source = make_clip(tmp_path / "in.ts", Clip(pts=pts, time_base=TICKS, options=options))
    set_clock(source, 0, Fraction(101, 10))
    spoil(source, 0, bytes(500), at=0.05)
    report, _ = transcode_file(source, tmp_path / "out.mp4")
    found = contents(tmp_path / "out.mp4")
    assert found.times[0] == 0
    assert len(found.times) == report.frames == 9
