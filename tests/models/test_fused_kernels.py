import pytest
import torch
from torch.nn import functional as F

from models.fused_kernels import convolve_blocks, reflect, repeat_edge, upsample_convolve


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


@pytest.mark.parametrize("learning", [False, True])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 4), (5, 3)])
def test_the_edge_is_repeated_once(height: int, width: int, learning: bool) -> None:
    x = torch.rand(2, 3, height, width, requires_grad=learning)
    assert torch.equal(repeat_edge(x), F.pad(x, (1, 1, 1, 1), mode="replicate"))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 4), (5, 3)])
def test_the_edge_learns_from_all_its_copies(height: int, width: int) -> None:
    x = torch.rand(2, 3, height, width, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(2, 3, height + 2, width + 2, dtype=torch.float64)
    found, expected = (
        torch.autograd.grad((weight * wide).sum(), x)[0]
        for wide in (repeat_edge(x), F.pad(x, (1, 1, 1, 1), mode="replicate"))
    )
    torch.testing.assert_close(found, expected)


def test_gradients_reach_the_small_kernels() -> None:
    weight = torch.randn(4, 4, 3, 3, requires_grad=True)
    upsample_convolve(torch.randn(1, 4, 6, 6), weight).square().sum().backward()
    assert weight.grad is not None
    assert weight.grad.abs().min() > 0
