"""The feed-forward style network: a graph without numbers of its own; all parameters belong to the style."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.fused_kernels import convolve_blocks
from models.layers import ConditionalInstanceNorms, ReflectConv2d, RegionWeights, UpsampleConv2d


@dataclass(frozen=True, slots=True)
class Architecture:
    """The sizes of a network; stored in each weight file.

    Attributes:
        widths: channels at full, half and quarter resolution.
        blocks: number of residual blocks at quarter resolution.
        kernel: side of the first and the last kernel, odd.
    """

    widths: tuple[int, int, int] = (16, 32, 64)
    blocks: int = 4
    kernel: int = 5

    def __post_init__(self) -> None:
        if len(self.widths) != 3 or min(self.widths) < 1:
            raise ValueError(f"widths must be three positive numbers, not {self.widths}")
        if self.blocks < 0:
            raise ValueError(f"blocks must not be negative, not {self.blocks}")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd and positive, not {self.kernel}")

    @property
    def norm_channels(self) -> tuple[int, ...]:
        """Channels of each normalization, in the order of the layers."""
        full, half, quarter = self.widths
        return (full, half, quarter, *(quarter,) * (2 * self.blocks), half, full)


@dataclass(frozen=True, slots=True)
class Style:
    """All parameters of one style.

    Styles blend by interpolation: of scale, shift and the last convolution, in each of which the network is linear
    (Dumoulin et al., ICLR 2017, arXiv:1610.07629), and of the other convolutions, if one style was trained from the
    other (deep network interpolation, Wang et al., CVPR 2019, arXiv:1811.10515).

    Attributes:
        convolutions: kernels of the layers, in their order; styles of one weight file share them.
        scale: ``(C,)`` multiplies the normalized features; C is the sum of `Architecture.norm_channels`.
        shift: ``(C,)`` is added to them.
        weight: ``(3, widths[0], kernel, kernel)`` of the last convolution, which outputs RGB.
        bias: ``(3,)`` of the last convolution.
    """

    convolutions: tuple[Tensor, ...]
    scale: Tensor
    shift: Tensor
    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, tensors: Sequence[Tensor]) -> "Style":
        """Return the style with these `tensors`."""
        *convolutions, scale, shift, weight, bias = tensors
        return cls(tuple(convolutions), scale, shift, weight, bias)

    def lerp(self, other: "Style", amount: float) -> "Style":
        """Interpolate: ``amount`` 0 is this style, 1 is ``other``."""
        pairs = zip(self.tensors(), other.tensors(), strict=True)
        return Style.of([a if a is b else torch.lerp(a, b, amount) for a, b in pairs])

    def tensors(self) -> tuple[Tensor, ...]:
        """Return all tensors in the order of the fields."""
        return *self.convolutions, self.scale, self.shift, self.weight, self.bias

    def to(self, device: torch.device | str, dtype: torch.dtype) -> "Style":
        """Return the style on ``device``: convolutions in ``dtype``, scale and shift always in float32."""
        return Style(
            tuple(kernel.to(device, dtype, memory_format=torch.channels_last) for kernel in self.convolutions),
            self.scale.to(device, torch.float32),
            self.shift.to(device, torch.float32),
            self.weight.to(device, dtype, memory_format=torch.channels_last),
            self.bias.to(device, dtype),
        )


@dataclass(frozen=True, slots=True)
class RegionStyle(Style):
    """The style of one region of a frame, with that of the rest of it.

    Attributes:
        background: style of the rest, for the same network.
    """

    background: Style

    @classmethod
    def of_regions(cls, foreground: Style, background: Style) -> "RegionStyle":
        """Return the style whose region has ``foreground``."""
        f = foreground
        return cls(f.convolutions, f.scale, f.shift, f.weight, f.bias, background)

    def lerp(self, other: Style, amount: float) -> Style:
        """Refuse: regions do not fade.

        Raises:
            ValueError: always.
        """
        raise ValueError("styles of regions cannot be interpolated")

    def tensors(self) -> tuple[Tensor, ...]:
        """Return the tensors of the region's style, then as many of the other."""
        return *Style.tensors(self), *self.background.tensors()

    def to(self, device: torch.device | str, dtype: torch.dtype) -> "RegionStyle":
        """Return both styles on ``device``; see `Style.to`."""
        return RegionStyle.of_regions(Style.to(self, device, dtype), self.background.to(device, dtype))


class Layer(NamedTuple):
    """A convolution and its place in the network; a normalization follows, and a ReLU unless it closes a block.

    Attributes:
        name: of its kernel in weight files.
        convolution: what it computes.
        opens_block: whether it is the first of a residual block, whose input is added at the end.
        closes_block: whether it is the last of a residual block.
    """

    name: str
    convolution: ReflectConv2d | UpsampleConv2d
    opens_block: bool = False
    closes_block: bool = False


@dataclass(frozen=True, slots=True)
class StyleNetwork:
    """Stylize an image: encode to quarter resolution, residual blocks, upsample, color.

    After Johnson, Alahi & Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", ECCV 2016,
    arXiv:1603.08155, with conditional instance normalization, and slim: a quarter of the channels at full resolution,
    small first and last kernels, nearest-neighbor upsampling and a convolution instead of a transposed convolution
    (Odena et al. 2016: no checkerboards; computed by `models.fused_kernels`), a sigmoid at the end.

    Stateless: the parameters are an argument; the normalization statistics of earlier frames are one, and a result.

    Attributes:
        architecture: the sizes.
    """

    MULTIPLE: ClassVar = 4
    SMALLEST: ClassVar = 16

    architecture: Architecture = Architecture()

    @property
    def statistics_size(self) -> int:
        """Number of normalized channels, C in the shape of the statistics ``(N, 2, C)``."""
        return sum(self.architecture.norm_channels)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers but the last convolution, which outputs RGB."""
        return *self.encoder(), *self.decoder()

    def encoder(self) -> list[Layer]:
        """Return the layers from the image to the features in the middle of the network."""
        a = self.architecture
        full, half, quarter = a.widths
        down = (ReflectConv2d(3, full, a.kernel), ReflectConv2d(full, half, 3, 2), ReflectConv2d(half, quarter, 3, 2))
        encode = [Layer(f"encode.{index}.weight", convolution) for index, convolution in enumerate(down)]
        block = ReflectConv2d(quarter, quarter, 3)
        residual = [Layer(f"residual.{i}.weight", block, i % 2 == 0, i % 2 == 1) for i in range(2 * a.blocks)]
        return encode + residual

    def decoder(self) -> list[Layer]:
        """Return the layers from these features to the input of the last convolution."""
        full, half, quarter = self.architecture.widths
        up = (UpsampleConv2d(quarter, half), UpsampleConv2d(half, full))
        return [Layer(f"decode.{index}.weight", convolution) for index, convolution in enumerate(up)]

    def shapes(self) -> list[tuple[int, ...]]:
        """Return the shapes of the tensors of a style."""
        a, size = self.architecture, self.statistics_size
        convolutions = [layer.convolution.weight_shape for layer in self.layers]
        return [*convolutions, (size,), (size,), (3, a.widths[0], a.kernel, a.kernel), (3,)]

    def initial_style(self) -> Style:
        """Return a style to start training from: random convolutions, plain instance normalization."""
        *convolutions, scale, shift, weight, bias = self.shapes()
        kernels = tuple(nn.init.kaiming_normal_(torch.empty(shape), nonlinearity="relu") for shape in convolutions)
        last = torch.randn(weight) * math.prod(weight[1:]) ** -0.5
        return Style(kernels, torch.ones(scale), torch.zeros(shift), last, torch.zeros(bias))

    def __call__(
        self,
        image: Tensor,
        style: Style,
        past: Tensor | None = None,
        past_weight: Tensor | None = None,
        region: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Stylize ``image``.

        Args:
            image: ``(N, 3, H, W)`` RGB in [0, 1] of any size.
            style: the style to apply.
            past: ``(N, 2, C)`` float32 normalization statistics to mix in; see `ConditionalInstanceNorms`.
            past_weight: scalar float32 in [0, 1], the share of ``past``; 0 if None.
            region: ``(N, 1, H, W)`` float32, how much each pixel counts in the statistics; None counts all alike.

        Returns:
            The stylized image ``(N, 3, H, W)`` in (0, 1), and the statistics ``(N, 2, C)`` float32 that were used.
        """
        norms = self._norms(image, style, past, past_weight)
        if region is not None:
            norms.region = RegionWeights(pad(region, self.MULTIPLE, self.SMALLEST))
        return self._decode(self._encode(image, style, norms), style, norms, image), norms.statistics()

    def with_features(self, image: Tensor, style: Style) -> tuple[Tensor, Tensor]:
        """Stylize ``image``, and return the features in the middle of the network, which training keeps stable.

        Args:
            image: ``(N, 3, H, W)`` RGB in [0, 1].
            style: the style to apply.

        Returns:
            ``(N, 3, H, W)`` in (0, 1) and ``(N, widths[2], H / 4, W / 4)``.
        """
        norms = self._norms(image, style)
        features = self._encode(image, style, norms)
        return self._decode(features, style, norms, image), features

    def _norms(
        self, image: Tensor, style: Style, past: Tensor | None = None, past_weight: Tensor | None = None
    ) -> ConditionalInstanceNorms:
        if past is None:
            past = image.new_zeros((image.shape[0], 2, self.statistics_size), dtype=torch.float32)
        if past_weight is None:
            past_weight = past.new_zeros(())
        return ConditionalInstanceNorms(self.architecture.norm_channels, style.scale, style.shift, past, past_weight)

    def _encode(self, image: Tensor, style: Style, norms: ConditionalInstanceNorms) -> Tensor:
        layers = self.encoder()
        image = pad(image, self.MULTIPLE, self.SMALLEST)
        return _run(layers, style.convolutions[: len(layers)], image, norms)

    def _decode(self, features: Tensor, style: Style, norms: ConditionalInstanceNorms, image: Tensor) -> Tensor:
        layers = self.decoder()
        x = _run(layers, style.convolutions[-len(layers) :], features, norms)
        stylized = torch.sigmoid(convolve_blocks(x, style.weight.to(x.dtype), style.bias.to(x.dtype)))
        return stylized[..., : image.shape[-2], : image.shape[-1]]


def _run(layers: Sequence[Layer], kernels: Sequence[Tensor], x: Tensor, norms: ConditionalInstanceNorms) -> Tensor:
    block_input = x
    for layer, kernel in zip(layers, kernels, strict=True):
        if layer.opens_block:
            block_input = x
        x = norms(layer.convolution(x, kernel))
        x = block_input + x if layer.closes_block else F.relu(x)
    return x


def pad(image: Tensor, multiple: int, smallest: int) -> Tensor:
    """Pad at the right and bottom to a multiple of ``multiple`` and at least ``smallest``, by repeating the edge."""
    bottom, right = (padding(size, multiple, smallest) for size in image.shape[-2:])
    return F.pad(image, (0, right, 0, bottom), mode="replicate") if bottom or right else image


def padding(size: int, multiple: int, smallest: int) -> int:
    """Return the pixels to add to ``size``, to a multiple of ``multiple`` and at least ``smallest``, itself one."""
    return max(-size % multiple, smallest - size)
