"""Perceptual losses, each divided by its target's own size so that one set of weights serves every painting."""

from torch import Tensor


def gram_matrix(features: Tensor) -> Tensor:
    """Correlations between channels, the "style" of a picture.

    Gatys, Ecker & Bethge, CVPR 2016; divided by the number of entries as in Johnson 2016, equation 3.

    Args:
        features: ``(N, C, H, W)``.

    Returns:
        ``(N, C, C)`` float32: ``F F^T / (C H W)``.
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
    return distance / target.square().sum()


def content_loss(features: Tensor, target: Tensor) -> Tensor:
    """Mean squared distance of features over the target's variance; a scalar, 0 is equal, 2 is unrelated.

    Johnson 2016, equation 2, here relative to the spread of the picture's own features.

    Args:
        features: ``(N, C, H, W)`` of the painted pictures.
        target: ``(N, C, H, W)`` of the pictures themselves.
    """
    target = target.float()
    return (features.float() - target).square().mean() / target.var()


def total_variation(pictures: Tensor) -> Tensor:
    """Mean squared difference of neighbouring pixels; a scalar, 0 is flat.

    Args:
        pictures: ``(N, 3, H, W)``.
    """
    down = pictures[..., 1:, :] - pictures[..., :-1, :]
    right = pictures[..., :, 1:] - pictures[..., :, :-1]
    return down.float().square().mean() + right.float().square().mean()
