"""Where a shot starts, and that a flash does not start one."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.tracking.shots import FLASH_FRAMES, NumberedFrame, divide
from tests.support.tracking import square

COUNT = 12


def starts(bright: range, *, cut: int = COUNT) -> tuple[list[int], list[NumberedFrame]]:
    """Return which frames start a shot, and all frames: white ones in ``bright``, another scene from ``cut`` on."""
    frames = [NumberedFrame(n, 3 * n, square(n, is_other_scene=n >= cut)[0]) for n in range(COUNT)]
    frames = [replace(f, pixels=np.full_like(f.pixels, 255)) if f.number in bright else f for f in frames]
    found = list(divide(frames))
    assert [(frame.number, frame.pts) for frame, _ in found] == [(n, 3 * n) for n in range(COUNT)]
    return [frame.number for frame, is_first in found if is_first], [frame for frame, _ in found]


@pytest.mark.parametrize("length", [1, FLASH_FRAMES])
def test_a_flash_does_not_end_a_shot(length: int) -> None:
    first, frames = starts(range(5, 5 + length))
    assert first == [0]
    assert all(np.array_equal(frame.pixels, square(4)[0]) for frame in frames[4 : 5 + length])
    assert np.array_equal(frames[5 + length].pixels, square(5 + length)[0])


def test_what_lasts_longer_than_a_flash_is_a_shot() -> None:
    assert starts(range(5, 6 + FLASH_FRAMES))[0] == [0, 5, 6 + FLASH_FRAMES]


def test_a_flash_at_a_cut_or_an_end_is_one_more_shot() -> None:
    assert starts(range(6, 8), cut=6)[0] == [0, 6, 8]
    assert starts(range(10, 12))[0] == [0, 10]
    assert starts(range(2))[0] == [0, 2]
    assert starts(range(0))[0] == [0]
