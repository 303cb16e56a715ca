"""Carry a mask along the optical flow, from a key frame to the frames after it or before it.

What travels is not the mask but, for each pixel, the place in the key frame that it shows: the mask is sampled once,
however many frames lie between, so its edges stay sharp. The flow is estimated at a small size; the mask keeps its own.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.temporal.flow import visible, warp

# Trust in a pixel whose flow is not confirmed, as a share of the trust in it before.
UNCONFIRMED = 0.1
# So near an unconfirmed pixel no flow counts: patches of the estimator overlap the edges of what moves.
MARGIN_PX = 3
# Where no flow counts, the most similar pixel at these distances does, in eight directions.
DISTANCES_PX = (3, 6, 10, 16, 28, 48)
_DIRECTIONS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
# A pixel of distance counts as much as this difference in luma, in levels of 255.
LEVELS_PER_PX = 1.0
# Least trust in a blend: two masks without any are mixed by distance alone.
LEAST_TRUST = 0.01


@dataclass(frozen=True, slots=True)
class Track:
    """Where the pixels of a frame lie in a key frame.

    Attributes:
        displacement: ``(1, 2, h, w)`` float32, dx and dy in pixels of this size.
        trust: ``(1, 1, h, w)`` float32 in [0, 1]; 1 where the flow was confirmed in every frame since the key frame.
    """

    displacement: Tensor
    trust: Tensor

    @classmethod
    def at_key(cls, height: int, width: int) -> "Track":
        """Return the track of the key frame itself."""
        return cls(torch.zeros(1, 2, height, width), torch.ones(1, 1, height, width))

    def carried(self, flow: Tensor, back: Tensor, luma: Tensor) -> "Track":
        """Return the track of the next frame.

        What a moving object uncovers is in no frame before: such a pixel takes the place of the most similar one around
        it, and with that its mask.

        Args:
            flow: ``(1, 2, h, w)`` from the next frame to this one, in pixels.
            back: ``(1, 2, h, w)`` from this frame to the next one.
            luma: ``(h, w)`` of the next frame, in levels of 255.
        """
        lost = F.max_pool2d((~visible(flow, back)).float(), 2 * MARGIN_PX + 1, 1, MARGIN_PX) > 0
        displacement = _filled(flow + warp(self.displacement, flow), lost[0, 0], luma)
        return Track(displacement, warp(self.trust, flow) * torch.where(lost, UNCONFIRMED, 1.0))

    def mask(self, key: Tensor) -> Tensor:
        """Return the mask of this frame: that of the key frame, ``(1, 1, H, W)`` of any size, moved along."""
        height, width = self.displacement.shape[-2:]
        scale = torch.tensor([key.shape[-1] / width, key.shape[-2] / height])
        return warp(key, _resized(self.displacement, key) * scale[:, None, None])


def blended(before: Tensor, after: Tensor, trusts: tuple[Tensor, Tensor], share: float) -> Tensor:
    """Return the mask between two key frames.

    Args:
        before: ``(1, 1, H, W)``, carried from the key frame before.
        after: ``(1, 1, H, W)``, carried from the key frame after.
        trusts: ``(1, 1, h, w)`` in [0, 1], in the first and in the second.
        share: of the second where both are trusted, 0 at the key frame before and 1 at the one after.
    """
    first, second = (_resized(trust, before) + LEAST_TRUST for trust in trusts)
    first, second = (1 - share) * first, share * second
    return (first * before + second * after) / (first + second)


def _resized(values: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(values, size=like.shape[-2:], mode="bilinear", align_corners=False)


def _filled(displacement: Tensor, lost: Tensor, luma: Tensor) -> Tensor:
    """Return ``displacement``; where it is ``lost``, with the place of the most similar pixel near it that is not."""
    rows, columns = torch.nonzero(lost, as_tuple=True)
    if not len(rows):
        return displacement
    height, width = lost.shape
    smooth = F.avg_pool2d(F.pad(luma[None, None].float(), (1, 1, 1, 1), mode="replicate"), 3, 1)[0, 0]
    least, best_rows, best_columns = torch.full((len(rows),), torch.inf), rows, columns
    for distance in DISTANCES_PX:
        for down, right in _DIRECTIONS:
            other_rows = (rows + down * distance).clamp(0, height - 1)
            other_columns = (columns + right * distance).clamp(0, width - 1)
            difference = (smooth[rows, columns] - smooth[other_rows, other_columns]).abs() + LEVELS_PER_PX * distance
            difference[lost[other_rows, other_columns]] = torch.inf
            is_better = difference < least
            least = torch.where(is_better, difference, least)
            best_rows = torch.where(is_better, other_rows, best_rows)
            best_columns = torch.where(is_better, other_columns, best_columns)
    result = displacement.clone()
    step = torch.stack((best_columns - columns, best_rows - rows)).float()
    result[0, :, rows, columns] = displacement[0, :, best_rows, best_columns] + step
    return result
