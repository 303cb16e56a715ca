"""Pairs of frames with true motion between them: photos moved by hand, or frames of real clips.

Photos are moved by a camera (affine and homography), by a smooth local flow, and in layers that pass over each other;
light and colour drift, noise and motion blur are added. The flow and what is hidden are then known exactly, as in the
fake flow of Wang et al., "Consistent Video Style Transfer via Relaxation and Regularization" (ReReVST), TIP 2020.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional as F

from models.flow import inside, warp

MARGIN_PX = 24
"""What a crop must be larger by on each side, so that motion brings in more of the photo."""

SOLID, EMPTY = 0.98, 0.02


@dataclass(frozen=True, slots=True)
class Pairs:
    """Two frames of the same scene, N times.

    Attributes:
        first: ``(N, 3, H, W)`` in [0, 1], what the network sees of frame t - 1.
        second: ``(N, 3, H, W)`` of frame t.
        clean_first: ``(N, 3, H, W)``, frame t - 1 without noise.
        clean_second: ``(N, 3, H, W)``, frame t without noise.
        flow: ``(N, 2, H, W)`` from t to t - 1, in pixels.
        mask: ``(N, 1, H, W)``, 1 where both frames show the same point, else 0.
    """

    first: Tensor
    second: Tensor
    clean_first: Tensor
    clean_second: Tensor
    flow: Tensor
    mask: Tensor

    def tensors(self) -> tuple[Tensor, ...]:
        """The six tensors, in the order of the fields."""
        return tuple(getattr(self, f.name) for f in fields(self))

    def __len__(self) -> int:
        return len(self.first)

    def split(self, size: int) -> "list[Pairs]":
        """Parts of at most ``size`` pairs."""
        first, second, clean_first, clean_second, flow, mask = (torch.split(t, size) for t in self.tensors())
        return list(map(Pairs, first, second, clean_first, clean_second, flow, mask))

    @staticmethod
    def join(parts: "list[Pairs]") -> "Pairs":
        """All pairs of ``parts``."""
        return Pairs(*(torch.cat(tensors) for tensors in zip(*(p.tensors() for p in parts), strict=True)))


@dataclass(frozen=True, slots=True)
class Motion:
    """How much photos move and change from one frame to the next.

    Attributes:
        shift_px: largest shift of the camera.
        rotation: standard deviation, in radians.
        zoom: standard deviation of scale and shear, as a share.
        perspective: standard deviation of the homography's last row, as a share over half the picture.
        local_px: largest smooth local flow.
        still: share of pairs in which the camera does not move.
        layered: share of pairs in which something moves over the background.
        blurred: share of pairs with motion blur.
        exposure: largest change of the light, as a share.
        white_balance: largest change of each colour, as a share.
        noise: largest standard deviation of the sensor's noise, in [0, 1].
    """

    shift_px: float = 8.0
    rotation: float = 0.015
    zoom: float = 0.015
    perspective: float = 0.01
    local_px: float = 2.5
    still: float = 0.25
    layered: float = 0.4
    blurred: float = 0.15
    exposure: float = 0.03
    white_balance: float = 0.01
    noise: float = 8 / 255


def moved_pairs(back: Tensor, front: Tensor, generator: torch.Generator, motion: Motion | None = None) -> Pairs:
    """Set photos in motion.

    Args:
        back: ``(N, 3, H + 2 M, W + 2 M)`` in [0, 1], M being `MARGIN_PX`.
        front: the same size, what may pass over ``back``.
        generator: on the device of the photos; decides everything.
        motion: how much.
    """
    motion = motion or Motion()
    draw = _Dice(generator, len(back))
    size = (back.shape[-2] - 2 * MARGIN_PX, back.shape[-1] - 2 * MARGIN_PX)
    back, front = _motion_blur(back, motion, draw), _motion_blur(front, motion, draw)
    cover = _blobs(back.shape[-2:], draw) * draw.chance(motion.layered)
    behind, before = _camera(size, motion, draw), _layer(size, motion, draw)
    moved_cover = _sample(cover, before).clamp(0, 1)
    first = _crop(front) * _crop(cover) + _crop(back) * (1 - _crop(cover))
    second = _sample(front, before) * moved_cover + _sample(back, behind) * (1 - moved_cover)
    solid = moved_cover > 0.5
    flow = torch.where(solid, before, behind)
    uncovered = (moved_cover < EMPTY) & (warp(_crop(cover), behind) < EMPTY)
    mask = ((moved_cover > SOLID) | uncovered) & inside(flow)
    second = _drift(second, motion, draw)
    first, second = first.clamp(0, 1), second.clamp(0, 1)
    sigma = motion.noise * draw.uniform() * draw.uniform() ** 0.5
    noisy = [(frame + sigma * _grain(frame, draw)).clamp(0, 1) for frame in (first, second)]
    return Pairs(noisy[0], noisy[1], first, second, flow, mask.float())


class _Dice:
    """Random numbers for N pairs, shaped to multiply pictures."""

    def __init__(self, generator: torch.Generator, count: int) -> None:
        self._generator = generator
        self._count = count

    def uniform(self, *shape: int) -> Tensor:
        """In [0, 1): ``(N, 1, 1, 1)`` or ``(N, *shape)``."""
        shape = shape or (1, 1, 1)
        return torch.rand(self._count, *shape, generator=self._generator, device=self._generator.device)

    def between(self, largest: float, *shape: int) -> Tensor:
        """Uniform in [-largest, largest]."""
        return (2 * self.uniform(*shape) - 1) * largest

    def normal(self, *shape: int) -> Tensor:
        """Standard normal."""
        shape = shape or (1, 1, 1)
        return torch.randn(self._count, *shape, generator=self._generator, device=self._generator.device)

    def chance(self, share: float) -> Tensor:
        """1 for about ``share`` of the pairs, else 0: ``(N, 1, 1, 1)``."""
        return (self.uniform() < share).float()


def _camera(size: tuple[int, int], motion: Motion, draw: _Dice) -> Tensor:
    """Flow of the background: camera and local flow, none at all where the camera is still."""
    flow = _projective(size, motion, draw) + _smooth(size, motion.local_px, draw) * draw.chance(0.5)
    return flow * (1 - draw.chance(motion.still))


def _layer(size: tuple[int, int], motion: Motion, draw: _Dice) -> Tensor:
    """Flow of what passes in front: a motion of its own."""
    return _projective(size, motion, draw) + _smooth(size, motion.local_px, draw)


def _projective(size: tuple[int, int], motion: Motion, draw: _Dice) -> Tensor:
    """Flow ``(N, 2, H, W)`` of a plane seen by a camera that moves, turns and zooms."""
    x, y, half = _centred(size, draw)
    turn, grow, shear = motion.rotation * draw.normal(), motion.zoom * draw.normal(), motion.zoom * draw.normal()
    tilt_x, tilt_y = motion.perspective * draw.normal() / half, motion.perspective * draw.normal() / half
    strength = draw.uniform()  # as many slow cameras as fast ones
    depth = (1 + tilt_x * x + tilt_y * y).clamp_min(0.5)
    to_x = ((1 + grow) * torch.cos(turn) * x + (shear - torch.sin(turn)) * y) / depth
    to_y = (torch.sin(turn) * x + (1 + grow) * torch.cos(turn) * y) / depth
    shift = draw.between(motion.shift_px, 2, 1, 1)
    return (torch.cat((to_x - x, to_y - y), dim=1) + shift) * strength


def _centred(size: tuple[int, int], draw: _Dice) -> tuple[Tensor, Tensor, float]:
    height, width = size
    device = draw.uniform().device
    rows = torch.arange(height, dtype=torch.float32, device=device) - (height - 1) / 2
    columns = torch.arange(width, dtype=torch.float32, device=device) - (width - 1) / 2
    return columns.view(1, 1, 1, -1), rows.view(1, 1, -1, 1), max(size) / 2


def _smooth(size: tuple[int, int], largest_px: float, draw: _Dice) -> Tensor:
    """Smooth local flow ``(N, 2, H, W)``: a coarse grid of shifts, enlarged."""
    coarse = draw.between(largest_px, 2, 4, 4)
    return F.interpolate(coarse, size, mode="bicubic", align_corners=True) * draw.uniform()


def _blobs(size: torch.Size, draw: _Dice) -> Tensor:
    """Soft-edged islands ``(N, 1, H, W)`` in [0, 1], on about a third of the picture."""
    coarse = F.interpolate(draw.normal(1, 6, 6), tuple(size), mode="bicubic", align_corners=True)
    return torch.sigmoid((coarse - 0.3) * 100)


def _crop(picture: Tensor) -> Tensor:
    return picture[..., MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]


def _sample(picture: Tensor, flow: Tensor) -> Tensor:
    """`_crop` of ``picture``, moved along ``flow``; bicubic: bilinear would make each second frame the softer one."""
    _, _, height, width = picture.shape
    x, y, _ = _centred((flow.shape[-2], flow.shape[-1]), _Dice(torch.Generator(flow.device), 1))
    grid = torch.stack(((x[:, 0] + flow[:, 0]) * 2 / (width - 1), (y[:, 0] + flow[:, 1]) * 2 / (height - 1)), dim=-1)
    return F.grid_sample(picture, grid, mode="bicubic", padding_mode="reflection", align_corners=True)


def _motion_blur(picture: Tensor, motion: Motion, draw: _Dice) -> Tensor:
    """Some of the pictures smeared along a line, for as long as a shutter is open: the same in both frames."""
    side = 9
    x, y, _ = _centred((side, side), draw)
    angle, length = draw.uniform() * torch.pi, 1 + 6 * draw.uniform()
    along = x * torch.cos(angle) + y * torch.sin(angle)
    across = y * torch.cos(angle) - x * torch.sin(angle)
    line = (1 - across.abs()).clamp(0, 1) * (length / 2 + 0.5 - along.abs()).clamp(0, 1)
    smear = line / line.sum(dim=(2, 3), keepdim=True)
    n, channels, height, _ = picture.shape
    padded = F.pad(picture, (side // 2,) * 4, mode="reflect").reshape(1, n * channels, height + side - 1, -1)
    blurred = F.conv2d(padded, smear.repeat_interleave(channels, dim=0), groups=n * channels)
    return torch.lerp(picture, blurred.reshape(picture.shape), draw.chance(motion.blurred))


def _drift(frame: Tensor, motion: Motion, draw: _Dice) -> Tensor:
    """Exposure and white balance of a frame, a little off those of the frame before."""
    gain = 1 + draw.between(motion.exposure) + draw.between(motion.white_balance, 3, 1, 1)
    return torch.lerp(frame, frame * gain, draw.chance(0.5))


def _grain(frame: Tensor, draw: _Dice) -> Tensor:
    """Noise of deviation 1: as a sensor makes it, or blotchy, as a codec leaves it."""
    fine = draw.normal(*frame.shape[1:])
    coarse = F.interpolate(
        draw.normal(3, frame.shape[2] // 2, frame.shape[3] // 2), frame.shape[-2:], mode="bilinear", align_corners=False
    )
    return torch.lerp(fine, 1.3 * coarse, draw.chance(0.5))


@dataclass(frozen=True, slots=True)
class ClipPair:
    """Two consecutive frames of a real clip, kept small: uint8 pictures, flow in half precision.

    Attributes:
        first: ``(3, H, W)`` uint8, frame t - 1.
        second: ``(3, H, W)`` uint8, frame t.
        flow: ``(2, H, W)`` float16 from t to t - 1, in pixels.
        mask: ``(1, H, W)`` bool, where it can be trusted.
    """

    first: Tensor
    second: Tensor
    flow: Tensor
    mask: Tensor


def clip_crops(pairs: "list[ClipPair]", count: int, size: int, generator: torch.Generator) -> Pairs:
    """Random square crops of random pairs, not resized; their noise is not known, so they count as clean.

    Args:
        pairs: to choose from, each at least ``size`` high and wide.
        count: crops to draw.
        size: their side in pixels.
        generator: on the CPU; decides everything.

    Raises:
        ValueError: a pair is smaller than a crop.
    """
    crops = []
    for _ in range(count):
        pair = pairs[int(torch.randint(len(pairs), (), generator=generator))]
        height, width = pair.first.shape[1:]
        if min(height, width) < size:
            raise ValueError(f"a clip of {width}x{height} px is smaller than a crop of {size} px")
        top = int(torch.randint(height - size + 1, (), generator=generator))
        left = int(torch.randint(width - size + 1, (), generator=generator))
        part = (slice(None), slice(top, top + size), slice(left, left + size))
        first, second = pair.first[part][None].float() / 255, pair.second[part][None].float() / 255
        flow = pair.flow[part][None].float()
        mask = pair.mask[part][None] & inside(flow)
        crops.append(Pairs(first, second, first, second, flow, mask.float()))
    return Pairs.join(crops)
