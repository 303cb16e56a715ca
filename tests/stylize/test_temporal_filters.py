"""The noise filter averages static pixels and leaves no ghosts; the flow blend follows the motion."""

from collections.abc import Iterable

import numpy as np

from pipeline.frames import Pixels
from pipeline.stylize.temporal_filters import FilteredFrame, blend_along_flow, filter_noise
from tests.support.clips.scenes import HEIGHT, WIDTH, noisy, scene


def filtered(frames: Iterable[Pixels]) -> list[Pixels]:
    """The frames of one scene without noise."""
    last: FilteredFrame | None = None
    found = []
    for pixels in frames:
        last = filter_noise(pixels, last)
        found.append(last.pixels)
    return found


def test_noise_of_a_static_scene_is_averaged_away_and_the_scene_stays() -> None:
    truth = scene(3)
    out = [pixels.astype(float) for pixels in filtered(noisy(truth, seed) for seed in range(40))][20:]
    before = np.std([noisy(truth, seed).astype(float) for seed in range(20)], axis=0).mean()
    assert np.std(out, axis=0).mean() < 0.4 * before
    assert abs(np.mean(out, axis=0) - truth).mean() < 1.0


def test_a_moving_object_leaves_no_ghost() -> None:
    frames = []
    for step in range(12):
        frame = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
        frame[20:50, 8 * step : 8 * step + 24] = (200, 120, 40)
        frames.append(frame)
    out = filtered(noisy(frame, step, 2.0) for step, frame in enumerate(frames))[-1]
    assert abs(out.astype(float) - frames[-1]).mean() < 2.5
    assert abs(out[24:46, :60].astype(float) - frames[-1][24:46, :60]).max() < 16


def test_a_slow_fade_is_followed_without_delay() -> None:
    frames = [scene(4, light=1 - step / 60) for step in range(30)]
    assert abs(filtered(frames)[-1].astype(float) - frames[-1]).mean() < 2.5


def test_the_first_frame_of_a_scene_is_returned_as_it_is() -> None:
    assert np.array_equal(filter_noise(noisy(scene(5), 2), None).pixels, noisy(scene(5), 2))


def test_the_stylized_frame_before_is_warped_along_the_flow() -> None:
    frames = [scene(6, shift=0), scene(6, shift=3)]
    stylized = [noisy(scene(7), 1, 30.0), noisy(scene(7), 2, 30.0)]
    flow = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    flow[..., 0] = -3

    out = blend_along_flow(stylized[1], stylized[0], frames[1], frames[0], flow)

    warped = np.roll(stylized[0], 3, axis=1).astype(float)
    middle = (slice(8, -8), slice(16, -16))
    expected = (warped + stylized[1]) / 2
    assert abs(out[middle] - expected[middle]).max() <= 1.0
    assert np.array_equal(out[:, :3], stylized[1][:, :3]), "pixels that enter at the border have no past"


def test_nothing_is_blended_where_the_input_differs_along_the_flow() -> None:
    stylized = [np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.full((HEIGHT, WIDTH, 3), 200, np.uint8)]
    changed = scene(8).copy()
    changed[:, 64:] = 255 - changed[:, 64:] // 2

    flow = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    out = blend_along_flow(stylized[1], stylized[0], changed, scene(8), flow)

    assert np.allclose(out[:, :60], 100)
    assert np.allclose(out[:, 72:], 200)
