"""The feed-forward style network: one set of convolutions, a small set of vectors for each style."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.fused_kernels import convolve_blocks
from models.layers import ConditionalInstanceNorms, ReflectConv2d, UpsampleConv2d


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
    """The parameters of one style; the network is linear in each, so styles blend by interpolation.

    Attributes:
        scale: ``(C,)`` multiplies the normalized features; C is the sum of `Architecture.norm_channels`.
        shift: ``(C,)`` is added to them.
        weight: ``(3, widths[0], kernel, kernel)`` of the last convolution, which outputs RGB.
        bias: ``(3,)`` of the last convolution.
    """

    scale: Tensor
    shift: Tensor
    weight: Tensor
    bias: Tensor

    def lerp(self, other: "Style", amount: float) -> "Style":
        """Interpolate: ``amount`` 0 is this style, 1 is ``other``."""
        return Style(*(torch.lerp(a, b, amount) for a, b in zip(self.tensors(), other.tensors(), strict=True)))

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the four tensors in the order of the fields."""
        return self.scale, self.shift, self.weight, self.bias

    def to(self, device: torch.device | str, dtype: torch.dtype) -> "Style":
        """Return the style on ``device``: the convolution in ``dtype``, scale and shift always in float32."""
        return Style(
            self.scale.to(device, torch.float32),
            self.shift.to(device, torch.float32),
            self.weight.to(device, dtype, memory_format=torch.channels_last),
            self.bias.to(device, dtype),
        )


class Layer(NamedTuple):
    """A convolution and its place in the network; a normalization follows, and a ReLU unless it closes a block.

    Attributes:
        convolution: its module.
        opens_block: whether it is the first of a residual block, whose input is added at the end.
        closes_block: whether it is the last of a residual block.
    """

    convolution: ReflectConv2d | UpsampleConv2d
    opens_block: bool = False
    closes_block: bool = False


class StyleNetwork(nn.Module):
    """Stylize an image: encode to quarter resolution, residual blocks, upsample, color.

    After Johnson, Alahi & Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", ECCV 2016,
    arXiv:1603.08155, with conditional instance normalization, and slim: a quarter of the channels at full resolution,
    small first and last kernels, nearest-neighbor upsampling and a convolution instead of a transposed convolution
    (Odena et al. 2016: no checkerboards; computed by `models.fused_kernels`), a sigmoid at the end.

    Stateless: the normalization statistics of earlier frames are an argument and a result.

    Args:
        architecture: the sizes.
    """

    MULTIPLE = 4
    SMALLEST = 16

    def __init__(self, architecture: Architecture | None = None) -> None:
        super().__init__()
        self.architecture = a = architecture or Architecture()
        full, half, quarter = a.widths
        self.encode = nn.ModuleList(
            [
                ReflectConv2d(3, full, a.kernel),
                ReflectConv2d(full, half, 3, stride=2),
                ReflectConv2d(half, quarter, 3, stride=2),
            ]
        )
        self.residual = nn.ModuleList([ReflectConv2d(quarter, quarter, 3) for _ in range(2 * a.blocks)])
        self.decode = nn.ModuleList([UpsampleConv2d(quarter, half), UpsampleConv2d(half, full)])
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    @property
    def statistics_size(self) -> int:
        """Number of normalized channels, C in the shape of the statistics ``(N, 2, C)``."""
        return sum(self.architecture.norm_channels)

    def encoder(self) -> list[Layer]:
        """Return the layers from the image to the features in the middle of the network."""
        residual = enumerate(_layers(self.residual))
        blocks = [layer._replace(opens_block=i % 2 == 0, closes_block=i % 2 == 1) for i, layer in residual]
        return _layers(self.encode) + blocks

    def decoder(self) -> list[Layer]:
        """Return the layers from these features to the input of the last convolution, which belongs to the style."""
        return _layers(self.decode)

    def neutral_style(self) -> Style:
        """Return a style to start training from: plain instance normalization, a random last convolution."""
        a = self.architecture
        weight = torch.randn(3, a.widths[0], a.kernel, a.kernel) * (a.widths[0] * a.kernel**2) ** -0.5
        size = self.statistics_size
        return Style(torch.ones(size), torch.zeros(size), weight, torch.zeros(3))

    def forward(
        self, image: Tensor, style: Style, past: Tensor | None = None, past_weight: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Stylize ``image``.

        Args:
            image: ``(N, 3, H, W)`` RGB in [0, 1] of any size.
            style: the style to apply.
            past: ``(N, 2, C)`` float32 normalization statistics to mix in; see `ConditionalInstanceNorms`.
            past_weight: scalar float32 in [0, 1], the share of ``past``; 0 if None.

        Returns:
            The stylized image ``(N, 3, H, W)`` in (0, 1), and the statistics ``(N, 2, C)`` float32 that were used.
        """
        norms = self._norms(image, style, past, past_weight)
        return self._decode(self._encode(image, norms), style, norms, image), norms.statistics()

    def with_features(self, image: Tensor, style: Style) -> tuple[Tensor, Tensor]:
        """Stylize ``image``, and return the features in the middle of the network, which training keeps stable.

        Args:
            image: ``(N, 3, H, W)`` RGB in [0, 1].
            style: the style to apply.

        Returns:
            ``(N, 3, H, W)`` in (0, 1) and ``(N, widths[2], H / 4, W / 4)``.
        """
        norms = self._norms(image, style)
        features = self._encode(image, norms)
        return self._decode(features, style, norms, image), features

    def _norms(
        self, image: Tensor, style: Style, past: Tensor | None = None, past_weight: Tensor | None = None
    ) -> ConditionalInstanceNorms:
        if past is None:
            past = image.new_zeros((image.shape[0], 2, self.statistics_size), dtype=torch.float32)
        if past_weight is None:
            past_weight = past.new_zeros(())
        return ConditionalInstanceNorms(self.architecture.norm_channels, style.scale, style.shift, past, past_weight)

    def _encode(self, image: Tensor, norms: ConditionalInstanceNorms) -> Tensor:
        return _run(self.encoder(), pad(image, self.MULTIPLE, self.SMALLEST), norms)

    def _decode(self, features: Tensor, style: Style, norms: ConditionalInstanceNorms, image: Tensor) -> Tensor:
        x = _run(self.decoder(), features, norms)
        stylized = torch.sigmoid(convolve_blocks(x, style.weight.to(x.dtype), style.bias.to(x.dtype)))
        return stylized[..., : image.shape[-2], : image.shape[-1]]


def _layers(modules: Iterable[nn.Module]) -> list[Layer]:
    return [Layer(cast("ReflectConv2d | UpsampleConv2d", module)) for module in modules]


def _run(layers: list[Layer], x: Tensor, norms: ConditionalInstanceNorms) -> Tensor:
    block_input = x
    for layer in layers:
        if layer.opens_block:
            block_input = x
        x = norms(layer.convolution(x))
        x = block_input + x if layer.closes_block else F.relu(x)
    return x


def pad(image: Tensor, multiple: int, smallest: int) -> Tensor:
    """Pad at the right and bottom to a multiple of ``multiple`` and at least ``smallest``, by repeating the edge."""
    bottom, right = (padding(size, multiple, smallest) for size in image.shape[-2:])
    return F.pad(image, (0, right, 0, bottom), mode="replicate") if bottom or right else image


def padding(size: int, multiple: int, smallest: int) -> int:
    """Return the pixels to add to ``size``, to a multiple of ``multiple`` and at least ``smallest``, itself one."""
    return max(-size % multiple, smallest - size)
