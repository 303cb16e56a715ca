"""How still a painted clip is, how much like its painting, and how much of the scene is left.

The three stand together: less paint is stiller for free. What they mean, with formulas: docs/measures.md.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.flow import FlowFinder, Picture, to_tensor, visible, warp
from models.losses import content_loss, style_loss

SMALLEST_VISIBLE = 0.1
"""Share of the pixels below which two frames are taken for different scenes, and their pair is not counted."""


@dataclass(frozen=True, slots=True)
class Motion:
    """How one frame came from an earlier one.

    Attributes:
        flow: ``(1, 2, H, W)`` from the frame to the earlier one, in pixels.
        mask: ``(1, 1, H, W)`` bool, True where both show the same point.
    """

    flow: Tensor
    mask: Tensor

    @property
    def visible(self) -> float:
        """Share of the pixels that can be compared, 0 to 1."""
        return float(self.mask.float().mean())

    @property
    def counts(self) -> bool:
        """False where next to nothing can be compared: another scene has begun."""
        return self.visible >= SMALLEST_VISIBLE


def find_motion(current: Picture, earlier: Picture, finder: FlowFinder) -> Motion:
    """Flow between two pictures, both ways, and where it can be trusted; see `models.flow.visible`.

    Args:
        current: ``(H, W, 3)`` uint8 RGB.
        earlier: the same size.
        finder: for instance `models.flow.DisFlow`.
    """
    backward, forward = to_tensor(finder(current, earlier)), to_tensor(finder(earlier, current))
    return Motion(backward, visible(backward, forward))


def warp_error(current: Tensor, earlier: Tensor, motion: Motion) -> float:
    """Mean squared difference of a frame and an earlier one warped to it, over visible pixels and all colours.

    The warping error of Lai et al., "Learning Blind Video Temporal Consistency", ECCV 2018, of one pair; averaged over
    the colours, as in their code.

    Args:
        current: ``(1, 3, H, W)`` in [0, 1].
        earlier: the same size.
        motion: between the two, found in the original clip.

    Returns:
        0 for a picture that moves with the flow; not a number where no pixel is visible.
    """
    squared = (current - warp(earlier, motion.flow)).square().mean(dim=1, keepdim=True)
    # Summed in float64: a 4K frame has more pixels than float32 counts.
    return float(squared[motion.mask].double().mean())


def e_warp(errors: Sequence[float]) -> float:
    """Mean of `warp_error` over pairs, as in Lai et al. 2018."""
    return math.fsum(errors) / len(errors)


def e_stab(errors: Sequence[float]) -> float:
    """Square root of the mean of `warp_error` over pairs: in units of the pixels, as in Gao et al. (ReCoNet), 2018."""
    return math.sqrt(e_warp(errors))


def style_score(features: Mapping[str, Tensor], painting: Mapping[str, Tensor]) -> float:
    """Mean over layers of the relative distance of Gram matrices; 0 is the painting's own texture.

    Args:
        features: ``(1, C, H, W)`` of the picture, by the name of the layer.
        painting: ``(C, C)`` Gram matrices of the painting, of the layers that count.
    """
    return sum(float(style_loss(features[name], target)) for name, target in painting.items()) / len(painting)


def content_score(stylized: Tensor, original: Tensor) -> float:
    """Mean squared distance of features over the variance of the original's; 0 is equal, 2 is unrelated.

    Args:
        stylized: ``(1, C, H, W)`` features of the painted frame.
        original: of the frame itself.
    """
    return float(content_loss(stylized, original))


def to_pixels(picture: Picture) -> Tensor:
    """``(H, W, 3)`` uint8 as ``(1, 3, H, W)`` float32 in [0, 1]."""
    return torch.from_numpy(picture.transpose(2, 0, 1)[None].copy()).float() / 255
