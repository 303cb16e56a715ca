"""The layers of the style network: convolutions that also work on a strip of rows, and conditional instance norm."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from models.fused_kernels import reflect, upsample_convolve

EPSILON = 1e-5

Affine = tuple[Tensor, Tensor]
"""Gain and offset ``(N, C)`` float32 of a normalization."""


# Least weight of a pixel in the statistics of a region: a region without pixels, or of a few, takes those of the frame.
LEAST_WEIGHT = 1e-5


class RegionWeights:
    """How much each pixel counts in the statistics of a region, at each resolution of the network.

    Args:
        region: ``(N, 1, H, W)`` float32 in [0, 1]; sides are multiples of 4, as those of the padded image.
    """

    def __init__(self, region: Tensor) -> None:
        self._full = region.clamp_min(LEAST_WEIGHT)
        self._levels: dict[tuple[int, int], Tensor] = {}

    def at(self, height: int, width: int) -> Tensor:
        """Return the weights ``(N, 1, height, width)`` of features of this size."""
        size = height, width
        if size == tuple(self._full.shape[-2:]):
            return self._full
        if size not in self._levels:
            self._levels[size] = F.interpolate(self._full, size, mode="area")
        return self._levels[size]

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the means of ``(N, C, H, W)`` features and of their squares in the region, ``(N, C)`` each."""
        weights = self.at(x.shape[-2], x.shape[-1])
        total = weights.sum(dim=(2, 3))
        return (x * weights).sum(dim=(2, 3)) / total, (x.square() * weights).sum(dim=(2, 3)) / total


class ConditionalInstanceNorms:
    """The normalizations of one forward pass, in the order of the layers; each call is the next one.

    Normalize each channel over the whole frame, then apply the style's scale and shift: Dumoulin, Shlens & Kudlur, "A
    Learned Representation for Artistic Style", ICLR 2017, arXiv:1610.07629. Beyond the paper, the statistics can be
    mixed with given ones: those of earlier frames against flicker, or those of the whole frame for a tile.

    Args:
        channels: of each normalization.
        scale: ``(C,)`` float32 of the style, C being the sum of ``channels``.
        shift: ``(C,)`` float32 of the style.
        past: ``(N, 2, C)`` float32, given mean and variance.
        past_weight: scalar float32 in [0, 1], the share of ``past`` in the statistics.
        region: how much each pixel counts; None counts all alike.
    """

    def __init__(
        self,
        channels: Sequence[int],
        scale: Tensor,
        shift: Tensor,
        past: Tensor,
        past_weight: Tensor,
        region: RegionWeights | None = None,
    ) -> None:
        vectors = (torch.split(vector, list(channels), dim=-1) for vector in (scale, shift, past))
        self._layers = iter(zip(*vectors, strict=True))
        self._past_weight = past_weight
        self.region = region
        self._used: list[Tensor] = []

    def __call__(self, x: Tensor) -> Tensor:
        """Normalize ``(N, C, H, W)`` features of any floating dtype, which is also that of the result."""
        wide = x.float()
        if self.region is not None:
            return normalize(x, self.affine(*self.region.moments(wide)))
        # Two moments instead of torch.var_mean: its Welford pass costs a compiled frame 2 ms of 31.
        return normalize(x, self.affine(wide.mean(dim=(2, 3)), wide.square().mean(dim=(2, 3))))

    def affine(self, mean: Tensor, mean_square: Tensor) -> Affine:
        """Return what the next normalization multiplies and adds, given ``(N, C)`` moments of its features."""
        scale, shift, past = next(self._layers)
        variance = (mean_square - mean.square()).clamp_min(0)
        used = torch.lerp(torch.stack((mean, variance), dim=1).float(), past, self._past_weight)
        self._used.append(used)
        gain = scale * torch.rsqrt(used[:, 1] + EPSILON)
        # Stacked, they are stored in memory; otherwise the compiler recomputes them for every pixel.
        gain, offset = torch.stack((gain, shift - used[:, 0] * gain)).unbind()
        return gain, offset

    def statistics(self) -> Tensor:
        """Return the mean and variance used so far, ``(N, 2, C)`` float32."""
        return torch.cat(self._used, dim=2)


def normalize(x: Tensor, affine: Affine) -> Tensor:
    """Return ``x * gain + offset`` per channel of ``(N, C, H, W)``: computed in float32, in the dtype of ``x``."""
    gain, offset = affine
    return (x.float() * gain[:, :, None, None] + offset[:, :, None, None]).to(x.dtype)


# Compared by identity: torch 2.11's compiler hashes a layer before it has any attributes.
@dataclass(frozen=True, slots=True, eq=False)
class ReflectConv2d:
    """A convolution with reflection padding that keeps the size, or halves it with stride 2; its kernel is an argument.

    Without bias: the instance normalization after it would remove the bias again.

    Attributes:
        inputs: channels.
        outputs: channels.
        kernel: side of the kernel, odd.
        stride: 1 or 2.
    """

    BORDER: ClassVar = "reflect"
    ROW_STEP: ClassVar = 1
    """`convolve_rows` makes a multiple of this many rows."""

    inputs: int
    outputs: int
    kernel: int
    stride: int = 1

    @property
    def margin(self) -> int:
        """Pixels that are mirrored at each border."""
        return self.kernel // 2

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """Shape of the kernel."""
        return self.outputs, self.inputs, self.kernel, self.kernel

    def __call__(self, x: Tensor, weight: Tensor) -> Tensor:
        """``(N, inputs, H, W)`` to ``(N, outputs, ceil(H / stride), ceil(W / stride))``."""
        return F.conv2d(reflect(x, self.margin), weight, stride=self.stride)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Return output height and width for those of the input, which are even if the stride is 2."""
        return height // self.stride, width // self.stride

    def input_rows(self, first: int, last: int) -> tuple[int, int]:
        """Return first and last (exclusive) input row of the output rows ``first`` to ``last``, border included."""
        return first * self.stride - self.margin, (last - 1) * self.stride + self.margin + 1

    def convolve_rows(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return some rows of the output, made with ``weight``; ``x`` are their `input_rows`."""
        return F.conv2d(reflect(x, self.margin, rows=False), weight, stride=self.stride)


@dataclass(frozen=True, slots=True, eq=False)
class UpsampleConv2d:
    """Nearest-neighbor upsampling by 2, then a 3x3 convolution; without bias, as `ReflectConv2d`.

    Attributes:
        inputs: channels.
        outputs: channels.
    """

    BORDER: ClassVar = "replicate"
    ROW_STEP: ClassVar = 2
    """`convolve_rows` makes a multiple of this many rows."""

    inputs: int
    outputs: int

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """Shape of the kernel."""
        return self.outputs, self.inputs, 3, 3

    def __call__(self, x: Tensor, weight: Tensor) -> Tensor:
        """``(N, inputs, H, W)`` to ``(N, outputs, 2H, 2W)``."""
        return upsample_convolve(x, weight.to(x.dtype))

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Return output height and width for those of the input."""
        return 2 * height, 2 * width

    def input_rows(self, first: int, last: int) -> tuple[int, int]:
        """See `ReflectConv2d.input_rows`; ``first`` and ``last`` are even."""
        return first // 2 - 1, last // 2 + 1

    def convolve_rows(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return some rows of the output, made with ``weight``; ``x`` are their `input_rows`."""
        return upsample_convolve(x, weight, rows=False)
