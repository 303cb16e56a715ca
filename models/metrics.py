"""Metrics of a stylized clip: temporal stability, distance from the style image, distance from the content.

Read them together: a weaker style is always more stable. Formulas and meaning: docs/measures.md.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.losses import content_loss, style_loss
from models.temporal.flow import FlowEstimator, Pixels, flow_to_tensor, visible, warp

SMALLEST_VISIBLE = 0.1
"""Share of visible pixels below which two frames count as different scenes and are not compared."""


@dataclass(frozen=True, slots=True)
class Motion:
    """The motion between a frame and an earlier one.

    Attributes:
        flow: ``(1, 2, H, W)`` from the frame to the earlier one, in pixels.
        mask: ``(1, 1, H, W)`` bool, True where both show the same point.
    """

    flow: Tensor
    mask: Tensor

    @property
    def visible_share(self) -> float:
        """Share of the pixels that can be compared, 0 to 1."""
        return float(self.mask.float().mean())

    @property
    def same_scene(self) -> bool:
        """Whether enough can be compared; if not, the frames belong to different scenes."""
        return self.visible_share >= SMALLEST_VISIBLE


def estimate_motion(current: Pixels, earlier: Pixels, estimator: FlowEstimator) -> Motion:
    """Estimate the flow between two frames in both directions; see `models.temporal.flow.visible` for the mask.

    Args:
        current: ``(H, W, 3)`` uint8 RGB.
        earlier: the same size.
        estimator: for instance `models.temporal.flow.DisFlow`.
    """
    backward, forward = (flow_to_tensor(estimator(*pair)) for pair in ((current, earlier), (earlier, current)))
    return Motion(backward, visible(backward, forward))


def warp_error(current: Tensor, earlier: Tensor, motion: Motion) -> float:
    """Compute the mean squared difference of a frame and the warped earlier one, over visible pixels and channels.

    The warping error of one pair of Lai et al., "Learning Blind Video Temporal Consistency", ECCV 2018; averaged over
    the channels, as in their code.

    Args:
        current: ``(1, 3, H, W)`` in [0, 1].
        earlier: the same size.
        motion: between the two, estimated in the original clip.

    Returns:
        0 for a frame that moves along the flow; NaN if no pixel is visible.
    """
    squared = (current - warp(earlier, motion.flow)).square().mean(dim=1, keepdim=True)
    # Summed in float64: a 4K frame has more pixels than float32 counts.
    return float(squared[motion.mask].double().mean())


def e_warp(errors: Sequence[float]) -> float:
    """Compute the mean `warp_error` over pairs, as in Lai et al. 2018."""
    return math.fsum(errors) / len(errors)


def e_stab(errors: Sequence[float]) -> float:
    """Compute the root of the mean `warp_error` over pairs: in units of pixel values, as in ReCoNet, 2018."""
    return math.sqrt(e_warp(errors))


def style_score(features: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> float:
    """Compute the mean relative distance of Gram matrices over layers; 0 is the texture of the style image.

    Args:
        features: ``(1, C, H, W)`` of a stylized frame, by layer name.
        targets: ``(C, C)`` Gram matrices of the style image, of the layers to compare.
    """
    return sum(float(style_loss(features[name], target)) for name, target in targets.items()) / len(targets)


def content_score(stylized: Tensor, original: Tensor) -> float:
    """Compute the mean squared distance of features over the variance of the original's; 0 is equal, 2 unrelated.

    Args:
        stylized: ``(1, C, H, W)`` features of the stylized frame.
        original: ``(1, C, H, W)`` features of the original frame.
    """
    return float(content_loss(stylized, original))


def image_to_tensor(image: Pixels) -> Tensor:
    """Convert ``(H, W, 3)`` uint8 to ``(1, 3, H, W)`` float32 in [0, 1]."""
    return torch.from_numpy(image.transpose(2, 0, 1)[None].copy()).float() / 255
