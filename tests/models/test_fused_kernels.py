from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.engines.cache import use_compiler_cache
from models.engines.capabilities import can_compile
from models.fused_kernels import convolve_blocks, reflect, repeat_edge, upsample_convolve
from models.layers import ConditionalInstanceNorms, ReflectConv2d
from tests.support.networks.compiling import shared_precompiled_headers


@pytest.mark.parametrize(("height", "width"), [(4, 4), (5, 9), (16, 7)])
def test_fused_upsampling_equals_upsampling_and_convolution(height: int, width: int) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(2, 6, height, width).double(), torch.randn(5, 6, 3, 3).double()
    plain = F.conv2d(reflect(F.interpolate(x, scale_factor=2.0, mode="nearest"), 1), weight)
    torch.testing.assert_close(upsample_convolve(x, weight), plain)


@pytest.mark.parametrize(("height", "width", "kernel"), [(4, 4, 3), (8, 18, 5), (16, 16, 1)])
def test_four_pixels_at_a_time_equal_one_at_a_time(height: int, width: int, kernel: int) -> None:
    torch.manual_seed(0)
    x, bias = torch.randn(2, 6, height, width).double(), torch.randn(3).double()
    weight = torch.randn(3, 6, kernel, kernel).double()
    plain = F.conv2d(reflect(x, kernel // 2), weight, bias)
    torch.testing.assert_close(convolve_blocks(x, weight, bias), plain)


@pytest.mark.parametrize("is_learning", [False, True])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 4), (5, 3)])
def test_the_edge_is_repeated_once(height: int, width: int, is_learning: bool) -> None:
    x = torch.rand(2, 3, height, width, requires_grad=is_learning)
    assert torch.equal(repeat_edge(x), F.pad(x, (1, 1, 1, 1), mode="replicate"))


@pytest.mark.parametrize("is_learning", [False, True])
@pytest.mark.parametrize("margin", [0, 1, 2])
def test_borders_are_mirrored(margin: int, is_learning: bool) -> None:
    x = torch.rand(2, 3, 3, 7, requires_grad=is_learning)
    assert torch.equal(reflect(x, margin), F.pad(x, (margin,) * 4, mode="reflect"))
    assert torch.equal(reflect(x, margin, rows=False), F.pad(x, (margin, margin, 0, 0), mode="reflect"))


@pytest.mark.parametrize(("pad", "mode"), [(repeat_edge, "replicate"), (partial(reflect, margin=1), "reflect")])
@pytest.mark.parametrize(("height", "width"), [(2, 2), (2, 4), (5, 3)])
def test_the_edge_learns_from_all_its_copies(
    pad: Callable[[Tensor], Tensor], mode: str, height: int, width: int
) -> None:
    x = torch.rand(2, 3, height, width, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(2, 3, height + 2, width + 2, dtype=torch.float64)
    found, expected = (
        torch.autograd.grad((weight * wide).sum(), x)[0] for wide in (pad(x), F.pad(x, (1, 1, 1, 1), mode=mode))
    )
    torch.testing.assert_close(found, expected)


def test_gradients_reach_the_small_kernels() -> None:
    weight = torch.randn(4, 4, 3, 3, requires_grad=True)
    upsample_convolve(torch.randn(1, 4, 6, 6), weight).square().sum().backward()
    assert weight.grad is not None
    assert weight.grad.abs().min() > 0


@pytest.mark.slow
@pytest.mark.skipif(not can_compile(torch.device("cpu")), reason="no C++ compiler")
def test_compiled_gradients_are_those_of_eager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled, the mirrored border behind a normalization once gave the layers before it other gradients, and NaN."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    torch.manual_seed(0)
    convolution, weight = ReflectConv2d(32, 32, 3, stride=2), torch.randn(32, 32, 3, 3) / 17
    x, scale = torch.randn(4, 32, 48, 48).contiguous(memory_format=torch.channels_last), torch.ones(32)

    def loss(x: Tensor, scale: Tensor) -> Tensor:
        norms = ConditionalInstanceNorms((32,), scale, torch.zeros(32), torch.zeros(4, 2, 32), torch.zeros(()))
        with torch.autocast("cpu", torch.bfloat16):
            return convolution(F.relu(norms(x.bfloat16())), weight).float().square().mean()

    def gradients(function: Callable[..., Tensor]) -> tuple[Tensor, ...]:
        inputs = x.clone().requires_grad_(), scale.clone().requires_grad_()
        return torch.autograd.grad(function(*inputs), inputs)

    with shared_precompiled_headers(tmp_path):
        use_compiler_cache(tmp_path)
        found = gradients(torch.compile(loss, dynamic=False))
    expected = gradients(loss)
    for compiled, eager in zip(found, expected, strict=True):
        assert (compiled - eager).norm() < 0.02 * eager.norm()
