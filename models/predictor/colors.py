"""The colors of a picture, given to a style by a linear map: known at once, they need not be learned.

The last layer of the style network is a convolution before a sigmoid, so a linear map of its output is another such
convolution. In the logits of the colors, the map of Pitié & Kokaram, "The linear Monge-Kantorovitch linear colour
mapping for example-based colour transfer", CVMP 2007, moves the mean and the covariance of what the first style paints
to those of the picture, and changes the colors as little as possible.
"""

import torch
from torch import Tensor

DARKEST = 0.02
"""Distance from black and white to which colors are limited: their logits would be infinite."""

SMALLEST_VARIANCE = 0.03
"""Added to variances of logits: what hardly varies is not enlarged without bounds."""

COLOR_NUMBERS = 12
"""Mean and covariance of three channels."""


def logits(colors: Tensor) -> Tensor:
    """Return the logits of colors in [0, 1]."""
    return torch.logit(colors.float(), eps=DARKEST)


def color_moments(values: Tensor) -> Tensor:
    """Return mean and covariance ``(12,)`` of ``(K, 3, H, W)`` logits."""
    flat = values.transpose(0, 1).flatten(1)
    mean = flat.mean(dim=1)
    centered = flat - mean[:, None]
    return torch.cat((mean, (centered @ centered.T / flat.shape[1]).flatten()))


@torch.no_grad()
def color_map(before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """Return matrix ``(3, 3)`` and offset ``(3,)`` that move `color_moments` from ``before`` to ``after``."""
    means = before[:3], after[:3]
    small = SMALLEST_VARIANCE * torch.eye(3, device=before.device)
    old, new = (moments[3:].view(3, 3) + small for moments in (before, after))
    root, inverse = _power(old, 0.5), _power(old, -0.5)
    matrix = inverse @ _power(root @ new @ root, 0.5) @ inverse
    return matrix, means[1] - matrix @ means[0]


def _power(covariance: Tensor, power: float) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    result: Tensor = vectors @ torch.diag(values.clamp_min(1e-6) ** power) @ vectors.T
    return result
