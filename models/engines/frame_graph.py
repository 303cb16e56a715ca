"""What surrounds the network: a uint8 picture in, its painting laid over it, a uint8 picture out."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from models.network import Style, StyleNetwork
from models.temporal import LUMA

# The brightest level; int32 stands for uint16 where that is not known.
WHITE = {torch.uint8: 255, torch.uint16: 65535, torch.int32: 65535}

# Contrast (standard deviation of the pixels in [0, 1], over the picture) at which the paint begins, and is full.
FAINT, FULL = 0.01, 0.06

# Brightest channel in [0, 1], mean over a block, at which the paint begins, and is full; the side of a block in pixels.
BLACK, DARK = 3 / 255, 28 / 255
BLOCK_PX = 8


class FrameGraph(nn.Module):
    """The whole graph from pixels to pixels, so that a compiler sees it in one piece.

    Instance normalisation gives every picture the same contrast: a fade to black would stay bright and end in the
    sensor's noise, blown up. So the paint thins out where the picture as a whole has next to no contrast, and where it
    is black: the bars of a letterbox, a stage in the dark.

    Args:
        network: in the precision it is to run in.
        end: of the same architecture, what ``network`` can be turned into; None where it stays as it is.
        canvas: height and width in pixels at which the network paints; None for those of the picture.
    """

    def __init__(
        self, network: StyleNetwork, end: StyleNetwork | None = None, canvas: tuple[int, int] | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self.end = end
        self.canvas = canvas

    def forward(
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
        """Paint one picture.

        Args:
            pixels: ``(H, W, 3)`` uint8 RGB.
            scale: of the style, as all of the next three; see `Style`.
            shift: see `Style`.
            weight: see `Style`.
            bias: see `Style`.
            past: ``(1, 2, C + 1)`` float32 statistics from elsewhere: the network's, then the picture's own.
            keep: scalar float32, the share of ``past``.
            strength: scalar float32 in [0, 1]; 0 gives the picture back, 1 the painting.
            colors: scalar float32 in [0, 1]; 1 keeps the picture's colours and takes only light and dark (the luma of
                BT.709) from the painting, 0 takes the painting's colours.
            share: scalar float32 in [0, 1]; 0 paints with ``network``, 1 with ``end``. Without ``end`` it does nothing.

        Returns:
            ``(H, W, 3)`` uint8 RGB, and the statistics ``(1, 2, C + 1)`` float32 that were used.
        """
        picture = to_unit(pixels)
        stylized, used = self._run(
            share, resize(picture, self.canvas), Style(scale, shift, weight, bias), past[..., :-1], keep
        )
        stylized = resize(stylized.float(), picture.shape[-2:])
        moments = mean_and_variance(picture.mean(dim=(2, 3)), picture.square().mean(dim=(2, 3)))
        own = torch.lerp(moments, past[..., -1:], keep)
        amount = strength * thickness(own)[..., None] * lit(picture)
        return from_unit(lay_over(picture, stylized, amount, colors), pixels.dtype), torch.cat((used, own), dim=2)

    def _run(self, share: Tensor, picture: Tensor, style: Style, past: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
        """The network at ``share`` of its way to ``end``.

        Deep network interpolation (Wang et al., CVPR 2019, arXiv:1811.10515), inside the graph: so each frame can have
        a share of its own while others are painted, in any engine, and a fade costs no more than a style.
        """
        picture = picture.to(next(self.network.parameters()).dtype)
        if self.end is None:
            painting, used = self.network(picture, style, past, keep)
            return painting, used
        ends = dict(self.end.named_parameters())
        between = {name: part_way(start, ends[name], share) for name, start in self.network.named_parameters()}
        painting, used = functional_call(self.network, between, (picture, style, past, keep))
        return painting, used


def part_way(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """``share`` of the way from ``start`` to ``end``; in float32, as a share in bf16 would go up in 256 steps."""
    return torch.lerp(start.float(), end.float(), share).to(start.dtype)


def to_unit(pixels: Tensor) -> Tensor:
    """``(H, W, 3)`` pixels as ``(1, 3, H, W)`` float32 in [0, 1]."""
    return pixels.permute(2, 0, 1)[None].float() / WHITE[pixels.dtype]


def from_unit(picture: Tensor, dtype: torch.dtype) -> Tensor:
    """``(H, W, 3)`` in [0, 1] as pixels of ``dtype``."""
    return (picture * WHITE[dtype]).round().to(dtype)


def resize(picture: Tensor, size: Sequence[int] | None) -> Tensor:
    """Scale ``(N, 3, H, W)`` in [0, 1] to ``size``, height and width; None leaves it."""
    if size is None or tuple(size) == tuple(picture.shape[-2:]):
        return picture
    mode = resize_mode(picture.shape[-2:], size)
    if mode == "area":
        return F.interpolate(picture, tuple(size), mode=mode)
    return F.interpolate(picture, tuple(size), mode=mode, align_corners=False).clamp(0, 1)


def resize_mode(size: Sequence[int], to: Sequence[int]) -> str:
    """How `resize` scales a picture of ``size``, height and width, to another.

    By the mean of what falls on a pixel where it shrinks, else bicubic: OpenVINO has no antialiased interpolation.
    """
    return "area" if to[0] * to[1] < size[0] * size[1] else "bicubic"


def lay_over(picture: Tensor, stylized: Tensor, amount: Tensor, colors: Tensor) -> Tensor:
    """``(H, W, 3)``: ``amount`` of the painting over the picture, whose colours are kept by the share ``colors``.

    A channel at a time: of an expression over all three at once the compiler works out the painting four times for
    each pixel, 4 ms of 43.
    """
    red, green, blue = (stylized - picture).unbind(dim=1)
    lighter = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    channels = zip(picture.unbind(dim=1), stylized.unbind(dim=1), strict=True)
    toned = ((plain, torch.lerp(stylize, (plain + lighter).clamp(0, 1), colors)) for plain, stylize in channels)
    return torch.stack([torch.lerp(plain, stylize, amount) for plain, stylize in toned], dim=-1)[0]


def lit(picture: Tensor) -> Tensor:
    """``(N, H, W)``: 0 where the picture ``(N, 3, H, W)`` is black, 1 where it is not, without steps between."""
    height, width = picture.shape[-2:]
    light = F.interpolate(picture.amax(dim=1, keepdim=True), block_count(height, width), mode="area")
    return F.interpolate(beyond_black(light), (height, width), mode="bilinear", align_corners=False)[:, 0]


def block_count(height: int, width: int) -> tuple[int, int]:
    """How many blocks `lit` sees in a picture, downwards and to the right."""
    return max(height // BLOCK_PX, 1), max(width // BLOCK_PX, 1)


def beyond_black(light: Tensor) -> Tensor:
    """How much paint a block takes whose brightest channel is ``light``, both in [0, 1]."""
    return ((light - BLACK) / (DARK - BLACK)).clamp(0, 1)


def thickness(own: Tensor) -> Tensor:
    """``(N, 1)``: how much paint a picture with the statistics ``(N, 2, 1)`` takes; see `mean_and_variance`."""
    return ((own[:, 1].sqrt() - FAINT) / (FULL - FAINT)).clamp(0, 1)


def mean_and_variance(mean: Tensor, square: Tensor) -> Tensor:
    """``(N, 2, 1)``: mean over the channels of those of each, from the mean ``(N, 3)`` and that of the squares."""
    variance = (square - mean.square()).clamp_min(0)
    return torch.stack((mean.mean(dim=1), variance.mean(dim=1)), dim=1)[..., None]


def no_statistics(network: StyleNetwork, device: torch.device | str = "cpu") -> Tensor:
    """What to pass as ``past`` where there is none: zeros ``(1, 2, C + 1)``, of which ``keep`` 0 takes nothing."""
    return torch.zeros(1, 2, network.statistics_size + 1, device=device)
