"""All that runs on a GPU is computed there: a tensor that stayed in main memory is an error, seen without a GPU too.

Fake tensors have a device, a shape and no data.
"""

from collections.abc import Iterator

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from models.frame_graph import FrameGraph, zero_statistics
from models.network import StyleNetwork
from models.pixels.yuv import _places, converter, rgb_of_packed
from models.temporal.noise_filter import NoiseFilter

GPU = torch.device("cuda", 0)


@pytest.fixture
def fake_gpu() -> Iterator[None]:
    with FakeTensorMode():
        yield


def frame(dtype: torch.dtype = torch.uint8) -> torch.Tensor:
    return torch.empty(48, 64, 3, dtype=dtype, device=GPU)


def test_a_tensor_in_main_memory_is_an_error(fake_gpu: None) -> None:
    with pytest.raises(RuntimeError, match="same device"):
        frame().float() + torch.zeros(64, 3)


@pytest.mark.parametrize("canvas", [None, (24, 32), (96, 128)])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_the_network(
    fake_gpu: None, canvas: tuple[int, int] | None, precision: torch.dtype, dtype: torch.dtype
) -> None:
    network, zero = StyleNetwork(), torch.zeros((), device=GPU)
    style = network.initial_style().to(GPU, precision)
    graph = FrameGraph(network, canvas)
    stylized, used = graph(frame(dtype), style.tensors(), zero_statistics(network, GPU), zero, zero + 1, zero)
    assert (stylized.device, stylized.dtype, used.device) == (GPU, dtype, GPU)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_the_noise_filter(fake_gpu: None, dtype: torch.dtype) -> None:
    run = NoiseFilter([0.5] * 256, blur_px=9, dilate_px=25)
    assert [each.device for each in run(frame(dtype), run(frame(dtype), None))] == [GPU, GPU]


@pytest.mark.parametrize("is_interleaved", [False, True])
def test_the_colors_of_samples(is_interleaved: bool) -> None:
    convert = converter(1, "left", full_range=False)
    _places.cache_clear()
    with FakeTensorMode():
        packed = torch.empty(48 * 64 * 3 // 2, dtype=torch.uint8, device=GPU)
        rgb = rgb_of_packed(packed, 48, 64, convert, is_interleaved=is_interleaved)
        assert (rgb.device, rgb.shape) == (GPU, (48, 64, 3))
    _places.cache_clear()  # of fake tensors
