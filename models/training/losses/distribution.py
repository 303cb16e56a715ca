"""Distributions of colors and features, which Gram matrices describe by their second moments alone.

A Gram matrix knows how strong a color is on average, not that it comes in a few bright spots. The quantiles know.
"""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from models.losses import quantile_distance, scaled, sorted_projections

COLOR_SCALES = (1.0, 0.25, 0.0625)
"""Factors of the size at which colors are compared: of dots, strokes and patches."""

DIRECTIONS, QUANTILES = 64, 256
"""How finely a distribution is compared."""


def distributions(images: Tensor, features: Sequence[Tensor]) -> list[Tensor]:
    """Return the quantiles ``(N, DIRECTIONS, QUANTILES)`` of colors at each of `COLOR_SCALES`, then of the features.

    Args:
        images: ``(N, 3, H, W)`` in [0, 1].
        features: ``(N, C, h, w)`` each, of these images.
    """
    return [
        sorted_projections(values, _directions(values.shape[1]).to(values.device), QUANTILES)
        for values in [*(scaled(images.float(), scale) for scale in COLOR_SCALES), *features]
    ]


def distribution_loss(found: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Compute the distance of `distributions` from those of a style, a scalar: colors and features count by half each.

    Args:
        found: of the stylized images.
        targets: ``(DIRECTIONS, QUANTILES)`` each, of the style image.
    """
    distances = [quantile_distance(of_images, target) for of_images, target in zip(found, targets, strict=True)]
    colors, features = distances[: len(COLOR_SCALES)], distances[len(COLOR_SCALES) :]
    return (torch.stack(colors).mean() + torch.stack(features).mean()) / 2


@cache
def _directions(channels: int) -> Tensor:
    """Return ``(DIRECTIONS, channels)``, each of length 1; always the same."""
    generator = torch.Generator().manual_seed(channels)
    return F.normalize(torch.randn(DIRECTIONS, channels, generator=generator), dim=1)
