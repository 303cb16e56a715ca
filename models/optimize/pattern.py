"""Textures in the manner of paintings; periodic ones wrap without a seam."""

from collections.abc import Callable
from dataclasses import replace

import torch

from models.optimize.features import ALIGNMENT
from models.optimize.picture import NOISE_MEAN, SMALLEST_PX, Optimized, PictureOptimizer, Report
from models.optimize.sizes import resampled


def optimize_pattern(
    size: tuple[int, int],
    optimizer: PictureOptimizer,
    report: Callable[[Report], None] = lambda report: None,
) -> Optimized:
    """Make a texture with the Gram matrices of the paintings, from noise: Gatys et al., NeurIPS 2015.

    A periodic one is optimized with circular padding, at sides that are multiples of what the deepest features need,
    then resampled by at most 15 pixels.

    Args:
        size: height and width, in pixels.
        optimizer: without a content loss; if it is periodic, so is the texture.
        report: called after each step.

    Raises:
        ValueError: the memory bound is too small.
    """
    canvas = size
    if optimizer.features.is_periodic:
        height, width = (max(-(-side // ALIGNMENT) * ALIGNMENT, SMALLEST_PX) for side in size)
        canvas = height, width
    result = optimizer.run(torch.full((1, 3, *canvas), NOISE_MEAN), "noise", report)
    return replace(result, image=resampled(result.image, size)) if optimizer.features.is_periodic else result
