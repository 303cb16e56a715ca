"""Perceptual losses, each divided by its target's own size so that one set of weights serves every painting."""

import torch
from torch import Tensor

SMALLEST_TARGET = 1e-12
"""Keeps the losses finite where the target is empty: a layer that stays silent."""

SMALLEST_SPREAD = 0.01
"""Variance over mean square below which features count as flat, so that a photo of one colour outweighs no other."""


def gram_matrix(features: Tensor) -> Tensor:
    """Correlations between channels, the "style" of a picture.

    Gatys, Ecker & Bethge, CVPR 2016; divided by the number of entries as in Johnson 2016, equation 3.

    Args:
        features: ``(N, C, H, W)``.

    Returns:
        ``(N, C, C)``: ``F F^T / (C H W)``; float32, but in the precision of autocast where that is on.
    """
    n, c, h, w = features.shape
    flat = features.reshape(n, c, h * w).float()
    return flat @ flat.transpose(1, 2) / (c * h * w)


def style_loss(features: Tensor, target: Tensor) -> Tensor:
    """Squared distance of the Gram matrices over the target's own squared norm; a scalar, 0 is equal.

    Johnson 2016, equation 4, here relative to the painting: Gram matrices of two paintings differ in size by orders
    of magnitude, their relative distances do not.

    Args:
        features: ``(N, C, H, W)`` of the pictures.
        target: ``(C, C)`` Gram matrix of the painting.
    """
    distance = (gram_matrix(features) - target).square().sum(dim=(1, 2)).mean()
    return distance / target.square().sum().clamp_min(SMALLEST_TARGET)


def content_loss(features: Tensor, target: Tensor) -> Tensor:
    """Mean squared distance of features over the target's variance; a scalar, 0 is equal, 2 is unrelated.

    Johnson 2016, equation 2, here relative to the spread of the picture's own features.

    Args:
        features: ``(N, C, H, W)`` of the painted pictures.
        target: ``(N, C, H, W)`` of the pictures themselves.
    """
    target = target.float()
    spread = torch.maximum(target.var(), SMALLEST_SPREAD * target.square().mean() + SMALLEST_TARGET)
    return (features.float() - target).square().mean() / spread


def total_variation(pictures: Tensor) -> Tensor:
    """Mean squared difference of neighbouring pixels; a scalar, 0 is flat.

    Args:
        pictures: ``(N, 3, H, W)``.
    """
    down = pictures[..., 1:, :] - pictures[..., :-1, :]
    right = pictures[..., :, 1:] - pictures[..., :, :-1]
    return down.float().square().mean() + right.float().square().mean()
