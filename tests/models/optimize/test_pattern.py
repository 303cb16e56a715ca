"""Textures: towards the painting, and without a seam where they are periodic."""

import pytest
import torch
from torch import Tensor

from models.optimize.pattern import optimize_pattern
from models.optimize.picture import Painting, PictureOptimizer
from models.optimize.settings import OptimizeSettings
from models.optimize.sizes import resampled
from tests.support.tiny import blobs, loss_network, stripes

SETTINGS = OptimizeSettings(
    style_layers={"relu1_1": 1, "relu2_1": 1}, content_weight=0, variation_weight=2, steps=20, smallest_px=48
)


def optimizer(*, is_periodic: bool) -> PictureOptimizer:
    return PictureOptimizer([loss_network()], [Painting(stripes())], SETTINGS, is_periodic=is_periodic)


def seam(image: Tensor) -> float:
    """How much larger the step from the last row and column to the first is than that between neighbors."""
    ratios = []
    for dim in (2, 3):
        steps = (image - image.roll(1, dims=dim)).abs().mean(dim=(0, 1, 5 - dim))
        ratios.append(float(steps[0] / steps[1:].mean()))
    return max(ratios)


@pytest.mark.parametrize("size", [(96, 112), (101, 90)])
def test_a_periodic_texture_has_no_seam(size: tuple[int, int]) -> None:
    result = optimize_pattern(size, optimizer(is_periodic=True))
    assert result.image.shape == (1, 3, *size)
    assert seam(result.image) < 1.3
    assert seam(optimize_pattern(size, optimizer(is_periodic=False)).image) > 1.5


def test_a_texture_has_the_colors_of_the_painting_and_no_content_loss() -> None:
    reports = []
    result = optimize_pattern((80, 80), optimizer(is_periodic=True), reports.append)
    assert result.losses["style"] < 0.3 * reports[0].losses["style"]
    assert result.losses["content"] == 0
    red, _, blue = result.image.mean(dim=(0, 2, 3))
    assert red > blue + 0.2


def test_resampling_keeps_a_periodic_image_periodic_and_its_waves_exact() -> None:
    def waves(height: int, width: int) -> Tensor:
        rows = 2 * torch.pi * torch.arange(height)[:, None] / height
        columns = 2 * torch.pi * torch.arange(width)[None, :] / width
        return (0.5 + 0.2 * torch.sin(2 * rows + columns) + 0.1 * torch.cos(3 * columns))[None, None]

    for size in ((40, 51), (96, 100), (64, 80)):
        torch.testing.assert_close(resampled(waves(64, 80), size), waves(*size), atol=1e-5, rtol=0)
    assert torch.equal(resampled(blobs(1, 64, 64), (64, 64)), blobs(1, 64, 64))
