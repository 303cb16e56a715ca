"""The style network in strips.

An instance normalization needs the statistics of the whole frame before any pixel can pass. So each layer is one pass
over the frame: a strip at a time is computed up to the layer and summed, and only the features that later layers would
recompute too often stay in memory. The result differs from the whole network by rounding only.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from models.fused_kernels import convolve_blocks
from models.layers import Affine, ConditionalInstanceNorms, normalize
from models.network import Layer, Style, StyleNetwork
from models.tiled.lazy_features import LazyFeatures, buffered
from models.tiled.tiling import Tiling, strips


class StripPass:
    """One frame's way through the network, a strip at a time.

    Args:
        network: what to compute.
        style: the style to apply, its convolutions in the dtype to run in.
        norms: of the network; they hold the statistics when `stylize` has returned.
        tiling: the strips.
    """

    def __init__(
        self,
        network: StyleNetwork,
        style: Style,
        norms: ConditionalInstanceNorms,
        tiling: Tiling,
    ) -> None:
        self._encoder, self._decoder = network.encoder(), network.decoder()
        self._weights = iter(style.convolutions)
        self._style = style
        self._norms = norms
        self._tiling = tiling

    def stylize(self, image: LazyFeatures) -> LazyFeatures:
        """Stylize an image in [0, 1] whose sides are multiples of 4; rows of the result are computed on access."""
        half = image.height // 2
        residual = [layer for layer in self._encoder if layer.opens_block or layer.closes_block]
        x = image
        for layer in self._encoder[: len(self._encoder) - len(residual)]:
            x = self._plain(layer, x, half)
        x = self._residual(residual, x)
        for layer in self._decoder:
            x = self._plain(layer, x, half)
        return self._colored(x)

    def _plain(self, layer: Layer, x: LazyFeatures, half: int) -> LazyFeatures:
        """Return the features after a layer and its ReLU: in memory if they are small, computed on access if not."""
        weight = next(self._weights)
        height, width = layer.convolution.output_size(x.height, x.width)
        if height > half or (height == half and not self._tiling.keeps_half):
            affine = self._survey(layer, weight, x)

            def rows(first: int, last: int) -> Tensor:
                return F.relu(normalize(_convolved(layer, weight, x, first, last), affine))

            return LazyFeatures(rows, height, width)
        shape = (1, layer.convolution.outputs, height, width)
        buffer = torch.empty(shape, dtype=weight.dtype, device=weight.device, memory_format=torch.channels_last)
        return buffered(buffer, self._survey(layer, weight, x, buffer))

    def _residual(self, layers: Sequence[Layer], x: LazyFeatures) -> LazyFeatures:
        """Return the features after the residual blocks; uses two buffers of their size."""
        if x.buffer is None or not layers:
            return x
        total, buffer = x.buffer, torch.empty_like(x.buffer)
        for first, last in strips(x.height, self._tiling.rows):
            total[:, :, first:last] = x.rows(first, last)
        x = inner = buffered(total)
        for layer in layers:
            affine = self._survey(layer, next(self._weights), x if layer.opens_block else inner, buffer)
            if layer.opens_block:
                inner = buffered(buffer, affine)
                continue
            for first, last in strips(x.height, self._tiling.rows):
                total[:, :, first:last] += normalize(buffer[:, :, first:last], affine)
        return x

    def _survey(self, layer: Layer, weight: Tensor, x: LazyFeatures, buffer: Tensor | None = None) -> Affine:
        """Return gain and offset of a layer's normalization; its raw output is stored in ``buffer``.

        A strip is stored when the next one has been computed, since ``x`` may lie in the same buffer.
        """
        height, width = layer.convolution.output_size(x.height, x.width)
        sums, previous, region = ChannelSums(), None, self._norms.region
        for first, last in strips(height, self._tiling.rows):
            raw = _convolved(layer, weight, x, first, last)
            sums.add(raw, None if region is None else region.at(height, width)[:, :, first:last])
            _store(buffer, previous)
            previous = first, last, raw
        _store(buffer, previous)
        return self._norms.affine(*sums.means(height * width))

    def _colored(self, x: LazyFeatures) -> LazyFeatures:
        """Return the stylized image: the style's own convolution of the last features."""
        weight, bias = self._style.weight, self._style.bias
        margin = weight.shape[-1] // 2

        def rows(first: int, last: int) -> Tensor:
            start, end = first - first % 2, last + last % 2
            source = x.with_border(start - margin, end + margin, "reflect")
            stylized = torch.sigmoid(convolve_blocks(source, weight, bias, rows=False))
            return stylized[:, :, first - start : last - start]

        return LazyFeatures(rows, x.height, x.width)


class ChannelSums:
    """Sums of the values of each channel, and of their squares, over many strips."""

    def __init__(self) -> None:
        self._total: Tensor | None = None
        self._weight: Tensor | None = None

    def add(self, strip: Tensor, weights: Tensor | None = None) -> None:
        """Add a strip ``(N, C, h, W)``, each pixel with its weight of ``(N, 1, h, W)``; None weighs all alike."""
        wide = strip.float()
        square = wide.square()
        if weights is not None:
            wide, square = wide * weights, square * weights
            weight = _precise(weights.sum(dim=(2, 3)))
            self._weight = weight if self._weight is None else self._weight + weight
        sums = _precise(torch.stack((wide.sum(dim=(2, 3)), square.sum(dim=(2, 3)))))
        self._total = sums if self._total is None else self._total + sums

    def means(self, count: int) -> tuple[Tensor, Tensor]:
        """Return the means of the values and of their squares over ``count`` pixels, ``(N, C)`` each.

        With weights, the means are over these.
        """
        if self._total is None:
            raise ValueError("no strip was added")
        mean, square = (self._total / (count if self._weight is None else self._weight)).unbind()
        return mean, square


def _precise(sums: Tensor) -> Tensor:
    return sums if sums.device.type == "mps" else sums.double()  # MPS has no float64


def _convolved(layer: Layer, weight: Tensor, x: LazyFeatures, first: int, last: int) -> Tensor:
    """Return rows of the convolution's output, not yet normalized."""
    convolution = layer.convolution
    start, end = first - first % convolution.ROW_STEP, last + -last % convolution.ROW_STEP
    source = x.with_border(*convolution.input_rows(start, end), convolution.BORDER)
    return convolution.convolve_rows(source, weight)[:, :, first - start : last - start]


def _store(buffer: Tensor | None, strip: tuple[int, int, Tensor] | None) -> None:
    if buffer is not None and strip is not None:
        first, last, rows = strip
        buffer[:, :, first:last] = rows
