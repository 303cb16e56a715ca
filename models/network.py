"""The feed-forward style network: one set of convolutions, a small set of vectors for each style."""

from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.engines.fused_kernels import convolve_in_fours, reflect, upsample_convolve

EPSILON = 1e-5


@dataclass(frozen=True, slots=True)
class Architecture:
    """The sizes of a network; written into each weight file.

    Attributes:
        widths: channels at full, half and quarter resolution.
        blocks: residual blocks at quarter resolution.
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
        """Channels of each normalisation, in the order of the data's way."""
        full, half, quarter = self.widths
        return (full, half, quarter, *(quarter,) * (2 * self.blocks), half, full)


@dataclass(frozen=True, slots=True)
class Style:
    """All that differs between two styles; every field is linear, so styles blend by interpolation.

    Attributes:
        scale: ``(C,)`` multiplies the normalised features; C is the sum of `Architecture.norm_channels`.
        shift: ``(C,)`` is added to them.
        weight: ``(3, widths[0], kernel, kernel)`` of the last convolution: the palette of the painting.
        bias: ``(3,)`` of the last convolution.
    """

    scale: Tensor
    shift: Tensor
    weight: Tensor
    bias: Tensor

    def lerp(self, other: "Style", amount: float) -> "Style":
        """This style at ``amount`` 0, ``other`` at 1, their blend between."""
        return Style(*(torch.lerp(a, b, amount) for a, b in zip(self.tensors(), other.tensors(), strict=True)))

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The four tensors, in the order of the fields."""
        return self.scale, self.shift, self.weight, self.bias

    def to(self, device: torch.device | str, dtype: torch.dtype) -> "Style":
        """The same style on ``device``; the convolution in ``dtype``, the norm's vectors always in float32."""
        return Style(
            self.scale.to(device, torch.float32),
            self.shift.to(device, torch.float32),
            self.weight.to(device, dtype, memory_format=torch.channels_last),
            self.bias.to(device, dtype),
        )


def conditional_instance_norm(
    x: Tensor, scale: Tensor, shift: Tensor, past: Tensor, keep: Tensor
) -> tuple[Tensor, Tensor]:
    """Normalise each channel over the picture, then give it the style's scale and shift.

    Dumoulin, Shlens & Kudlur, "A Learned Representation for Artistic Style", ICLR 2017, arXiv:1610.07629. Beyond the
    paper, the statistics can come wholly or in part from elsewhere: from the frames before, so that they do not pump,
    or from the whole picture while this call sees one tile of it.

    Args:
        x: ``(N, C, H, W)`` features, any floating dtype.
        scale: ``(C,)`` float32.
        shift: ``(C,)`` float32.
        past: ``(N, 2, C)`` float32, mean and variance from elsewhere; what it holds does not matter where keep is 0.
        keep: scalar float32 in [0, 1], the share of ``past``.

    Returns:
        The features in the dtype of ``x``, and the statistics ``(N, 2, C)`` float32 that were used.
    """
    wide = x.float()
    # Two moments instead of torch.var_mean: its Welford pass costs a compiled frame 2 ms of 31.
    used = mix_statistics(wide.mean(dim=(2, 3)), wide.square().mean(dim=(2, 3)), past, keep)
    return normalize(x, *gain_and_offset(used, scale, shift)), used


def mix_statistics(mean: Tensor, square: Tensor, past: Tensor, keep: Tensor) -> Tensor:
    """Mean and variance ``(N, 2, C)`` float32, by the share ``keep`` those of the past.

    Args:
        mean: ``(N, C)`` of the features.
        square: ``(N, C)``, the mean of their squares.
        past: see `conditional_instance_norm`.
        keep: see `conditional_instance_norm`.
    """
    variance = (square - mean.square()).clamp_min(0)
    return torch.lerp(torch.stack((mean, variance), dim=1).float(), past, keep)


def gain_and_offset(used: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """What normalises features with the statistics ``used`` and gives them ``scale`` and ``shift``: two ``(N, C)``."""
    gain = scale * torch.rsqrt(used[:, 1] + EPSILON)
    # Stacked, they are put into memory; else the compiler works them out again for every pixel.
    gain, offset = torch.stack((gain, shift - used[:, 0] * gain)).unbind()
    return gain, offset


def normalize(x: Tensor, gain: Tensor, offset: Tensor) -> Tensor:
    """``x * gain + offset`` a channel of ``(N, C, H, W)``, worked out in float32, in the dtype of ``x``."""
    return (x.float() * gain[:, :, None, None] + offset[:, :, None, None]).to(x.dtype)


class ReflectConv2d(nn.Conv2d):
    """A convolution that mirrors the picture at its border and keeps its size (halves it with stride 2).

    Without bias: an instance normalisation follows and would take it away again.
    """

    BORDER = "reflect"
    TOGETHER = 1
    """Rows that `within` makes at a time."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride=stride, bias=False)
        self.reach = kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        """``(N, inputs, H, W)`` to ``(N, outputs, ceil(H / stride), ceil(W / stride))``."""
        return super().forward(reflect(x, self.reach))

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that come out for those that go in, both even where the stride is 2."""
        return height // self.stride[0], width // self.stride[1]

    def sees(self, first: int, last: int) -> tuple[int, int]:
        """The rows of the input that the rows ``first`` to ``last`` - 1 are made of, beyond its border too."""
        step = self.stride[0]
        return first * step - self.reach, (last - 1) * step + self.reach + 1

    def within(self, x: Tensor, weight: Tensor) -> Tensor:
        """Some rows of what `forward` makes, with ``weight``; ``x`` are the rows that `sees` tells."""
        return F.conv2d(reflect(x, self.reach, rows=False), weight, stride=self.stride)


class UpsampleConv2d(nn.Conv2d):
    """Enlarge twofold by repeating pixels, then convolve by 3x3; without bias, as `ReflectConv2d`."""

    BORDER = "replicate"
    TOGETHER = 2
    """Rows that `within` makes at a time."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, inputs, H, W)`` to ``(N, outputs, 2H, 2W)``."""
        return upsample_convolve(x, self.weight.to(x.dtype))

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that come out for those that go in."""
        return 2 * height, 2 * width

    def sees(self, first: int, last: int) -> tuple[int, int]:
        """As `ReflectConv2d.sees`; ``first`` and ``last`` are even."""
        return first // 2 - 1, last // 2 + 1

    def within(self, x: Tensor, weight: Tensor) -> Tensor:
        """Some rows of what `forward` makes, with ``weight``; ``x`` are the rows that `sees` tells."""
        return upsample_convolve(x, weight, rows=False)


class Layer(NamedTuple):
    """A convolution and its place in the network; what comes out of it is normalised.

    Attributes:
        convolve: it.
        opens: whether a residual block begins with it: what goes in is kept.
        closes: whether a residual block ends with it: what was kept is added. Behind all others is a ReLU.
    """

    convolve: ReflectConv2d | UpsampleConv2d
    opens: bool = False
    closes: bool = False


class StyleNetwork(nn.Module):
    """Paint a picture in a style: encode to quarter resolution, residual blocks, upsample, colour.

    After Johnson, Alahi & Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", ECCV 2016,
    arXiv:1603.08155, with conditional instance normalisation, and made slim: a quarter of the channels at full
    resolution, small first and last kernels, nearest-neighbour upsampling before a convolution instead of a
    transposed one (Odena et al. 2016: no checkerboards; computed folded, see `models.engines.fused_kernels`), a
    sigmoid at the end.

    Holds no state between calls: the normalisation statistics of the past are an argument and a result.

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
        """Number of normalised channels, C in the shape of the statistics ``(N, 2, C)``."""
        return sum(self.architecture.norm_channels)

    def encoder(self) -> list[Layer]:
        """From the picture to the features in the middle of the network."""
        blocks = [
            _layer(layer, opens=index % 2 == 0, closes=index % 2 == 1) for index, layer in enumerate(self.residual)
        ]
        return [_layer(layer) for layer in self.encode] + blocks

    def decoder(self) -> list[Layer]:
        """From there to the last features, which the style's own convolution makes a painting of."""
        return [_layer(layer) for layer in self.decode]

    def neutral_style(self) -> Style:
        """A style to begin training from: plain instance normalisation, a random last convolution."""
        a = self.architecture
        shape = (3, a.widths[0], a.kernel, a.kernel)
        weight = torch.randn(shape) * (a.widths[0] * a.kernel**2) ** -0.5
        size = self.statistics_size
        return Style(torch.ones(size), torch.zeros(size), weight, torch.zeros(3))

    def forward(
        self, picture: Tensor, style: Style, past: Tensor | None = None, keep: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Paint ``picture``.

        Args:
            picture: ``(N, 3, H, W)`` RGB in [0, 1]; any size, odd ones too.
            style: what to paint like.
            past: ``(N, 2, C)`` float32 normalisation statistics from elsewhere; see `conditional_instance_norm`.
            keep: scalar float32 in [0, 1], the share of ``past``; 0 where there is none.

        Returns:
            The painting ``(N, 3, H, W)`` in (0, 1), and the statistics ``(N, 2, C)`` float32 that were used.
        """
        if past is None:
            past = picture.new_zeros((picture.shape[0], 2, self.statistics_size), dtype=torch.float32)
        if keep is None:
            keep = past.new_zeros(())
        norms = _Norms(self.architecture, style, past, keep)
        painting = self._stylize(self._encode(picture, norms), style, norms)
        return painting[..., : picture.shape[-2], : picture.shape[-1]], norms.statistics()

    def with_features(self, picture: Tensor, style: Style) -> tuple[Tensor, Tensor]:
        """The painting, and the features in the middle of the network, which training holds still.

        Args:
            picture: ``(N, 3, H, W)`` RGB in [0, 1].
            style: what to paint like.

        Returns:
            ``(N, 3, H, W)`` in (0, 1) and ``(N, widths[2], H / 4, W / 4)``.
        """
        past = picture.new_zeros((picture.shape[0], 2, self.statistics_size), dtype=torch.float32)
        norms = _Norms(self.architecture, style, past, past.new_zeros(()))
        features = self._encode(picture, norms)
        painting = self._stylize(features, style, norms)
        return painting[..., : picture.shape[-2], : picture.shape[-1]], features

    def _encode(self, picture: Tensor, norms: "_Norms") -> Tensor:
        return _through(self.encoder(), pad(picture, self.MULTIPLE, self.SMALLEST), norms)

    def _stylize(self, x: Tensor, style: Style, norms: "_Norms") -> Tensor:
        x = _through(self.decoder(), x, norms)
        return torch.sigmoid(convolve_in_fours(x, style.weight.to(x.dtype), style.bias.to(x.dtype)))


def _layer(module: nn.Module, *, opens: bool = False, closes: bool = False) -> Layer:
    return Layer(cast("ReflectConv2d | UpsampleConv2d", module), opens, closes)


def _through(layers: list[Layer], x: Tensor, norms: "_Norms") -> Tensor:
    kept = x
    for layer in layers:
        if layer.opens:
            kept = x
        x = norms(layer.convolve(x))
        x = kept + x if layer.closes else F.relu(x)
    return x


class _Norms:
    """The normalisations of one forward pass, in order; collects the statistics that they used."""

    def __init__(self, architecture: Architecture, style: Style, past: Tensor, keep: Tensor) -> None:
        sizes = list(architecture.norm_channels)
        self._parts = iter(zip(*(torch.split(t, sizes, dim=-1) for t in (style.scale, style.shift, past)), strict=True))
        self._keep = keep
        self._used: list[Tensor] = []

    def __call__(self, x: Tensor) -> Tensor:
        scale, shift, past = next(self._parts)
        x, used = conditional_instance_norm(x, scale, shift, past, self._keep)
        self._used.append(used)
        return x

    def statistics(self) -> Tensor:
        return torch.cat(self._used, dim=2)


def pad(picture: Tensor, multiple: int, smallest: int) -> Tensor:
    """Grow to the right and downwards to a multiple of ``multiple`` and at least ``smallest``, by repeated edges."""
    bottom, right = (missing(size, multiple, smallest) for size in picture.shape[-2:])
    return F.pad(picture, (0, right, 0, bottom), mode="replicate") if bottom or right else picture


def missing(size: int, multiple: int, smallest: int) -> int:
    """How much ``size`` lacks to a multiple of ``multiple`` and to ``smallest``, itself one."""
    return max(-size % multiple, smallest - size)
