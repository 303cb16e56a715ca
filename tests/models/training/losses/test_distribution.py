"""Distributions of colors and features: what Gram matrices do not see."""

import pytest
import torch
from torch import Tensor

from models.losses import quantile_distance, sorted_projections
from models.training.losses.distribution import COLOR_SCALES, DIRECTIONS, QUANTILES, distribution_loss, distributions
from tests.support.tiny import blobs

pytestmark = pytest.mark.usefixtures("one_thread")


def night(stars: bool) -> Tensor:
    """``(1, 3, 64, 64)`` dark blue with one bright pixel in 64, or with noise of the same mean and variance."""
    generator = torch.Generator().manual_seed(0)
    seen = torch.rand(64 * 64, generator=generator).argsort() < 64
    light = seen.float() if stars else 0.125 * torch.randn(64 * 64, generator=generator) + 1 / 64
    return (0.3 + 0.5 * light).view(1, 1, 64, 64) * torch.tensor([1.0, 0.9, 0.4]).view(1, 3, 1, 1)


def moments(image: Tensor) -> Tensor:
    pixels = image.flatten(2)[0]
    return torch.cat((pixels.mean(dim=1), pixels.var(dim=1)))


def loss(image: Tensor, target: Tensor) -> Tensor:
    return distribution_loss(distributions(image, [image]), [each[0] for each in distributions(target, [target])])


def test_quantiles_by_hand() -> None:
    values = torch.tensor([[[[3.0, 1.0], [2.0, 4.0]]]])
    quantiles = sorted_projections(values, torch.tensor([[1.0], [-1.0]]), 2)
    torch.testing.assert_close(quantiles, torch.tensor([[[1.5, 3.5], [-3.5, -1.5]]]))
    torch.testing.assert_close(quantile_distance(quantiles + 2, quantiles[0]), torch.tensor(4.0))


def test_a_few_bright_spots_differ_from_noise_of_the_same_mean_and_variance() -> None:
    torch.testing.assert_close(moments(night(stars=True)), moments(night(stars=False)), rtol=0.05, atol=0.005)
    assert loss(night(stars=False), night(stars=True)) > 0.3
    assert loss(night(stars=True), night(stars=True)) == 0


def test_places_and_sizes_do_not_count() -> None:
    image = blobs(1, 64, 64, seed=1)
    turned = image.flip(2, 3)
    assert loss(turned, image) < 1e-6
    assert loss(torch.cat((image, turned), dim=3), image) < 0.02
    assert loss(blobs(1, 64, 64, seed=2), image) > 0.05


def test_shapes_and_gradients() -> None:
    images = blobs(2, 48, 64, seed=3).requires_grad_()
    found = distributions(images, [images.repeat(1, 2, 1, 1)])
    assert [tuple(each.shape) for each in found] == [(2, DIRECTIONS, QUANTILES)] * (len(COLOR_SCALES) + 1)
    distribution_loss(found, [torch.zeros(DIRECTIONS, QUANTILES)] * len(found)).backward()  # type: ignore[no-untyped-call]
    assert images.grad is not None
    assert images.grad.isfinite().all()


def test_all_columns_of_a_large_image_are_sampled() -> None:
    """A step of an even number would meet some columns of an even width only."""
    columns = torch.arange(256.0).expand(1, 1, 256, 256)
    quantiles = sorted_projections(columns, torch.ones(1, 1), 256)[0, 0]
    torch.testing.assert_close(quantiles, torch.arange(256.0), atol=1.0, rtol=0)


def test_a_target_of_one_value_stays_finite() -> None:
    """A black style image; its features are 0."""
    black = torch.zeros(1, 3, 64, 64)
    assert loss(black, black) == 0
    assert loss(night(stars=True), black) < 1e4
