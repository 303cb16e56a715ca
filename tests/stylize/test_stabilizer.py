"""What frames leave to the frames after them: the same however many are stylized at once, and nothing across a cut."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipeline.frames import Pixels
from pipeline.stylize.engine.bounded_engine import MOST_WORKERS
from pipeline.stylize.stabilizer import (
    LAG,
    OutputState,
    PreparedFrame,
    Stability,
    Stabilizer,
    StylizedFrame,
    TemporalState,
    read_state,
)
from pipeline.stylize.stylizer import AHEAD
from tests.support.clips.scenes import HEIGHT, WIDTH, noisy, scene


class Clip:
    """Runs a stabilizer over the frames of a clip; each frame's statistics are its index.

    Args:
        mode: of the stabilizer.
        state: to go on from.
    """

    def __init__(self, mode: Stability, state: TemporalState | None = None) -> None:
        self.stabilizer = Stabilizer(mode)
        self.state = state or TemporalState()

    def prepare(self, pixels: Pixels) -> PreparedFrame:
        prepared, inputs = self.stabilizer.prepare(pixels, self.state.inputs, self.state.outputs)
        self.state = TemporalState(inputs, self.state.outputs)
        return prepared

    def finish(self, prepared: PreparedFrame, stylized: Pixels | None = None) -> Pixels:
        pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8) if stylized is None else stylized
        statistics, flow = torch.tensor(float(prepared.index)), self.stabilizer.flow(prepared)
        frame = StylizedFrame(prepared, pixels, statistics, flow)
        final, outputs = self.stabilizer.finish(frame, self.state.outputs)
        self.state = TemporalState(self.state.inputs, outputs)
        return final


def past_of(clip: Clip, *, waiting: int) -> list[float | None]:
    """The past statistics of each of 20 frames that are finished ``waiting`` frames late; the tenth is a cut."""
    given, queue = [], []
    for index in range(20):
        prepared = clip.prepare(scene(1 if index < 10 else 2))
        given.append(None if prepared.past is None else round(float(prepared.past), 6))
        queue.append(prepared)
        if len(queue) > waiting:
            clip.finish(queue.pop(0))
    return given


def test_statistics_come_from_the_same_frame_however_many_are_stylized_at_once() -> None:
    assert past_of(Clip("smooth"), waiting=0) == past_of(Clip("smooth"), waiting=MOST_WORKERS + AHEAD - 1)
    assert LAG >= MOST_WORKERS + AHEAD


def test_nothing_is_remembered_across_a_cut() -> None:
    given = past_of(Clip("smooth"), waiting=2)
    assert [past is None for past in given] == ([True] * 6 + [False] * 4) * 2
    assert (given[6], given[16]) == (0.0, 10.0), "the average starts with the scene"


def test_memory_does_not_grow() -> None:
    clip = Clip("flow")
    for index in range(60):
        clip.finish(clip.prepare(scene(1 + index // 7)))
    assert len(clip.state.outputs.statistics) == LAG


def test_flow_is_found_within_a_scene_only() -> None:
    clip = Clip("flow")
    prepared = [clip.prepare(scene(seed, shift=shift)) for seed, shift in ((1, 0), (1, 2), (2, 0), (2, 2))]
    flows = [clip.stabilizer.flow(one) for one in prepared]
    assert [flow is None for flow in flows] == [True, False, True, False]
    assert flows[1] is not None
    assert np.median(flows[1][20:-20, 20:-20, 0]) == pytest.approx(-2, abs=0.4)


def test_flow_does_not_depend_on_the_sizes_before() -> None:
    def flow_of(stabilizer: Stabilizer, step: int) -> NDArray[np.float32]:
        frames = [np.ascontiguousarray(scene(3, shift=shift)[::step, ::step]) for shift in (0, 2)]
        flow = stabilizer.flow(PreparedFrame(frames[1], before=frames[0]))
        assert flow is not None
        return flow

    used = Stabilizer("flow")
    flow_of(used, 2)
    assert np.array_equal(flow_of(used, 1), flow_of(Stabilizer("flow"), 1))


def test_mode_none_changes_nothing() -> None:
    clip, pixels = Clip("none"), noisy(scene(1), 1)
    prepared = clip.prepare(pixels)
    assert prepared.pixels is pixels
    assert prepared.past is None
    assert clip.stabilizer.flow(prepared) is None
    assert clip.finish(prepared, pixels) is pixels
    assert clip.state.arrays() == {}


def test_flow_blending_halves_the_flicker() -> None:
    clip, out = Clip("flow"), []
    for index in range(12):
        frame = scene(9, shift=index)
        out.append(clip.finish(clip.prepare(frame), noisy(frame, index, 20.0)).astype(float))
    assert np.std(out[-1] - noisy(scene(9, shift=11), 99, 0.0)) < 0.75 * 20


@pytest.mark.parametrize("mode", ["none", "smooth", "flow"])
def test_a_clip_that_goes_on_from_saved_arrays_is_the_same(mode: Stability) -> None:
    frames = [noisy(scene(9, shift=index), index) for index in range(20)]
    whole, first = Clip(mode), Clip(mode)
    expected = [whole.finish(whole.prepare(pixels), noisy(pixels, 1, 20.0)) for pixels in frames]
    for pixels in frames[:10]:
        first.finish(first.prepare(pixels), noisy(pixels, 1, 20.0))
    second = Clip(mode, read_state(first.state.arrays(), "cpu"))
    for pixels, final in zip(frames[10:], expected[10:], strict=True):
        prepared = second.prepare(pixels)
        assert np.array_equal(second.finish(prepared, noisy(pixels, 1, 20.0)), final)
    assert {name: value.tolist() for name, value in second.state.arrays().items()} == {
        name: value.tolist() for name, value in whole.state.arrays().items()
    }


def test_a_state_is_never_changed() -> None:
    """A state may be kept and used twice: each frame returns a new one."""
    clip = Clip("flow")
    for index in range(8):
        clip.finish(clip.prepare(scene(1, shift=index)))
    kept = clip.state
    arrays = {name: value.copy() for name, value in kept.arrays().items()}
    runs = []
    for _ in range(2):
        again = Clip("flow", kept)
        runs.append([again.finish(again.prepare(scene(1, shift=index)), scene(2, shift=index)) for index in (8, 9)])
    assert np.array_equal(*runs)
    assert all(np.array_equal(value, arrays[name]) for name, value in kept.arrays().items())
    assert isinstance(kept.outputs, OutputState)
