"""The graph that is exported: `FrameGraph` with the numbers of one style in it."""

from typing import Literal

import torch
from torch import Tensor, nn

from models.engines.engine import DTYPES
from models.export.any_size import AnySizeFrameGraph
from models.frame_graph import zero_statistics
from models.registry import LoadedStyle

ExportPrecision = Literal["fp32", "fp16"]

INPUTS = ("frame", "past", "past_weight", "strength", "keep_colors")
OUTPUTS = ("stylized", "statistics")


class StyleGraph(nn.Module):
    """Stylizes frames in one style; what a frame leaves to the next is an output and an input.

    Args:
        style: network and parameters.
        precision: of the convolutions; statistics and the last blend are always in float32.
    """

    def __init__(self, style: LoadedStyle, precision: ExportPrecision) -> None:
        super().__init__()
        self._graph = AnySizeFrameGraph(style.network)
        tensors = style.style.to("cpu", DTYPES[precision]).tensors()
        self._names = [f"style_{index}" for index in range(len(tensors))]
        for name, tensor in zip(self._names, tensors, strict=True):
            self.register_buffer(name, tensor.contiguous())

    def forward(
        self, frame: Tensor, past: Tensor, past_weight: Tensor, strength: Tensor, keep_colors: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Stylize one frame ``(H, W, 3)`` uint8; see `FrameGraph.forward`."""
        style = [self.get_buffer(name) for name in self._names]
        result: tuple[Tensor, Tensor] = self._graph(frame, style, past, past_weight, strength, keep_colors)
        return result

    def example(self, height: int, width: int) -> tuple[Tensor, ...]:
        """Return inputs of the right shapes."""
        scalars = (torch.zeros(()) for _ in range(3))
        return torch.zeros(height, width, 3, dtype=torch.uint8), zero_statistics(self._graph.network), *scalars
