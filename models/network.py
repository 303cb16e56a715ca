"""The feed-forward style network: one set of convolutions, a small set of vectors for each style."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.folding import convolve_in_fours, reflect, upsample_convolve

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
    mean = wide.mean(dim=(2, 3))
    variance = (wide.square().mean(dim=(2, 3)) - mean.square()).clamp_min(0)
    used = torch.lerp(torch.stack((mean, variance), dim=1), past, keep)
    gain = scale * torch.rsqrt(used[:, 1] + EPSILON)
    # Stacked, they are put into memory; else the compiler works them out again for every pixel.
    gain, offset = torch.stack((gain, shift - used[:, 0] * gain)).unbind()
    return (wide * gain[:, :, None, None] + offset[:, :, None, None]).to(x.dtype), used


class ReflectConv2d(nn.Conv2d):
    """A convolution that mirrors the picture at its border and keeps its size (halves it with stride 2).

    Without bias: an instance normalisation follows and would take it away again.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride=stride, bias=False)
        self.reach = kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        """``(N, inputs, H, W)`` to ``(N, outputs, ceil(H / stride), ceil(W / stride))``."""
        return super().forward(reflect(x, self.reach))


class UpsampleConv2d(nn.Conv2d):
    """Enlarge twofold by repeating pixels, then convolve by 3x3; without bias, as `ReflectConv2d`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, inputs, H, W)`` to ``(N, outputs, 2H, 2W)``."""
        return upsample_convolve(x, self.weight.to(x.dtype))


class StyleNetwork(nn.Module):
    """Paint a picture in a style: encode to quarter resolution, residual blocks, upsample, colour.

    After Johnson, Alahi & Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", ECCV 2016,
    arXiv:1603.08155, with conditional instance normalisation, and made slim: a quarter of the channels at full
    resolution, small first and last kernels, nearest-neighbour upsampling before a convolution instead of a
    transposed one (Odena et al. 2016: no checkerboards; computed folded, see `models.folding`), a sigmoid at the end.

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
        painting = self._paint(self._encode(picture, norms), style, norms)
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
        painting = self._paint(features, style, norms)
        return painting[..., : picture.shape[-2], : picture.shape[-1]], features

    def _encode(self, picture: Tensor, norms: "_Norms") -> Tensor:
        x = _pad(picture, self.MULTIPLE, self.SMALLEST)
        for layer in self.encode:
            x = F.relu(norms(layer(x)))
        for first, second in zip(self.residual[::2], self.residual[1::2], strict=True):
            x = x + norms(second(F.relu(norms(first(x)))))
        return x

    def _paint(self, x: Tensor, style: Style, norms: "_Norms") -> Tensor:
        for layer in self.decode:
            x = F.relu(norms(layer(x)))
        return torch.sigmoid(convolve_in_fours(x, style.weight.to(x.dtype), style.bias.to(x.dtype)))


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


def _pad(picture: Tensor, multiple: int, smallest: int) -> Tensor:
    """Grow to the right and downwards to a multiple of ``multiple`` and at least ``smallest``, by repeated edges."""
    height, width = picture.shape[-2:]
    bottom = max(-height % multiple, smallest - height)
    right = max(-width % multiple, smallest - width)
    return F.pad(picture, (0, right, 0, bottom), mode="replicate") if bottom or right else picture
