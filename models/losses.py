"""Losses: style, brushwork, content and smoothness of an image, stability between two frames.

Each is divided by the size of its target, so one set of weights suits every style image and every network.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from models.pixels.color import BT709_LUMA
from models.temporal.flow import warp

SMALLEST_TARGET = 1e-12
"""Keeps the losses finite for an empty target: a layer without any activation."""

SMALLEST_SPREAD = 0.01
"""Variance over mean square below which an image counts as flat: one of a single color must not outweigh the others."""

BT601_LUMA = (0.299, 0.587, 0.114)
"""Luminance as image programs compute it."""

SMALLEST_CONTRAST = 1e-6
"""Keeps the luminance of an image of one color finite."""

MOST_SAMPLES = 8192
"""Pixels of an image that are sorted; more gain nothing and cost time."""

DARKEST_SPREAD = 1e-4
"""Variance below which quantiles of 0 count as flat: a hundredth of the range of colors, as a standard deviation."""

SMALLEST_FEATURE_SPREAD = 1e-4
"""Keeps the feature loss finite for almost constant features."""


def gram_matrix(features: Tensor) -> Tensor:
    """Compute the correlations between channels, the "style" of an image.

    Gatys, Ecker & Bethge, CVPR 2016; divided by the number of entries as in Johnson 2016, equation 3.

    Args:
        features: ``(N, C, H, W)``.

    Returns:
        ``(N, C, C)`` float32: ``F F^T / (C H W)``, multiplied in the precision of the features.
    """
    n, c, h, w = features.shape
    flat = features.permute(0, 2, 3, 1).reshape(n, h * w, c)  # a view of features in channels_last
    return (flat.transpose(1, 2) @ flat).float() / (c * h * w)


def style_loss(features: Tensor, target: Tensor) -> Tensor:
    """Compute the squared distance of Gram matrices over the squared norm of the target; a scalar, 0 is equal.

    Johnson 2016, equation 4, here relative to the style image: Gram matrices of two style images differ in size by
    orders of magnitude, their relative distances do not.

    Args:
        features: ``(N, C, H, W)`` of the stylized images.
        target: ``(C, C)`` Gram matrix of the style image.
    """
    return gram_distance(gram_matrix(features), target)


def gram_distance(grams: Tensor, target: Tensor) -> Tensor:
    """Compute the mean squared distance of Gram matrices over the squared norm of the target; a scalar, 0 is equal.

    Args:
        grams: ``(N, C, C)``.
        target: ``(C, C)``.
    """
    distance = (grams - target).square().sum(dim=(1, 2)).mean()
    return distance / target.square().sum().clamp_min(SMALLEST_TARGET)


def sorted_projections(features: Tensor, directions: Tensor, count: int) -> Tensor:
    """Describe how the values of all pixels are distributed: their quantiles along directions.

    Heitz et al., "A Sliced Wasserstein Loss for Neural Texture Synthesis", CVPR 2021, arXiv:2006.07229, equation 4.
    Here the directions are fixed, at most `MOST_SAMPLES` pixels are sorted, and images of different sizes are compared
    by a fixed number of quantiles.

    Args:
        features: ``(N, C, H, W)``: features, or colors.
        directions: ``(K, C)``, each of length 1.
        count: of the quantiles.

    Returns:
        ``(N, K, count)`` float32, ascending.
    """
    pixels = features.flatten(2)
    step = math.ceil(pixels.shape[2] / MOST_SAMPLES) | 1  # odd: meets each column of an image whose width is even
    projected = directions @ pixels[..., ::step].float()
    return F.adaptive_avg_pool1d(projected.sort(dim=2).values, count)


def quantile_distance(quantiles: Tensor, target: Tensor) -> Tensor:
    """Compute the mean squared distance of quantiles over the target's variance; a scalar, 0 is equal.

    A target of one value counts as varying a little.

    Args:
        quantiles: ``(N, K, count)``, of `sorted_projections`.
        target: ``(K, count)``.
    """
    spread = target.var(dim=1, correction=0).mean()
    least = SMALLEST_SPREAD * target.square().mean() + DARKEST_SPREAD
    return (quantiles - target).square().mean() / torch.maximum(spread, least)


def content_loss(features: Tensor, target: Tensor) -> Tensor:
    """Compute the mean squared distance of features over the target's variance; a scalar, 0 is equal, 2 unrelated.

    Johnson 2016, equation 2, here relative to the spread of the features of the original.

    Args:
        features: ``(N, C, H, W)`` of the stylized images.
        target: ``(N, C, H, W)`` of the original images.
    """
    target = target.float()
    return (features.float() - target).square().mean() / content_spread(target)


def content_spread(target: Tensor) -> Tensor:
    """Return the variance of features of any shape, a little more if they are flat; `content_loss` divides by it."""
    return torch.maximum(target.var(), SMALLEST_SPREAD * target.square().mean() + SMALLEST_TARGET)


def total_variation(images: Tensor) -> Tensor:
    """Compute the mean squared difference of neighboring pixels of ``(N, 3, H, W)``; a scalar, 0 is flat."""
    down = images[..., 1:, :] - images[..., :-1, :]
    right = images[..., :, 1:] - images[..., :, :-1]
    return down.float().square().mean() + right.float().square().mean()


def output_loss(
    stylized: Tensor, past: Tensor, frame: Tensor, past_frame: Tensor, flow: Tensor, mask: Tensor
) -> Tensor:
    """Compute the change of the stylized frame along the flow; a scalar, 0 is stable.

    ReCoNet (Gao et al., ACCV 2018, arXiv:1807.01197), equation 8: where the luminance of the scene changes, the
    stylized frame may change by as much. Divided by the visible pixels and the channels instead of by all pixels, so
    that 0.001 is 0.03 per pixel whatever is hidden.

    Args:
        stylized: ``(N, 3, H, W)`` of frame t, in [0, 1].
        past: ``(N, 3, H, W)`` stylized frame t - 1.
        frame: ``(N, 3, H, W)`` frame t itself; without noise where that is known.
        past_frame: ``(N, 3, H, W)`` frame t - 1.
        flow: ``(N, 2, H, W)`` from t to t - 1, in pixels.
        mask: ``(N, 1, H, W)`` in [0, 1], 1 where both frames show the same point.
    """
    change = stylized.float() - warp(past, flow)
    light = luma(frame.float() - warp(past_frame, flow))
    return _mean_over_visible((change - light).square(), mask)


def feature_loss(features: Tensor, past: Tensor, flow: Tensor, mask: Tensor) -> Tensor:
    """Compute the change of the network's own features along the flow; a scalar, 0 is stable.

    ReCoNet, equation 10, over the variance of the features, so that one weight suits every network.

    Args:
        features: ``(N, C, h, w)`` of frame t.
        past: ``(N, C, h, w)`` of frame t - 1.
        flow: ``(N, 2, H, W)`` from t to t - 1, in pixels of the frame; it is scaled to the features.
        mask: ``(N, 1, H, W)`` in [0, 1].
    """
    height, width = features.shape[-2:]
    scale = flow.new_tensor((width / flow.shape[-1], height / flow.shape[-2])).view(1, 2, 1, 1)
    small = F.interpolate(flow, (height, width), mode="bilinear", antialias=True, align_corners=False) * scale
    visible = F.interpolate(mask.float(), (height, width), mode="bilinear", antialias=True, align_corners=False)
    wide = features.float()
    spread = wide.detach().var().clamp_min(SMALLEST_FEATURE_SPREAD)
    return _mean_over_visible((wide - warp(past, small)).square(), visible) / spread


def standard_luminance(images: Tensor) -> Tensor:
    """Compute the luminance ``(N, 1, H, W)`` of ``(N, 3, H, W)`` RGB, each image brought to mean 0.5, deviation 0.2.

    What is left is brushwork: images that differ in colors, brightness and contrast alone have the same. An image
    without contrast stays flat.
    """
    luminance = _weighted(images.float(), BT601_LUMA)
    deviation, mean = torch.std_mean(luminance, dim=(1, 2, 3), correction=0, keepdim=True)
    return (luminance - mean) / (deviation + SMALLEST_CONTRAST) * 0.2 + 0.5


def strokes_image(images: Tensor, scale: float) -> Tensor:
    """Return the `standard_luminance` of ``(N, 3, H, W)`` RGB at ``scale`` times its size, as grey ``(N, 3, h, w)``."""
    return scaled(standard_luminance(images), scale).expand(-1, 3, -1, -1)


def scaled(images: Tensor, scale: float) -> Tensor:
    """Return ``(N, C, H, W)`` images at ``scale`` times their size, smoothed; at 1 the images themselves."""
    if scale == 1:
        return images
    return F.interpolate(images, scale_factor=scale, mode="bilinear", antialias=True)


def luma(image: Tensor) -> Tensor:
    """Compute the BT.709 luma ``(N, 1, H, W)`` of ``(N, 3, H, W)`` RGB."""
    return _weighted(image, BT709_LUMA)


def _weighted(image: Tensor, weights: tuple[float, float, float]) -> Tensor:
    return (image * image.new_tensor(weights).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def _mean_over_visible(squared: Tensor, mask: Tensor) -> Tensor:
    mask = mask.float()
    return (squared * mask).sum() / (mask.sum() * squared.shape[1]).clamp_min(1)
