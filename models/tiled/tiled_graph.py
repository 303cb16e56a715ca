"""What `FrameGraph` does, in strips: no float image is ever in memory as a whole."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from models.frame_graph import (
    FrameGraph,
    black_mask_level,
    block_grid,
    composite,
    contrast_gain,
    frame_statistics,
    is_smaller,
    pixels_to_unit,
    resize,
    unit_to_pixels,
)
from models.layers import LEAST_WEIGHT, ConditionalInstanceNorms, RegionWeights
from models.network import Style, pad, padding
from models.tiled.lazy_features import LazyFeatures, cropped, detailed, resampled, resized
from models.tiled.strip_pass import ChannelSums, StripPass
from models.tiled.tiling import Tiling, strips


class TiledFrameGraph:
    """Stylizes as `FrameGraph` does, up to rounding, in strips.

    Args:
        graph: what to compute.
        tiling: the strips.
    """

    def __init__(self, graph: FrameGraph, tiling: Tiling) -> None:
        self._graph = graph
        self._tiling = tiling

    def __call__(
        self,
        pixels: Tensor,
        style: Sequence[Tensor],
        past: Tensor,
        past_weight: Tensor,
        strength: Tensor,
        keep_colors: Tensor,
        region: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Stylize one frame; see `FrameGraph.forward`, but the result is always on the CPU."""
        network, rows = self._graph.network, self._tiling.rows
        frame = LazyFeatures(lambda first, last: pixels_to_unit(pixels[first:last]), pixels.shape[0], pixels.shape[1])
        size = (frame.height, frame.width)
        image = resized(frame, self._graph.canvas or size)
        of_style, channels = Style.of(style), network.architecture.norm_channels
        norms = ConditionalInstanceNorms(channels, of_style.scale, of_style.shift, past[..., :-1], past_weight)
        if region is not None:
            of_canvas = resize(region[None, None], self._graph.canvas)
            norms.region = RegionWeights(pad(of_canvas, network.MULTIPLE, network.SMALLEST))
        strip_pass = StripPass(network, of_style, norms, self._tiling)
        padded = self._padded(image, of_style.weight.dtype)
        stylized = cropped(strip_pass.stylize(padded), image.height, image.width)
        stylized = resized(stylized, size)
        if is_smaller(self._graph.canvas, size):
            stylized = detailed(stylized, frame, resized(image, size))
        own, mask = self._survey(frame, None if region is None else region[None, None].clamp_min(LEAST_WEIGHT))
        own = torch.lerp(own, past[..., -1:], past_weight)
        gain = strength * contrast_gain(own)[..., None]
        mask = resampled(mask, size, "bilinear")
        result = torch.empty(pixels.shape, dtype=pixels.dtype)
        for strip in strips(frame.height, rows):
            amount = gain * mask.rows(*strip)[:, 0]
            blended = composite(frame.rows(*strip), stylized.rows(*strip).float(), amount, keep_colors)
            result[slice(*strip)] = unit_to_pixels(blended, pixels.dtype).cpu()
        return result, torch.cat((norms.statistics(), own), dim=2)

    def _padded(self, image: LazyFeatures, dtype: torch.dtype) -> LazyFeatures:
        """Return the input of the network: sides padded to multiples of 4."""
        network = self._graph.network
        below, right = (padding(size, network.MULTIPLE, network.SMALLEST) for size in (image.height, image.width))

        def rows(first: int, last: int) -> Tensor:
            start, end = min(first, image.height - 1), min(last, image.height)
            inside = F.pad(image.rows(start, end).to(dtype), (0, right, 0, last - end), mode="replicate")
            return inside[:, :, first - start :].contiguous(memory_format=torch.channels_last)

        return LazyFeatures(rows, image.height + below, image.width + right)

    def _survey(self, frame: LazyFeatures, weights: Tensor | None) -> tuple[Tensor, LazyFeatures]:
        """Return the statistics of the frame, ``(1, 2, 1)``, and its black mask at the resolution of blocks."""
        sums, brightest = ChannelSums(), []
        blocks = block_grid(frame.height, frame.width)
        for first, last in strips(frame.height, self._tiling.rows):
            rows = frame.rows(first, last)
            sums.add(rows, None if weights is None else weights[:, :, first:last])
            brightest.append(F.interpolate(rows.amax(dim=1, keepdim=True), (last - first, blocks[1]), mode="area"))
        own = frame_statistics(*sums.means(frame.height * frame.width)).float()
        mask = black_mask_level(F.interpolate(torch.cat(brightest, dim=2), blocks, mode="area"))
        return own, LazyFeatures(lambda first, last: mask[:, :, first:last], *blocks)
