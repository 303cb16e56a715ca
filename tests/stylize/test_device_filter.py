"""Frames, and what they leave to later ones, on a device: the same frames as without one, and in bounded memory."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.engines.gpu.transfers import FrameTransfers, transfers_of
from pipeline.config import Stability, StylizeConfig
from pipeline.errors import DeviceError
from pipeline.frames import Frame, Pixels, SegmentBoundary
from pipeline.stylize.device import OutOfMemoryError
from pipeline.stylize.device_filter import DeviceFrame, DeviceNoiseFilter, to_array
from pipeline.stylize.stabilizer import Stabilizer, TemporalState, read_state
from pipeline.stylize.stylizer import Stylizer
from pipeline.stylize.temporal_filters import FilteredFrame, filter_noise
from tests.support.clips.scenes import noisy, scene
from tests.support.late_streams import LateStreams, as_gpu
from tests.support.media import moving_square

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
CONFIG = StylizeConfig(style="great-wave", engine="eager", device="cpu", precision="fp32")


def grainy(count: int, dtype: type[np.unsignedinteger] = np.uint8) -> Iterator[Pixels]:
    """A square that moves over a still background, with noise."""
    for number in range(count):
        pixels = noisy(moving_square(number), number)
        yield pixels if dtype == np.uint8 else pixels.astype(np.uint16) * 257


def frames(count: int, boundary: int | None = None) -> Iterator[Frame]:
    for number, pixels in enumerate(grainy(count)):
        end = SegmentBoundary(number + 1) if number == boundary else None
        yield Frame(pixels, 7 * number, Fraction(1, 90000), 6, boundary=end)


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> LateStreams:
    """A device, which stands for the GPU where the config says ``cpu``."""
    return as_gpu(monkeypatch)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_noise_is_filtered_bit_for_bit_as_opencv_does(dtype: type[np.unsignedinteger]) -> None:
    on_device, before, last = DeviceNoiseFilter(CPU, FrameTransfers(LateStreams())), None, None
    for pixels in grainy(12, dtype):
        before, last = filter_noise(pixels, before), on_device(pixels, last)
        assert np.array_equal(to_array(last.pixels), before.pixels)
        assert np.array_equal(to_array(last.average), before.average)
    assert before is not None
    assert not np.array_equal(before.pixels, pixels)


@pytest.mark.parametrize("size", [(1, 1), (3, 4), (4, 40), (40, 3)])
def test_a_frame_smaller_than_the_filter_is_filtered_too(size: tuple[int, int]) -> None:
    on_device, last = DeviceNoiseFilter(CPU, FrameTransfers(LateStreams())), None
    for level in (100, 101):
        last = on_device(np.full((*size, 3), level, np.uint8), last)
    assert last is not None
    assert to_array(last.average) == pytest.approx(100.15, abs=0.01)


@pytest.mark.parametrize("stability", ["none", "smooth", "flow"])
def test_a_clip_on_a_device_has_the_frames_of_one_without(
    streams: LateStreams, stability: Stability, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIG, stability=stability)
    on_device = list(Stylizer(config, height=48, width=64)(frames(16)))
    assert len(streams.uploaded) >= 16
    monkeypatch.undo()
    expected = list(Stylizer(config, height=48, width=64)(frames(16)))
    for found, wanted in zip(on_device, expected, strict=True):
        assert (found.pts, found.duration) == (wanted.pts, wanted.duration)
        assert np.array_equal(found.pixels, wanted.pixels)


def test_each_frame_goes_to_the_device_once_and_its_average_stays_there(streams: LateStreams) -> None:
    list(Stylizer(CONFIG, height=48, width=64)(frames(20)))
    assert len(streams.uploaded) == 20
    stabilizer, state = Stabilizer("smooth", DeviceNoiseFilter(CPU, FrameTransfers(streams))), TemporalState()
    _, inputs = stabilizer.prepare(next(grainy(1)), state.inputs, state.outputs)
    assert isinstance(inputs.filtered, DeviceFrame)
    assert streams.holds(inputs.filtered.average)


def test_a_clip_that_is_resumed_on_a_device_is_the_same(streams: LateStreams) -> None:
    whole = list(Stylizer(CONFIG, height=48, width=64)(frames(20, boundary=11)))
    boundary = whole[11].boundary
    assert boundary is not None
    assert all(isinstance(value, np.ndarray) for value in boundary.state.values())
    rest = list(Stylizer(CONFIG, height=48, width=64)(list(frames(20))[12:], boundary.state))
    for found, wanted in zip(rest, whole[12:], strict=True):
        assert np.array_equal(found.pixels, wanted.pixels)


def test_the_state_of_a_device_is_that_of_the_cpu(streams: LateStreams) -> None:
    states = []
    for stabilizer in (Stabilizer("smooth"), Stabilizer("smooth", DeviceNoiseFilter(CPU, FrameTransfers(streams)))):
        state = TemporalState()
        for pixels in grainy(5):
            _, inputs = stabilizer.prepare(pixels, state.inputs, state.outputs)
            state = TemporalState(inputs, state.outputs)
        states.append(state.arrays())
    cpu, device = states
    assert cpu.keys() == device.keys()
    assert all(np.array_equal(cpu[name], device[name]) for name in cpu)
    assert isinstance(read_state(device, CPU).inputs.filtered, FilteredFrame)


def test_too_little_memory_of_the_device_is_one_line(streams: LateStreams) -> None:
    def fail(*arguments: object) -> NDArray[np.uint8]:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    on_device = DeviceNoiseFilter(CPU, FrameTransfers(streams))
    on_device._filter = fail  # type: ignore[assignment]
    with pytest.raises(OutOfMemoryError, match="too little memory"):
        on_device(scene(1), None)


def test_an_error_of_a_copy_ends_the_clip(streams: LateStreams) -> None:
    stylizer = Stylizer(CONFIG, height=48, width=64)
    work = stylizer(frames(20))
    next(work)
    streams.error = RuntimeError("CUDA error: an illegal memory access was encountered")
    with pytest.raises(DeviceError, match="illegal memory access"):
        list(work)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_noise_is_filtered_on_a_gpu_as_on_the_cpu(dtype: type[np.unsignedinteger]) -> None:
    device = torch.device("cuda")
    transfers = transfers_of(device)
    assert transfers is not None
    on_gpu, before, last = DeviceNoiseFilter(device, transfers), None, None
    for pixels in grainy(12, dtype):
        before, last = filter_noise(pixels, before), on_gpu(pixels, last)
        difference = to_array(last.pixels).astype(int) - before.pixels.astype(int)
        assert np.abs(difference).max() <= 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("engine", ["eager", "compile"])
def test_a_clip_that_is_resumed_on_a_gpu_is_the_same(engine: str) -> None:
    config = StylizeConfig(style="great-wave", engine=engine, device="cuda")  # type: ignore[arg-type]
    whole = list(Stylizer(config, height=48, width=64)(frames(20, boundary=11)))
    boundary = whole[11].boundary
    assert boundary is not None
    rest = list(Stylizer(config, height=48, width=64)(list(frames(20))[12:], boundary.state))
    for found, wanted in zip(rest, whole[12:], strict=True):
        assert np.array_equal(found.pixels, wanted.pixels)
