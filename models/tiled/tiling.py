"""The same painting from strips of the picture, for pictures that do not fit into memory as a whole.

An instance normalisation needs the statistics of the whole picture before any of its pixels can go on. So the picture
is gone over once for each layer: a strip at a time is brought up to the layer, what comes out is summed, and of it only
that is kept which later layers would have to work out too often. What differs from the whole network is rounding alone.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.engines.fused_kernels import convolve_in_fours
from models.network import Architecture, Layer, Style, StyleNetwork, gain_and_offset, mix_statistics, normalize

Rows = Callable[[int, int], Tensor]
"""``(first, last) -> (1, C, last - first, W)``: some rows of a picture."""

Affine = tuple[Tensor, Tensor]
"""Gain and offset, see `models.network.gain_and_offset`."""


@dataclass(frozen=True, slots=True)
class Tiling:
    """How much of a picture is worked on at a time, and how much is kept.

    Attributes:
        rows: of a strip, at each resolution; a multiple of 4.
        keeps_half: whether features at half resolution are kept; else they are worked out again for each later layer,
            which takes longer and a third less memory.
    """

    rows: int
    keeps_half: bool = True

    def __post_init__(self) -> None:
        if self.rows < 4 or self.rows % 4:
            raise ValueError(f"a strip must have a multiple of 4 rows, not {self.rows}")


@dataclass(frozen=True, slots=True)
class Tall:
    """A picture, or the features behind a layer, of which some rows at a time are in memory.

    Attributes:
        rows: reads or works out some of them.
        height: in rows.
        width: in pixels.
        room: where all of them lie in memory, before their normalisation; None where they do not.
    """

    rows: Rows
    height: int
    width: int
    room: Tensor | None = None

    def with_border(self, first: int, last: int, mode: str) -> Tensor:
        """Rows that may lie beyond the border, there filled in as `torch.nn.functional.pad` does in ``mode``."""
        above, below = max(-first, 0), max(last - self.height, 0)
        rows = self.rows(first + above, last - below)
        return F.pad(rows, (0, 0, above, below), mode=mode) if above or below else rows


class StripPass:
    """One picture's way through the network, a strip at a time.

    Args:
        network: the architecture; of its weights nothing is used.
        weights: of its convolutions, in the order of the data's way.
        style: what to paint like, its convolution in the dtype of the weights.
        past: ``(1, 2, C)`` float32 statistics from elsewhere, see `models.network.conditional_instance_norm`.
        keep: scalar float32, the share of ``past``.
        tiling: the strips.
    """

    def __init__(
        self, network: StyleNetwork, weights: Sequence[Tensor], style: Style, past: Tensor, keep: Tensor, tiling: Tiling
    ) -> None:
        self._encoder, self._decoder = network.encoder(), network.decoder()
        self._weights = iter(weights)
        self._style = style
        self._keep = keep
        self._tiling = tiling
        sizes = list(network.architecture.norm_channels)
        parts = (torch.split(vector, sizes, dim=-1) for vector in (style.scale, style.shift, past))
        self._norms = iter(zip(*parts, strict=True))
        self._used: list[Tensor] = []

    def stylize(self, picture: Tall) -> Tall:
        """The painting of a picture in [0, 1] whose sides are multiples of 4; each strip of it is worked out anew."""
        half = picture.height // 2
        x = picture
        for layer in self._encoder:
            if not (layer.opens or layer.closes):
                x = self._plain(layer, x, half)
        x = self._residual([layer for layer in self._encoder if layer.opens or layer.closes], x)
        for layer in self._decoder:
            x = self._plain(layer, x, half)
        return self._colored(x)

    def statistics(self) -> Tensor:
        """Those that were used, ``(1, 2, C)`` float32; complete when `stylize` has returned."""
        return torch.cat(self._used, dim=2)

    def _plain(self, layer: Layer, before: Tall, half: int) -> Tall:
        """The features behind a layer and its ReLU."""
        weight = next(self._weights)
        height, width = layer.convolve.size(before.height, before.width)
        if height > half or (height == half and not self._tiling.keeps_half):
            return _anew(layer, weight, before, self._survey(layer, weight, before))
        shape = (1, layer.convolve.out_channels, height, width)
        room = torch.empty(shape, dtype=weight.dtype, device=weight.device, memory_format=torch.channels_last)
        return _lying_in(room, self._survey(layer, weight, before, room))

    def _residual(self, layers: Sequence[Layer], x: Tall) -> Tall:
        """The features behind the residual blocks; two rooms of their size are all that is in memory meanwhile."""
        if x.room is None or not layers:
            return x
        kept, room = x.room, torch.empty_like(x.room)
        for first, last in strips(x.height, self._tiling.rows):
            kept[:, :, first:last] = x.rows(first, last)
        x = inner = _lying_in(kept)
        for layer in layers:
            affine = self._survey(layer, next(self._weights), x if layer.opens else inner, room)
            if layer.opens:
                inner = _lying_in(room, affine)
                continue
            for first, last in strips(x.height, self._tiling.rows):
                kept[:, :, first:last] += normalize(room[:, :, first:last], *affine)
        return x

    def _survey(self, layer: Layer, weight: Tensor, before: Tall, room: Tensor | None = None) -> Affine:
        """Gain and offset of a layer's normalisation, by its statistics; what it makes is left in ``room``.

        A strip is put there when the next one has been worked out, so that ``before`` may lie in the same room.
        """
        height, width = layer.convolve.size(before.height, before.width)
        sums, waiting = Sums(), None
        for first, last in strips(height, self._tiling.rows):
            raw = _convolved(layer, weight, before, first, last)
            sums.add(raw)
            if room is not None and waiting is not None:
                _put(room, *waiting)
            waiting = first, last, raw
        if room is not None and waiting is not None:
            _put(room, *waiting)
        scale, shift, past = next(self._norms)
        self._used.append(mix_statistics(*sums.means(height * width), past, self._keep))
        return gain_and_offset(self._used[-1], scale, shift)

    def _colored(self, before: Tall) -> Tall:
        """The painting, in the colours of the style."""
        weight, bias = self._style.weight, self._style.bias
        reach = weight.shape[-1] // 2

        def rows(first: int, last: int) -> Tensor:
            begin, end = first - first % 2, last + last % 2
            x = before.with_border(begin - reach, end + reach, "reflect")
            painting = torch.sigmoid(convolve_in_fours(x, weight, bias, rows=False))
            return painting[:, :, first - begin : last - begin]

        return Tall(rows, before.height, before.width)


class Sums:
    """Adds up the values of each channel, and their squares, over many strips."""

    def __init__(self) -> None:
        self._total: Tensor | None = None

    def add(self, strip: Tensor) -> None:
        """Count a strip ``(N, C, h, W)`` in."""
        wide = strip.float()
        sums = torch.stack((wide.sum(dim=(2, 3)), wide.square().sum(dim=(2, 3))))
        sums = sums if sums.device.type == "mps" else sums.double()  # MPS has no float64
        self._total = sums if self._total is None else self._total + sums

    def means(self, count: int) -> tuple[Tensor, Tensor]:
        """Of the values and of their squares, ``(N, C)`` each, float64 where there is such; ``count`` pixels."""
        if self._total is None:
            raise ValueError("no strip was added")
        mean, square = (self._total / count).unbind()
        return mean, square


def strips(height: int, rows: int) -> Iterator[tuple[int, int]]:
    """First and last row, exclusive, of each strip of ``rows`` rows."""
    for first in range(0, height, rows):
        yield first, min(first + rows, height)


def _convolved(layer: Layer, weight: Tensor, before: Tall, first: int, last: int) -> Tensor:
    """Rows of what the convolution makes, not yet normalised."""
    together = layer.convolve.TOGETHER
    begin, end = first - first % together, last + -last % together
    x = before.with_border(*layer.convolve.sees(begin, end), layer.convolve.BORDER)
    return layer.convolve.within(x, weight)[:, :, first - begin : last - begin]


def _anew(layer: Layer, weight: Tensor, before: Tall, affine: Affine) -> Tall:
    """The features behind a layer and its ReLU, worked out each time."""

    def rows(first: int, last: int) -> Tensor:
        return F.relu(normalize(_convolved(layer, weight, before, first, last), *affine))

    return Tall(rows, *layer.convolve.size(before.height, before.width))


def _lying_in(room: Tensor, affine: Affine | None = None) -> Tall:
    """The features in ``room``; with ``affine`` they are normalised, and go through the ReLU, each time."""

    def rows(first: int, last: int) -> Tensor:
        raw = room[:, :, first:last]
        return raw if affine is None else F.relu(normalize(raw, *affine))

    return Tall(rows, room.shape[-2], room.shape[-1], room)


def _put(room: Tensor, first: int, last: int, rows: Tensor) -> None:
    room[:, :, first:last] = rows


def peak_bytes(architecture: Architecture, tiling: Tiling, height: int, width: int, value_bytes: int) -> int:
    """About how much memory painting a picture takes at its most, all of it; ``value_bytes`` of a feature: 2 or 4."""
    full, half, quarter = architecture.widths
    rooms = max(half / 4 * tiling.keeps_half + quarter / 16, 2 * quarter / 16) * value_bytes + 6  # and the pixels
    strip = full * (6 * value_bytes + 12) + 150
    return round(rooms * height * width) + strip * (tiling.rows + 8) * width
