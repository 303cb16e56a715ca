"""Two styles in one frame: each with the statistics of its own region, so that neither changes with the other's."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

# Rows blended at a time.
_ROWS = 256


class RegionGraph:
    """Stylizes a frame twice and blends both: one style in a region, another one in the rest.

    Args:
        graph: `models.frame_graph.FrameGraph`, or what stands in for it in strips.
    """

    def __init__(self, graph: Callable[..., Any]) -> None:
        self._graph = graph

    def __call__(
        self,
        pixels: Tensor,
        style: Sequence[Tensor],
        past: Tensor,
        past_weight: Tensor,
        strength: Tensor,
        keep_colors: Tensor,
        region: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Stylize one frame; see `FrameGraph.forward`.

        Args:
            pixels: ``(H, W, 3)`` uint8 or uint16 RGB.
            style: tensors of a `models.network.RegionStyle`.
            past: ``(1, 2, 2 * (C + 1))`` float32 statistics to mix in, of the region, then of the rest.
            past_weight: scalar float32 in [0, 1].
            strength: scalar float32 in [0, 1].
            keep_colors: scalar float32 in [0, 1].
            region: ``(H, W)`` float32 in [0, 1]: 1 in the region, 0 in the rest.

        Returns:
            ``(H, W, 3)`` RGB in the dtype of ``pixels``, and the statistics that were used, of the shape of ``past``.
        """
        tensors, size = len(style) // 2, past.shape[-1] // 2
        controls = past_weight, strength, keep_colors
        front, used = self._graph(pixels, style[:tensors], past[..., :size], *controls, region)
        back, others = self._graph(pixels, style[tensors:], past[..., size:], *controls, 1 - region)
        return _blended(front, back, region.to(front.device)), torch.cat((used, others), dim=2)


def _blended(front: Tensor, back: Tensor, region: Tensor) -> Tensor:
    """Return ``front`` where ``region`` is 1 and ``back`` where it is 0."""
    result = torch.empty_like(front)
    for top in range(0, len(front), _ROWS):
        rows = slice(top, top + _ROWS)
        mixed = torch.lerp(back[rows].float(), front[rows].float(), region[rows, :, None])
        result[rows] = mixed.round().to(front.dtype)
    return result
