"""The graph from a uint8 frame to a stylized uint8 frame: resize, stylize, composite."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.layers import RegionWeights
from models.network import Style, StyleNetwork
from models.pixels.color import BT709_LUMA

# The brightest level; int32 stands in for uint16 where a runtime lacks that.
MAX_LEVEL = {torch.uint8: 255, torch.uint16: 65535, torch.int32: 65535}

# Contrast (standard deviation of the pixels in [0, 1], over the frame) from which on the style shows, and is full.
LOW_CONTRAST, FULL_CONTRAST = 0.01, 0.06

# Brightest channel in [0, 1], mean over a block, from which on the style shows, and is full; side of a block in pixels.
BLACK, DARK = 3 / 255, 28 / 255
BLOCK_PX = 8


class FrameGraph(nn.Module):
    """The whole graph from pixels to pixels, so that a compiler sees it in one piece.

    Instance normalization gives every frame the same contrast: a fade to black would stay bright and end in amplified
    sensor noise. So the style fades out where the whole frame has almost no contrast, and where it is black: the bars
    of a letterbox, a dark stage.

    Args:
        network: what to run; its parameters are arguments, so that styles can differ from frame to frame.
        canvas: height and width in pixels at which the network runs; None for those of the frame.
    """

    def __init__(self, network: StyleNetwork, canvas: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.network = network
        self.canvas = canvas

    def forward(
        self,
        pixels: Tensor,
        style: Sequence[Tensor],
        past: Tensor,
        past_weight: Tensor,
        strength: Tensor,
        keep_colors: Tensor,
        region: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Stylize one frame.

        Args:
            pixels: ``(H, W, 3)`` uint8 or uint16 RGB.
            style: tensors of the `Style`; its convolutions are of the dtype to run in.
            past: ``(1, 2, C + 1)`` float32 statistics to mix in: those of the network, then those of the frame.
            past_weight: scalar float32 in [0, 1], the share of ``past``.
            strength: scalar float32 in [0, 1]; 0 returns the frame, 1 the stylized frame.
            keep_colors: scalar float32 in [0, 1]; 1 keeps the colors of the frame and takes the luma (BT.709) of the
                stylized frame, 0 takes its colors too.
            region: ``(H, W)`` float32 in [0, 1], how much each pixel counts in the statistics; None counts all alike.

        Returns:
            ``(H, W, 3)`` RGB in the dtype of ``pixels``, and the statistics ``(1, 2, C + 1)`` float32 that were used.
        """
        frame = pixels_to_unit(pixels)
        of_style = Style.of(style)
        if region is None:
            stylized, used = self.run_network(frame, of_style, past[..., :-1], past_weight)
            own = frame_statistics(frame.mean(dim=(2, 3)), frame.square().mean(dim=(2, 3)))
        else:
            of_region = region[None, None]
            stylized, used = self.run_network(frame, of_style, past[..., :-1], past_weight, of_region)
            own = frame_statistics(*RegionWeights(of_region).moments(frame))
        own = torch.lerp(own, past[..., -1:], past_weight)
        mask = black_mask(self.block_light(frame), frame.shape[-2:])
        amount = strength * contrast_gain(own)[..., None] * mask
        result = composite(frame, stylized, amount, keep_colors)
        return unit_to_pixels(result, pixels.dtype), torch.cat((used, own), dim=2)

    def run_network(
        self,
        frame: Tensor,
        style: Style,
        past: Tensor | None = None,
        past_weight: Tensor | None = None,
        region: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the stylized frames ``(N, 3, H, W)`` float32 in [0, 1], and the statistics that were used."""
        image = resize(frame, self.canvas)
        of_canvas = None if region is None else resize(region, self.canvas)
        stylized, used = self.network(image.to(style.weight.dtype), style, past, past_weight, of_canvas)
        stylized = resize(stylized.float(), frame.shape[-2:])
        if is_smaller(self.canvas, frame.shape[-2:]):
            stylized = with_details(stylized, frame, resize(image, frame.shape[-2:]))
        return stylized, used

    def block_light(self, frame: Tensor) -> Tensor:
        """Return the brightest channel, mean over each block: ``(N, 1, rows, columns)`` of `block_grid`."""
        return F.interpolate(frame.amax(dim=1, keepdim=True), block_grid(*frame.shape[-2:]), mode="area")


def pixels_to_unit(pixels: Tensor) -> Tensor:
    """Convert ``(H, W, 3)`` pixels to ``(1, 3, H, W)`` float32 in [0, 1]."""
    return pixels.permute(2, 0, 1)[None].float() / MAX_LEVEL[pixels.dtype]


def unit_to_pixels(image: Tensor, dtype: torch.dtype) -> Tensor:
    """Convert ``(H, W, 3)`` in [0, 1] to pixels of ``dtype``."""
    return (image * MAX_LEVEL[dtype]).round().to(dtype)


def resize(image: Tensor, size: Sequence[int] | None) -> Tensor:
    """Scale ``(N, 3, H, W)`` in [0, 1] to ``size``, height and width; None keeps the size."""
    if size is None or tuple(size) == tuple(image.shape[-2:]):
        return image
    mode = resize_mode(image.shape[-2:], size)
    if mode == "area":
        return F.interpolate(image, tuple(size), mode=mode)
    return F.interpolate(image, tuple(size), mode=mode, align_corners=False).clamp(0, 1)


def is_smaller(canvas: Sequence[int] | None, size: Sequence[int]) -> bool:
    """Return whether the canvas has fewer pixels than a frame of ``size``."""
    return canvas is not None and canvas[0] * canvas[1] < size[0] * size[1]


def with_details(stylized: Tensor, frame: Tensor, smooth: Tensor) -> Tensor:
    """Add what the canvas was too small for: edges of the frame, in light and dark.

    Args:
        stylized: ``(N, 3, H, W)`` in [0, 1], painted on a smaller canvas and enlarged.
        frame: ``(N, 3, H, W)`` in [0, 1].
        smooth: the frame, made smaller and enlarged in the same way.
    """
    red, green, blue = (frame - smooth).unbind(dim=1)
    details = BT709_LUMA[0] * red + BT709_LUMA[1] * green + BT709_LUMA[2] * blue
    return (stylized + details[:, None]).clamp(0, 1)


def resize_mode(old: Sequence[int], new: Sequence[int]) -> str:
    """Return the interpolation mode of `resize` between two sizes, height and width each.

    Area averaging to shrink, bicubic otherwise: OpenVINO has no antialiased interpolation.
    """
    return "area" if new[0] * new[1] < old[0] * old[1] else "bicubic"


def composite(frame: Tensor, stylized: Tensor, amount: Tensor, keep_colors: Tensor) -> Tensor:
    """Blend the stylized frame over the frame: ``(1, 3, H, W)`` both, returns ``(H, W, 3)``.

    One channel at a time: an expression over all three would make the compiler evaluate the stylized frame four times
    per pixel, 4 ms of 43.

    Args:
        frame: the original, in [0, 1].
        stylized: in [0, 1].
        amount: share of ``stylized``, per pixel.
        keep_colors: share of the colors of ``frame``.
    """
    red, green, blue = (stylized - frame).unbind(dim=1)
    luma_change = BT709_LUMA[0] * red + BT709_LUMA[1] * green + BT709_LUMA[2] * blue
    channels = []
    for plain, full in zip(frame.unbind(dim=1), stylized.unbind(dim=1), strict=True):
        toned = torch.lerp(full, (plain + luma_change).clamp(0, 1), keep_colors)
        channels.append(torch.lerp(plain, toned, amount))
    return torch.stack(channels, dim=-1)[0]


def black_mask(light: Tensor, size: Sequence[int]) -> Tensor:
    """Return ``(N, H, W)``: 0 where the frame is black, 1 where it is not, smooth between.

    Args:
        light: ``(N, 1, rows, columns)`` brightest channel of each block, in [0, 1].
        size: height and width of the frame, in pixels.
    """
    return F.interpolate(black_mask_level(light), tuple(size), mode="bilinear", align_corners=False)[:, 0]


def block_grid(height: int, width: int) -> tuple[int, int]:
    """Return rows and columns of the blocks of `black_mask`."""
    return max(height // BLOCK_PX, 1), max(width // BLOCK_PX, 1)


def black_mask_level(light: Tensor) -> Tensor:
    """Return the mask, in [0, 1], of blocks whose brightest channel is ``light``, in [0, 1]."""
    return ((light - BLACK) / (DARK - BLACK)).clamp(0, 1)


def contrast_gain(statistics: Tensor) -> Tensor:
    """Return the share of the style ``(N, 1)`` in frames with these `frame_statistics`: 0 without any contrast."""
    return ((statistics[:, 1].sqrt() - LOW_CONTRAST) / (FULL_CONTRAST - LOW_CONTRAST)).clamp(0, 1)


def frame_statistics(mean: Tensor, mean_square: Tensor) -> Tensor:
    """Return mean and variance ``(N, 2, 1)``, averaged over the channels, from their moments ``(N, 3)``."""
    variance = (mean_square - mean.square()).clamp_min(0)
    return torch.stack((mean.mean(dim=1), variance.mean(dim=1)), dim=1)[..., None]


def zero_statistics(network: StyleNetwork, device: torch.device | str = "cpu") -> Tensor:
    """Return zeros ``(1, 2, C + 1)``: the ``past`` of a first frame, with ``past_weight`` 0."""
    return torch.zeros(1, 2, network.statistics_size + 1, device=device)
