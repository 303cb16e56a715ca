"""Cuts are found; noise, pans and fades are not taken for cuts."""

from collections.abc import Iterable

import numpy as np

from pipeline.frames import Pixels
from pipeline.stylize.scene_cuts import Thumbnail, is_cut, thumbnail
from tests.support.clips.scenes import noisy, scene


def cuts(frames: Iterable[Pixels]) -> list[int]:
    """Indices of the frames that start a scene."""
    before: Thumbnail | None = None
    found = []
    for index, pixels in enumerate(frames):
        now = thumbnail(pixels)
        if is_cut(before, now):
            found.append(index)
        before = now
    return found


def test_a_cut_is_found_among_noise_a_pan_and_a_fade() -> None:
    static = [noisy(scene(1), seed, 8.0) for seed in range(6)]
    pan = [scene(1, shift=8 * step) for step in range(6)]
    other = [scene(2) for _ in range(4)]
    fade = [scene(2, light=1 - step / 12) for step in range(12)]
    assert cuts((*static, *pan, *other, *fade)) == [0, 12]


def test_a_cut_between_scenes_of_the_same_colors_is_found() -> None:
    frame = (scene(1) // 128 * 255).astype(np.uint8)
    assert cuts((frame, frame, frame[::-1], frame[::-1])) == [0, 2]


def test_two_cuts_in_a_row_are_both_found() -> None:
    assert cuts(scene(seed) for seed in (1, 1, 1, 2, 3, 3)) == [0, 3, 4]
