"""What `frame_graph` does with a whole picture, done with strips of it: no picture of floats is ever whole."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from models.engines.frame_graph import (
    FrameGraph,
    beyond_black,
    block_count,
    from_unit,
    lay_over,
    mean_and_variance,
    part_way,
    resize_mode,
    thickness,
    to_unit,
)
from models.network import Style, StyleNetwork, missing
from models.tiled.tiling import StripPass, Sums, Tall, Tiling, strips

# Rows on each side that bicubic sampling, or the mean over a pixel, may look at beyond those it covers.
BEYOND = 3


class TiledFrameGraph:
    """Paints as `FrameGraph` does, up to rounding, in strips.

    Args:
        stylize: what to do as; its network in the precision it is to run in.
        tiling: the strips.
    """

    def __init__(self, stylize: FrameGraph, tiling: Tiling) -> None:
        self._stylize = stylize
        self._tiling = tiling

    def __call__(
        self,
        pixels: Tensor,
        scale: Tensor,
        shift: Tensor,
        weight: Tensor,
        bias: Tensor,
        past: Tensor,
        keep: Tensor,
        strength: Tensor,
        colors: Tensor,
        share: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Paint one picture; arguments and results are those of `FrameGraph.forward`, the picture comes on the CPU."""
        picture = _picture(pixels)
        style = Style(scale, shift, weight, bias)
        way = StripPass(self._stylize.network, self._weights(share), style, past[..., :-1], keep, self._tiling)
        seen = picture if self._stylize.canvas is None else resized(picture, self._stylize.canvas)
        painting = cropped(way.stylize(self._padded(seen)), seen.height, seen.width)
        painting = resized(painting, (picture.height, picture.width))
        own, light = self._survey(picture)
        own = torch.lerp(own, past[..., -1:], keep)
        most = strength * thickness(own)[..., None]
        lit = resampled(light, (picture.height, picture.width), "bilinear")
        stylized = torch.empty(pixels.shape, dtype=pixels.dtype)
        for first, last in strips(picture.height, self._tiling.rows):
            over = painting.rows(first, last).float(), most * lit.rows(first, last)[:, 0]
            stylized[first:last] = from_unit(lay_over(picture.rows(first, last), *over, colors), pixels.dtype).cpu()
        return stylized, torch.cat((way.statistics(), own), dim=2)

    def _weights(self, share: Tensor) -> list[Tensor]:
        starts = _weights_of(self._stylize.network)
        if self._stylize.end is None:
            return starts
        return [part_way(a, b, share) for a, b in zip(starts, _weights_of(self._stylize.end), strict=True)]

    def _padded(self, seen: Tall) -> Tall:
        """What the network sees: its sides are made multiples of 4."""
        network, dtype = self._stylize.network, next(self._stylize.network.parameters()).dtype
        below, right = (missing(size, network.MULTIPLE, network.SMALLEST) for size in (seen.height, seen.width))

        def rows(first: int, last: int) -> Tensor:
            begin, end = min(first, seen.height - 1), min(last, seen.height)
            inside = F.pad(seen.rows(begin, end).to(dtype), (0, right, 0, last - end), mode="replicate")
            return inside[:, :, first - begin :].contiguous(memory_format=torch.channels_last)

        return Tall(rows, seen.height + below, seen.width + right)

    def _survey(self, picture: Tall) -> tuple[Tensor, Tall]:
        """The picture's own statistics ``(1, 2, 1)``, and how much paint each block of it takes."""
        sums, brightest = Sums(), []
        blocks = block_count(picture.height, picture.width)
        for first, last in strips(picture.height, self._tiling.rows):
            rows = picture.rows(first, last)
            sums.add(rows)
            light = rows.amax(dim=1, keepdim=True)
            brightest.append(F.interpolate(light, (last - first, blocks[1]), mode="area"))
        own = mean_and_variance(*sums.means(picture.height * picture.width)).float()
        taken = beyond_black(F.interpolate(torch.cat(brightest, dim=2), blocks, mode="area"))
        return own, Tall(lambda first, last: taken[:, :, first:last], *blocks)


def _weights_of(network: StyleNetwork) -> list[Tensor]:
    return [layer.convolve.weight for layer in network.encoder() + network.decoder()]


def _picture(pixels: Tensor) -> Tall:
    return Tall(lambda first, last: to_unit(pixels[first:last]), pixels.shape[0], pixels.shape[1])


def cropped(picture: Tall, height: int, width: int) -> Tall:
    """The upper left part of a picture."""
    return Tall(lambda first, last: picture.rows(first, last)[..., :width], height, width)


def resized(picture: Tall, size: Sequence[int]) -> Tall:
    """`models.engines.frame_graph.resize` of a picture, a strip at a time."""
    if tuple(size) == (picture.height, picture.width):
        return picture
    mode = resize_mode((picture.height, picture.width), size)
    result = resampled(picture, size, mode)
    if mode == "area":
        return result
    return Tall(lambda first, last: result.rows(first, last).clamp(0, 1), result.height, result.width)


def resampled(picture: Tall, size: Sequence[int], mode: str) -> Tall:
    """`torch.nn.functional.interpolate` of a picture, a strip at a time.

    The weights of the rows come from that function itself, which is asked what becomes of single rows.
    """
    height, width = size

    def rows(first: int, last: int) -> Tensor:
        scale = picture.height / height
        begin = max(math.floor(first * scale) - BEYOND, 0)
        end = min(math.ceil(last * scale) + BEYOND, picture.height)
        seen = picture.rows(begin, end).float()
        single = seen.new_zeros(1, 1, picture.height, end - begin)
        single[0, 0, begin:end].fill_diagonal_(1)
        weights = _interpolate(single, (height, end - begin), mode)[0, 0, first:last]
        wide = _interpolate(seen, (end - begin, width), mode)
        return torch.einsum("oi,nciw->ncow", weights, wide)

    return Tall(rows, height, width)


def _interpolate(picture: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    return F.interpolate(picture, size, mode=mode, align_corners=None if mode == "area" else False)
