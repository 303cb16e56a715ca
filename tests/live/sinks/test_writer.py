"""The audio of recordings and streams has no gaps."""

from itertools import pairwise

import av
import numpy as np
import pytest

from pipeline.live.sinks.writer import RATE, AudioTrack
from tests.support.live import audio_frame

START = 1000.0


def joined(frames: list[av.AudioFrame]) -> tuple[int, np.ndarray]:
    """Number of the first sample, and the samples; fails if any are missing between frames."""
    for before, after in pairwise(frames):
        assert after.pts == before.pts + before.samples
    return frames[0].pts, np.concatenate([frame.to_ndarray() for frame in frames], axis=1)


def test_gaps_are_silent_and_overlaps_are_cut() -> None:
    track, frames = AudioTrack(START), list[av.AudioFrame]()
    for start, seconds in ((-0.3, 0.4), (0.1, 0.2), (1.0, 0.5), (1.1, 1.0), (2.1, 0.1)):
        frames += track.add(audio_frame(start, seconds, origin=START, rate=RATE))
    first, samples = joined(frames)
    assert first == 0
    assert samples.shape == (2, round(2.2 * RATE))


def test_small_clock_differences_are_ignored() -> None:
    track = AudioTrack(START)
    received = [audio_frame(number * 0.0205, 0.02, origin=START, rate=RATE) for number in range(50)]
    _, samples = joined([frame for audio in received for frame in track.add(audio)])
    assert samples.shape[1] == pytest.approx(50 * 0.0205 * RATE, abs=0.06 * RATE)


def test_two_sinks_may_write_the_same_frame() -> None:
    frame = audio_frame(0.5, 0.02, origin=START)
    starts = [next(AudioTrack(START).add(frame)).pts for _ in range(2)]
    assert starts == [RATE // 2] * 2
