"""The frame graph without a decision that depends on the size of the frame, so that one export serves all sizes."""

import torch
from torch import Tensor

from models.frame_graph import FrameGraph, block_grid
from models.network import Style

SMALLEST_PX, LARGEST_PX = 16, 16384
"""Sides that the graph accepts; `StyleNetwork.SMALLEST` needs no padding then."""


class AnySizeFrameGraph(FrameGraph):
    """`FrameGraph` for frames of any size, without a canvas; up to rounding it computes the same.

    Where that pads by as much as is missing, this one reads rows and columns by their numbers; where that averages
    over blocks, whose sides differ by a pixel if the frame is no multiple of them, this one multiplies by a matrix.
    """

    def run_network(
        self,
        frame: Tensor,
        style: Style,
        past: Tensor | None = None,
        past_weight: Tensor | None = None,
        region: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """See `FrameGraph.run_network`."""
        height, width = frame.shape[-2:]
        image = repeat_edge_to_multiple(frame, self.network.MULTIPLE).to(style.weight.dtype)
        padded = None if region is None else repeat_edge_to_multiple(region, self.network.MULTIPLE)
        stylized, used = self.network(image, style, past, past_weight, padded)
        return stylized[..., :height, :width].float(), used

    def block_light(self, frame: Tensor) -> Tensor:
        """See `FrameGraph.block_light`."""
        brightest = frame.amax(dim=1, keepdim=True)
        of_rows, of_columns = map(block_means, frame.shape[-2:], block_grid(*frame.shape[-2:]))
        return torch.einsum("bh,nchw,dw->ncbd", of_rows, brightest, of_columns)


def repeat_edge_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Pad ``(N, C, H, W)`` at the right and bottom to a multiple of ``multiple``, by repeating the edge."""
    for dim in (2, 3):
        size = image.shape[dim]
        padded = (size + multiple - 1) // multiple * multiple
        image = image.index_select(dim, torch.arange(padded).clamp(max=size - 1))
    return image


def block_means(size: int, count: int) -> Tensor:
    """Return the matrix ``(count, size)`` float32 that averages ``size`` values over ``count`` blocks.

    The blocks are those of ``F.interpolate(mode="area")``: they overlap by one value where ``size`` is no multiple.
    """
    block, value = torch.arange(count)[:, None], torch.arange(size)[None]
    first, end = block * size // count, ((block + 1) * size + count - 1) // count
    is_inside = (value >= first) & (value < end)
    return is_inside.float() / (end - first).float()
