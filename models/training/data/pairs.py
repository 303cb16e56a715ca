"""Pairs of consecutive frames with the flow between them, and crops of real clips as such pairs."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from models.temporal.flow import inside


@dataclass(frozen=True, slots=True)
class FramePairs:
    """A batch of N pairs of frames of the same scene.

    Attributes:
        first: ``(N, 3, H, W)`` in [0, 1], frame t - 1 as the network sees it.
        second: ``(N, 3, H, W)``, frame t as the network sees it.
        clean_first: ``(N, 3, H, W)``, frame t - 1 without noise.
        clean_second: ``(N, 3, H, W)``, frame t without noise.
        flow: ``(N, 2, H, W)`` from t to t - 1, in pixels.
        mask: ``(N, 1, H, W)``, 1 where both frames show the same point, else 0.
    """

    first: Tensor
    second: Tensor
    clean_first: Tensor
    clean_second: Tensor
    flow: Tensor
    mask: Tensor

    def tensors(self) -> tuple[Tensor, ...]:
        """Return the six tensors in the order of the fields."""
        return tuple(getattr(self, f.name) for f in fields(self))

    def __len__(self) -> int:
        return len(self.first)

    def split(self, size: int) -> "list[FramePairs]":
        """Return batches of at most ``size`` pairs."""
        return [FramePairs(*tensors) for tensors in zip(*(torch.split(t, size) for t in self.tensors()), strict=True)]

    @staticmethod
    def join(batches: "Sequence[FramePairs]") -> "FramePairs":
        """Return one batch of all pairs."""
        return FramePairs(*(torch.cat(tensors) for tensors in zip(*(b.tensors() for b in batches), strict=True)))


@dataclass(frozen=True, slots=True)
class ClipPair:
    """Two consecutive frames of a real clip in compact form.

    Attributes:
        first: ``(3, H, W)`` uint8, frame t - 1.
        second: ``(3, H, W)`` uint8, frame t.
        flow: ``(2, H, W)`` float16 from t to t - 1, in pixels.
        mask: ``(1, H, W)`` bool, where the flow can be trusted.
    """

    first: Tensor
    second: Tensor
    flow: Tensor
    mask: Tensor


def clip_crops(pairs: Sequence[ClipPair], count: int, size: int, generator: torch.Generator) -> FramePairs:
    """Draw random square crops of random pairs, not resized; their noise is unknown, so they count as clean.

    Args:
        pairs: to draw from, each at least ``size`` high and wide.
        count: number of crops.
        size: their side in pixels.
        generator: on the CPU; the only source of randomness.

    Raises:
        ValueError: a pair is smaller than a crop.
    """
    crops = []
    for _ in range(count):
        pair = pairs[int(torch.randint(len(pairs), (), generator=generator))]
        height, width = pair.first.shape[1:]
        if min(height, width) < size:
            raise ValueError(f"a clip of {width}x{height} px is smaller than a crop of {size} px")
        top = int(torch.randint(height - size + 1, (), generator=generator))
        left = int(torch.randint(width - size + 1, (), generator=generator))
        crop = (slice(None), slice(top, top + size), slice(left, left + size))
        first, second = pair.first[crop][None].float() / 255, pair.second[crop][None].float() / 255
        flow = pair.flow[crop][None].float()
        mask = pair.mask[crop][None] & inside(flow)
        crops.append(FramePairs(first, second, first, second, flow, mask.float()))
    return FramePairs.join(crops)
