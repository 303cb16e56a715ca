"""Losses between the frames of a clip: Ruder, Dosovitskiy & Brox, "Artistic Style Transfer for Videos", GCPR 2016."""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.metrics import Motion
from models.optimize.loss import PixelLoss
from models.temporal.flow import warp


def long_term_weights(masks: Sequence[Tensor]) -> list[Tensor]:
    """Return the weight of each earlier frame per pixel: nearer frames come first, farther ones fill what those hide.

    Ruder 2016, equation 9.

    Args:
        masks: ``(1, 1, H, W)`` bool, True where the frame and an earlier one show the same point; the nearest first.

    Returns:
        ``(1, 1, H, W)`` float32 in [0, 1] each; their sum is at most 1.
    """
    free = torch.ones_like(masks[0])
    weights = []
    for mask in masks:
        weights.append((mask & free).float())
        free = free & ~mask
    return weights


def temporal_loss(past: Sequence[Tensor], motions: Sequence[Motion], weight: float) -> PixelLoss:
    """Return the loss of changes along the flow, as mean squares over all pixels: Ruder 2016, equations 7 and 8.

    Args:
        past: the stylized earlier frames ``(1, 3, H, W)`` in [0, 1], the nearest first.
        motions: from the frame to each of them.
        weight: of the loss.
    """
    carried = [warp(image, motion.flow) for image, motion in zip(past, motions, strict=True)]
    weights = long_term_weights([motion.mask for motion in motions])

    def loss(image: Tensor) -> Tensor:
        changes = [(share * (image - old).square()).mean() for share, old in zip(weights, carried, strict=True)]
        return weight * torch.stack(changes).sum()

    return loss


def first_guess(past: Tensor, motion: Motion, otherwise: Tensor) -> Tensor:
    """Return the frame before carried along the flow, and another image where it shows something else.

    Args:
        past: the stylized frame before, ``(1, 3, H, W)`` in [0, 1].
        motion: from the frame to it.
        otherwise: ``(1, 3, H, W)``, for what was hidden.
    """
    return torch.where(motion.mask, warp(past, motion.flow), otherwise)
