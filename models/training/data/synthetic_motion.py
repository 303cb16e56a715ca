"""Pairs of frames made from photos, with exact flow and occlusions.

Photos are moved by a camera (affine and homography), by a smooth local flow, and in layers that pass over each other;
exposure and white balance drift, noise and motion blur are added. This is the fake flow of Wang et al., "Consistent
Video Style Transfer via Relaxation and Regularization" (ReReVST), TIP 2020, with more kinds of motion.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.temporal.flow import inside, warp
from models.training.data.pairs import FramePairs

MARGIN_PX = 24
"""Extra pixels of a photo on each side of the crop, so that motion brings in more of the photo."""

OPAQUE, EMPTY = 0.98, 0.02
"""Coverage above which a layer hides the background, and below which it does not touch it."""


@dataclass(frozen=True, slots=True)
class MotionConfig:
    """How much photos move and change from one frame to the next.

    Attributes:
        shift_px: largest shift of the camera, in pixels.
        rotation: standard deviation, in radians.
        zoom: standard deviation of scale and shear, as a share.
        perspective: standard deviation of the last row of the homography, as a share over half the frame.
        local_px: largest smooth local flow, in pixels.
        still: share of pairs with a still camera.
        whole: share of moving cameras that shift by whole pixels: nothing is interpolated, so every difference between
            the stylized frames is the network's own.
        layered: share of pairs in which something moves over the background.
        blurred: share of pairs with motion blur.
        exposure: largest change of the exposure, as a share.
        white_balance: largest change of each channel, as a share.
        noise: largest standard deviation of the sensor noise, in [0, 1].
    """

    shift_px: float = 8.0
    rotation: float = 0.015
    zoom: float = 0.015
    perspective: float = 0.01
    local_px: float = 2.5
    still: float = 0.25
    whole: float = 0.5
    layered: float = 0.4
    blurred: float = 0.15
    exposure: float = 0.03
    white_balance: float = 0.01
    noise: float = 8 / 255


def moved_pairs(
    background: Tensor, foreground: Tensor, generator: torch.Generator, config: MotionConfig | None = None
) -> FramePairs:
    """Make pairs of frames from photos.

    Args:
        background: ``(N, 3, H + 2 M, W + 2 M)`` in [0, 1], M being `MARGIN_PX`.
        foreground: the same size, what may pass over ``background``.
        generator: on the device of the photos; the only source of randomness.
        config: how much they move.
    """
    config = config or MotionConfig()
    random = _Random(generator, len(background))
    size = (background.shape[-2] - 2 * MARGIN_PX, background.shape[-1] - 2 * MARGIN_PX)
    background, foreground = _motion_blur(background, config, random), _motion_blur(foreground, config, random)
    coverage = _islands(background.shape[-2:], random) * random.chance(config.layered)
    camera = _plane_flow(size, config, random) + _local_flow(size, config, random) * random.chance(0.5)
    whole = random.between(config.shift_px, 2, 1, 1).round()
    camera = torch.where(random.chance(config.whole) > 0, whole, camera) * (1 - random.chance(config.still))
    layer = _plane_flow(size, config, random) + _local_flow(size, config, random)
    moved = _sample(coverage, layer).clamp(0, 1)
    first = _crop(foreground) * _crop(coverage) + _crop(background) * (1 - _crop(coverage))
    second = _sample(foreground, layer) * moved + _sample(background, camera) * (1 - moved)
    flow = torch.where(moved > 0.5, layer, camera)
    uncovered = (moved < EMPTY) & (warp(_crop(coverage), camera) < EMPTY)
    mask = ((moved > OPAQUE) | uncovered) & inside(flow)
    second = _drift(second, config, random)
    first, second = first.clamp(0, 1), second.clamp(0, 1)
    sigma = config.noise * random.uniform() * random.uniform() ** 0.5
    noisy = [(frame + sigma * _noise(frame, random)).clamp(0, 1) for frame in (first, second)]
    return FramePairs(noisy[0], noisy[1], first, second, flow, mask.float())


class _Random:
    """Random numbers for N pairs, in shapes that multiply frames."""

    def __init__(self, generator: torch.Generator, count: int) -> None:
        self._generator = generator
        self._count = count
        self.device = generator.device

    def uniform(self, *shape: int) -> Tensor:
        """Draw from [0, 1): ``(N, 1, 1, 1)`` or ``(N, *shape)``."""
        return torch.rand(self._count, *(shape or (1, 1, 1)), generator=self._generator, device=self.device)

    def between(self, largest: float, *shape: int) -> Tensor:
        """Draw uniformly from [-largest, largest]."""
        return (2 * self.uniform(*shape) - 1) * largest

    def normal(self, *shape: int) -> Tensor:
        """Draw from the standard normal distribution."""
        return torch.randn(self._count, *(shape or (1, 1, 1)), generator=self._generator, device=self.device)

    def chance(self, share: float) -> Tensor:
        """Draw 1 for about ``share`` of the pairs, else 0: ``(N, 1, 1, 1)``."""
        return (self.uniform() < share).float()

    def skip(self) -> None:
        """Drop a number: keeps the order of earlier versions, so that their checkpoints resume with equal results."""
        self.uniform()


def _plane_flow(size: tuple[int, int], config: MotionConfig, random: _Random) -> Tensor:
    """Return the flow ``(N, 2, H, W)`` of a plane seen by a camera that shifts, turns and zooms."""
    random.skip()
    x, y = _centred(size, random.device)
    half = max(size) / 2
    turn, grow, shear = config.rotation * random.normal(), config.zoom * random.normal(), config.zoom * random.normal()
    tilt_x, tilt_y = config.perspective * random.normal() / half, config.perspective * random.normal() / half
    strength = random.uniform()  # as many slow cameras as fast ones
    depth = (1 + tilt_x * x + tilt_y * y).clamp_min(0.5)
    to_x = ((1 + grow) * torch.cos(turn) * x + (shear - torch.sin(turn)) * y) / depth
    to_y = (torch.sin(turn) * x + (1 + grow) * torch.cos(turn) * y) / depth
    shift = random.between(config.shift_px, 2, 1, 1)
    return (torch.cat((to_x - x, to_y - y), dim=1) + shift) * strength


def _local_flow(size: tuple[int, int], config: MotionConfig, random: _Random) -> Tensor:
    """Return smooth local flow ``(N, 2, H, W)``: a coarse grid of shifts, enlarged."""
    coarse = random.between(config.local_px, 2, 4, 4)
    return F.interpolate(coarse, size, mode="bicubic", align_corners=True) * random.uniform()


def _centred(size: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return x ``(1, 1, 1, W)`` and y ``(1, 1, H, 1)`` of the pixels, from the centre."""
    height, width = size
    rows = torch.arange(height, dtype=torch.float32, device=device) - (height - 1) / 2
    columns = torch.arange(width, dtype=torch.float32, device=device) - (width - 1) / 2
    return columns.view(1, 1, 1, -1), rows.view(1, 1, -1, 1)


def _islands(size: torch.Size, random: _Random) -> Tensor:
    """Return the coverage ``(N, 1, H, W)`` of soft-edged islands on about a third of the frame."""
    coarse = F.interpolate(random.normal(1, 6, 6), tuple(size), mode="bicubic", align_corners=True)
    return torch.sigmoid((coarse - 0.3) * 100)


def _crop(image: Tensor) -> Tensor:
    return image[..., MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]


def _sample(image: Tensor, flow: Tensor) -> Tensor:
    """Return `_crop` of ``image`` moved along ``flow``; bicubic, as bilinear would blur every second frame."""
    _, _, height, width = image.shape
    x, y = _centred((flow.shape[-2], flow.shape[-1]), flow.device)
    grid = torch.stack(((x[:, 0] + flow[:, 0]) * 2 / (width - 1), (y[:, 0] + flow[:, 1]) * 2 / (height - 1)), dim=-1)
    return F.grid_sample(image, grid, mode="bicubic", padding_mode="reflection", align_corners=True)


def _motion_blur(image: Tensor, config: MotionConfig, random: _Random) -> Tensor:
    """Blur some of the images along a line, as a shutter does; both frames of a pair get the same blur."""
    side = 9
    random.skip()
    x, y = _centred((side, side), random.device)
    angle, length = random.uniform() * torch.pi, 1 + 6 * random.uniform()
    along = x * torch.cos(angle) + y * torch.sin(angle)
    across = y * torch.cos(angle) - x * torch.sin(angle)
    line = (1 - across.abs()).clamp(0, 1) * (length / 2 + 0.5 - along.abs()).clamp(0, 1)
    kernel = line / line.sum(dim=(2, 3), keepdim=True)
    n, channels, height, _ = image.shape
    padded = F.pad(image, (side // 2,) * 4, mode="reflect").reshape(1, n * channels, height + side - 1, -1)
    blurred = F.conv2d(padded, kernel.repeat_interleave(channels, dim=0), groups=n * channels)
    return torch.lerp(image, blurred.reshape(image.shape), random.chance(config.blurred))


def _drift(frame: Tensor, config: MotionConfig, random: _Random) -> Tensor:
    """Change exposure and white balance of some frames slightly."""
    gain = 1 + random.between(config.exposure) + random.between(config.white_balance, 3, 1, 1)
    return torch.lerp(frame, frame * gain, random.chance(0.5))


def _noise(frame: Tensor, random: _Random) -> Tensor:
    """Return noise of standard deviation 1: fine as from a sensor, or blotchy as from a codec."""
    fine = random.normal(*frame.shape[1:])
    coarse = random.normal(3, frame.shape[2] // 2, frame.shape[3] // 2)
    blotchy = F.interpolate(coarse, frame.shape[-2:], mode="bilinear", align_corners=False)
    return torch.lerp(fine, 1.3 * blotchy, random.chance(0.5))
