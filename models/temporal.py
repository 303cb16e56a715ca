"""Losses that hold the paint still on what it paints (ReCoNet: Gao et al., ACCV 2018, arXiv:1807.01197)."""

from torch import Tensor
from torch.nn import functional as F

from models.flow import warp

LUMA = (0.2126, 0.7152, 0.0722)
"""Of ITU-R BT.709; a widely copied port of ReCoNet has .7512 for green."""

SMALLEST_SPREAD = 1e-4
"""Keeps the feature loss finite where the features are all but constant."""


def output_loss(
    stylized: Tensor, past: Tensor, frame: Tensor, past_frame: Tensor, flow: Tensor, mask: Tensor
) -> Tensor:
    """How far the painting is from the last one carried along the flow; a scalar, 0 is still.

    ReCoNet, equation 8: where the light in the scene changes, the painting may change by as much. We divide by the
    visible pixels and the channels instead of by all pixels, so that 0.001 is 0.03 a pixel whatever is hidden.

    Args:
        stylized: ``(N, 3, H, W)`` of frame t, in [0, 1].
        past: ``(N, 3, H, W)`` of frame t - 1.
        frame: ``(N, 3, H, W)`` frame t itself; without noise where that is known.
        past_frame: ``(N, 3, H, W)`` frame t - 1.
        flow: ``(N, 2, H, W)`` from t to t - 1, in pixels.
        mask: ``(N, 1, H, W)`` in [0, 1], 1 where both frames show the same.
    """
    change = stylized.float() - warp(past, flow)
    light = luma(frame.float() - warp(past_frame, flow))
    return _over_visible((change - light).square(), mask)


def feature_loss(features: Tensor, past: Tensor, flow: Tensor, mask: Tensor) -> Tensor:
    """The same for the features in the middle of the network; a scalar, 0 is still.

    ReCoNet, equation 10, over the features' own variance, so that one weight serves every network.

    Args:
        features: ``(N, C, h, w)`` of frame t.
        past: ``(N, C, h, w)`` of frame t - 1.
        flow: ``(N, 2, H, W)`` from t to t - 1, in pixels of the frame; it is scaled to the features.
        mask: ``(N, 1, H, W)`` in [0, 1].
    """
    height, width = features.shape[-2:]
    scale = flow.new_tensor((width / flow.shape[-1], height / flow.shape[-2])).view(1, 2, 1, 1)
    small = F.interpolate(flow, (height, width), mode="bilinear", antialias=True, align_corners=False) * scale
    seen = F.interpolate(mask.float(), (height, width), mode="bilinear", antialias=True, align_corners=False)
    wide = features.float()
    spread = wide.detach().var().clamp_min(SMALLEST_SPREAD)
    return _over_visible((wide - warp(past, small)).square(), seen) / spread


def luma(picture: Tensor) -> Tensor:
    """Relative luminance ``(N, 1, H, W)`` of ``(N, 3, H, W)`` RGB."""
    weights = picture.new_tensor(LUMA).view(1, 3, 1, 1)
    return (picture * weights).sum(dim=1, keepdim=True)


def _over_visible(squared: Tensor, mask: Tensor) -> Tensor:
    mask = mask.float()
    return (squared * mask).sum() / (mask.sum() * squared.shape[1]).clamp_min(1)
