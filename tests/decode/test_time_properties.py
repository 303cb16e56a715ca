"""Properties of timestamps: whatever a file says, frames follow each other, and a time that is possible is kept."""

from fractions import Fraction
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

from av.video.frame import VideoFrame
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import LONGEST_SECONDS
from pipeline.decode.trim import FrameTimes

ticks = st.integers(-(2**63), 2**63 - 1) | st.integers(-1000, 5000) | st.none()
frames = st.builds(SimpleNamespace, pts=ticks, dts=ticks, duration=st.none() | st.integers(0, 5000))
bases = st.sampled_from([Fraction(1, 90000), Fraction(1, 1000), Fraction(1001, 30000), Fraction(1)])
rates = st.none() | st.fractions(Fraction(1, 100), 240)


def pts_of(given_frames: list[Any], time_base: Fraction, origin: Fraction, rate: Fraction | None) -> list[int]:
    """Return the pts that the frames get."""
    times = FrameTimes(time_base, origin, rate)
    return [times.pts(cast(VideoFrame, frame)) for frame in given_frames]


@given(st.lists(frames, max_size=30), bases, st.fractions(-10, 10**5, max_denominator=1000), rates)
def test_pts_increase_strictly_and_stay_near_the_clip(
    given_frames: list[Any], time_base: Fraction, origin: Fraction, rate: Fraction | None
) -> None:
    found = pts_of(given_frames, time_base, origin, rate)
    assert all(b > a for a, b in pairwise(found))
    slack = len(found) * (5000 + 100 / time_base)
    assert all(abs(pts * time_base - origin) <= 2 * LONGEST_SECONDS + 20 + slack * time_base for pts in found)


@given(st.lists(st.integers(0, 2**31), unique=True, min_size=1, max_size=30), bases, rates)
def test_pts_that_increase_are_kept(pts: list[int], time_base: Fraction, rate: Fraction | None) -> None:
    pts = [tick for tick in sorted(pts) if tick * time_base <= LONGEST_SECONDS]
    given_frames = [SimpleNamespace(pts=tick, dts=None, duration=None) for tick in pts]
    assert pts_of(given_frames, time_base, Fraction(0), rate) == pts
