from fractions import Fraction
from itertools import pairwise
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from av.video.frame import VideoFrame

from pipeline.config import DecodeConfig
from pipeline.decode.source import open_source
from pipeline.decode.trim import FrameTimes
from pipeline.errors import InputError
from tests.support import media
from tests.support.clips.reading import read, read_piped, square_error
from tests.support.media import Audio, Clip, make_clip


@pytest.mark.parametrize("ending", [".mp4", ".ts"])
def test_a_late_start_moves_audio_and_video_to_zero_alike(tmp_path, ending):
    time_base = Fraction(1, 90000)
    clip = Clip(
        pts=range(9_000_000, 9_000_000 + 3000 * 20, 3000),
        time_base=time_base,
        audio=[Audio(start_seconds=Fraction(1001, 10), codec="aac")],
    )
    path = make_clip(tmp_path / f"late{ending}", clip)
    plain = media.contents(path)
    frames, packets = read(path)
    assert 0 <= frames[0].seconds < Fraction(1, 5)
    assert [frame.seconds - frames[0].seconds for frame in frames] == plain.relative_times
    assert packets[1][0][0] - frames[0].seconds == pytest.approx(plain.offset, abs=1 / 48000)


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory):
    """Eight seconds with a key frame every two, and audio of the same length."""
    clip = Clip(
        pts=range(0, 512 * 240, 512),
        options={"crf": "12", "preset": "ultrafast", "bf": "3", "g": "60"},
        audio=[Audio(seconds=Fraction(8))],
    )
    return make_clip(tmp_path_factory.mktemp("long") / "long.mp4", clip)


@pytest.mark.parametrize("start", ["0", "1/60", "1/30", "1/7", "2", "3.3", "22/7", "5.999", "7.9"])
def test_start_is_exact_by_seeking(long_clip, start):
    start = Fraction(start)
    first = -(-start * 30 // 1)
    frames, packets = read(long_clip, start_seconds=start, duration_seconds=Fraction(1, 2))
    expected = [number for number in range(first, 240) if number / Fraction(30) < start + Fraction(1, 2)]
    assert len(frames) == len(expected)
    shift = start // Fraction(1, 15360) * Fraction(1, 15360)
    assert [frame.seconds for frame in frames] == [Fraction(number, 30) - shift for number in expected]
    assert square_error(frames, expected) < 4
    whole = read(long_clip)[1][1]
    inside = [(seconds - shift, data) for seconds, data in whole if seconds < start + Fraction(1, 2)]
    assert packets[1] == [(seconds, data) for seconds, data in inside if seconds + shift >= start or not start]


def test_start_in_a_pipe_gives_the_same_as_seeking(long_clip, tmp_path, monkeypatch):
    path = tmp_path / "long.mkv"
    clip = Clip(pts=range(0, 8000, 40), time_base=Fraction(1, 1000), audio=[Audio(seconds=Fraction(8))])
    make_clip(path, clip)
    part = {"start_seconds": Fraction(33, 10), "duration_seconds": Fraction(1)}
    sought, piped = read(path, **part), read_piped(path, monkeypatch, **part)
    assert [frame.pts for frame in sought[0]] == [frame.pts for frame in piped[0]]
    assert len(sought[0]) == 25
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(sought[0], piped[0], strict=True))
    assert sought[1] == piped[1]


def test_a_start_after_the_end_is_an_error(long_clip):
    with pytest.raises(InputError, match="no frame from 99 s on"):
        open_source(long_clip, DecodeConfig(start_seconds=Fraction(99)))


def test_missing_repeated_and_decreasing_pts_become_increasing():
    times = FrameTimes(Fraction(1, 30), Fraction(0), Fraction(30))
    given = [0, None, 2, 2, 1, 10, None]
    frames = [SimpleNamespace(pts=pts, dts=None, duration=1) for pts in given]
    assert [times.pts(frame) for frame in frames] == [0, 1, 2, 3, 4, 10, 11]


def test_a_repeated_pts_is_moved_so_far_that_every_container_tells_it_from_the_one_before() -> None:
    """Matroska counts in milliseconds."""
    times = FrameTimes(Fraction(1, 90_000), Fraction(0), Fraction(30))
    given = [3000, 3000, 6000, 5999, 6000, 12_000]
    frames = [SimpleNamespace(pts=pts, dts=None, duration=3000) for pts in given]
    found = [times.pts(cast(VideoFrame, frame)) for frame in frames]
    assert found[:4] == [3000, 3090, 6000, 9000]
    assert all(round(Fraction(b, 90)) > round(Fraction(a, 90)) for a, b in pairwise(found))


@pytest.mark.parametrize("absurd", [2**62, -(2**62), 2**63 - 1, 10**12])
def test_absurd_pts_count_as_missing(absurd: int) -> None:
    times = FrameTimes(Fraction(1, 30), Fraction(0), Fraction(30))
    given = [0, 1, absurd, 3, None]
    frames = [SimpleNamespace(pts=pts, dts=None, duration=1) for pts in given]
    assert [times.pts(frame) for frame in frames] == [0, 1, 2, 3, 4]
