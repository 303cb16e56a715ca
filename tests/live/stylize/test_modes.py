"""Sizes at which live frames may be stylized."""

from pipeline.live.stylize.modes import SMALLEST_PX, first_step, working_sizes


def test_sizes_are_multiples_of_four_and_not_too_small() -> None:
    sizes = working_sizes(360, 640)
    assert sizes[0] == (360, 640)
    assert all(height % 4 == width % 4 == 0 for height, width in sizes)
    assert list(sizes) == sorted(sizes, reverse=True)
    assert min(min(size) for size in working_sizes(1080, 1920)) >= SMALLEST_PX
    assert working_sizes(49, 65) == ((49, 65),)


def test_the_first_step_fits_the_machine() -> None:
    sizes = working_sizes(1080, 1920)
    assert sizes[first_step(sizes, 640 * 360)] == (360, 640)
    assert first_step(sizes, 1e9) == 0
    assert first_step(sizes, 1) == len(sizes) - 1
