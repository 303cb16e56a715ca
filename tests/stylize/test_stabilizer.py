"""What carries over from frame to frame: where it ends, what it calms, and what it must not smear."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipeline.frames import Pixels
from pipeline.stylize.stabilizer import CutDetector, FlowBlend, NoiseFilter, Prepared, Stabilizer
from pipeline.stylize.stylizer import AHEAD, MOST_WORKERS

HEIGHT, WIDTH = 72, 128


def scene(seed: int, *, shift: int = 0, light: float = 1.0) -> Pixels:
    """Smooth coloured clouds, of other colours for each seed; ``shift`` moves them to the right."""
    draw = np.random.default_rng(seed)
    coarse = draw.uniform(0, 1, (6, 24, 3)) * draw.permutation([0.3, 0.7, 1.0])
    rows, columns = np.linspace(0, 5, HEIGHT), (np.arange(WIDTH) - shift) * 11 / WIDTH + 6
    picture = _between(_between(coarse, rows, 0), columns, 1)
    return np.clip(picture * 255 * light, 0, 255).astype(np.uint8)


def _between(values: NDArray[np.float64], places: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    low = np.floor(places).astype(int)
    part = (places - low).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
    part = part * part * (3 - 2 * part)
    return np.take(values, low, axis) * (1 - part) + np.take(values, low + 1, axis, mode="clip") * part


def noisy(picture: Pixels, seed: int, deviation: float = 4.0) -> Pixels:
    noise = np.random.default_rng(seed).normal(0, deviation, picture.shape)
    return np.clip(picture + noise, 0, 255).round().astype(np.uint8)


def test_a_cut_is_found_and_nothing_else_is_taken_for_one() -> None:
    begins = CutDetector()
    still = [noisy(scene(1), seed, 8.0) for seed in range(6)]
    pan = [scene(1, shift=8 * step) for step in range(6)]
    other = [scene(2) for _ in range(4)]
    fade = [scene(2, light=1 - step / 12) for step in range(12)]

    found = [begins(pixels) for pixels in (*still, *pan, *other, *fade)]

    assert [index for index, cut in enumerate(found) if cut] == [0, 12]


def test_a_cut_between_shots_of_the_same_colours_is_found() -> None:
    begins, picture = CutDetector(), (scene(1) // 128 * 255).astype(np.uint8)

    assert [begins(pixels) for pixels in (picture, picture, picture[::-1], picture[::-1])] == [True, False, True, False]


def test_two_cuts_in_a_row_are_two_cuts() -> None:
    begins = CutDetector()

    assert [begins(scene(seed)) for seed in (1, 1, 1, 2, 3, 3)] == [True, False, False, True, True, False]


def test_noise_on_a_still_scene_is_averaged_away_and_the_scene_stays() -> None:
    calm, truth = NoiseFilter(), scene(3)
    out = [calm(noisy(truth, seed), restart=seed == 0).astype(float) for seed in range(40)][20:]

    before = np.std([noisy(truth, seed).astype(float) for seed in range(20)], axis=0).mean()
    assert np.std(out, axis=0).mean() < 0.4 * before
    assert abs(np.mean(out, axis=0) - truth).mean() < 1.0


def test_what_moves_leaves_no_ghost() -> None:
    calm = NoiseFilter()
    for step in range(12):
        frame = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
        frame[20:50, 8 * step : 8 * step + 24] = (200, 120, 40)
        out = calm(noisy(frame, step, 2.0), restart=step == 0)

    assert abs(out.astype(float) - frame).mean() < 2.5
    assert abs(out[24:46, :60].astype(float) - frame[24:46, :60]).max() < 16


def test_a_slow_fade_is_followed_without_delay() -> None:
    calm = NoiseFilter()
    for step in range(30):
        frame = scene(4, light=1 - step / 60)
        out = calm(frame, restart=step == 0)

    assert abs(out.astype(float) - frame).mean() < 2.5


def test_restart_forgets_the_frames_before() -> None:
    calm = NoiseFilter()
    calm(scene(5), restart=True)
    calm(noisy(scene(5), 1), restart=False)

    assert np.array_equal(calm(noisy(scene(5), 2), restart=True), noisy(scene(5), 2))


def test_the_painting_is_carried_along_the_flow() -> None:
    frames = [scene(6, shift=0), scene(6, shift=3)]
    paint = [noisy(scene(7), 1, 30.0), noisy(scene(7), 2, 30.0)]
    flow = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    flow[..., 0] = -3

    out = FlowBlend()(paint[1], paint[0], frames[1], frames[0], flow)

    carried = np.roll(paint[0], 3, axis=1).astype(float)
    middle = (slice(8, -8), slice(16, -16))
    expected = (carried + paint[1]) / 2
    assert abs(out[middle] - expected[middle]).max() <= 1.0
    assert np.array_equal(out[:, :3], paint[1][:, :3]), "what comes in over the border has no past"


def test_where_the_input_differs_along_the_flow_nothing_is_blended() -> None:
    paint = [np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.full((HEIGHT, WIDTH, 3), 200, np.uint8)]
    changed = scene(8).copy()
    changed[:, 64:] = 255 - changed[:, 64:] // 2

    flow = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    out = FlowBlend()(paint[1], paint[0], changed, scene(8), flow)

    assert np.allclose(out[:, :60], 100)
    assert np.allclose(out[:, 72:], 200)


def test_statistics_come_from_the_same_frame_however_many_are_painted_at_a_time() -> None:
    assert _past_of(Stabilizer("smooth"), waiting=0) == _past_of(Stabilizer("smooth"), waiting=MOST_WORKERS + AHEAD - 1)
    assert Stabilizer.LAG >= MOST_WORKERS + AHEAD


def _past_of(stabilizer: Stabilizer, *, waiting: int) -> list[float | None]:
    """The past that each of 20 frames is given, finished ``waiting`` frames late; a cut comes at the tenth."""
    given, queue = [], []
    for index in range(20):
        prepared = stabilizer.prepare(scene(1 if index < 10 else 2))
        given.append(None if prepared.past is None else round(float(prepared.past), 6))
        queue.append(prepared)
        if len(queue) > waiting:
            _finish(stabilizer, queue.pop(0))
    return given


def _finish(stabilizer: Stabilizer, prepared: Prepared) -> None:
    stylized = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    stabilizer.finish(prepared, stylized, torch.tensor(float(prepared.index)), None)


def test_a_cut_ends_all_memory() -> None:
    given = _past_of(Stabilizer("smooth"), waiting=2)

    assert [past is None for past in given] == ([True] * 6 + [False] * 4) * 2
    assert (given[6], given[16]) == (0.0, 10.0), "the average begins with the shot"


def test_memory_does_not_grow() -> None:
    stabilizer = Stabilizer("flow")
    for index in range(60):
        _finish(stabilizer, stabilizer.prepare(scene(1 + index // 7)))

    assert len(stabilizer._averages) <= 2 * Stabilizer.LAG


def test_flow_is_asked_for_within_a_shot_only() -> None:
    stabilizer = Stabilizer("flow")
    prepared = [stabilizer.prepare(scene(seed, shift=shift)) for seed, shift in ((1, 0), (1, 2), (2, 0), (2, 2))]
    flows = [stabilizer.flow(one) for one in prepared]

    assert [flow is None for flow in flows] == [True, False, True, False]
    assert flows[1] is not None
    assert np.median(flows[1][20:-20, 20:-20, 0]) == pytest.approx(-2, abs=0.4)


def test_none_touches_nothing() -> None:
    stabilizer, pixels = Stabilizer("none"), noisy(scene(1), 1)
    prepared = stabilizer.prepare(pixels)

    assert prepared.pixels is pixels
    assert prepared.past is None
    assert stabilizer.flow(prepared) is None
    assert stabilizer.finish(prepared, pixels, torch.zeros(()), None) is pixels


def test_flow_blending_halves_what_flickers() -> None:
    stabilizer, out = Stabilizer("flow"), []
    for index in range(12):
        frame = scene(9, shift=index)
        prepared = stabilizer.prepare(frame)
        stylized = noisy(frame, index, 20.0)
        out.append(stabilizer.finish(prepared, stylized, torch.zeros(()), stabilizer.flow(prepared)).astype(float))
    flicker = np.std(out[-1] - noisy(scene(9, shift=11), 99, 0.0))

    assert flicker < 0.75 * 20
