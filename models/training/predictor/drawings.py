"""Pictures drawn by code: hatching, halftone, mosaics, strokes and flat shapes, in random colors.

Paintings are alike in how they are painted; these cover the prints, drawings and patterns that users give as well.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

FINER = 2
"""Times as large as the result a drawing is made, so that its edges come out soft."""

STONES = 400
"""Largest number of stones of a mosaic."""


class Sheet:
    """A sheet to draw on, and the random numbers of one drawing.

    Args:
        size: height and width of the result, in pixels.
        generator: on the CPU; the only source of randomness.
    """

    def __init__(self, size: int, generator: torch.Generator) -> None:
        self.px = size * FINER
        self._generator = generator
        steps = torch.arange(self.px, dtype=torch.float32)
        self.y, self.x = torch.meshgrid(steps, steps, indexing="ij")

    def uniform(self, least: float, most: float) -> float:
        """Draw a number."""
        return least + (most - least) * float(torch.rand((), generator=self._generator))

    def random(self, *shape: int) -> Tensor:
        """Draw numbers from [0, 1)."""
        return torch.rand(*shape, generator=self._generator)

    def noise(self, px: float) -> Tensor:
        """Return smooth noise ``(px, px)``, about -1 to 1, with features of ``px`` pixels of the result."""
        count = max(round(self.px / (px * FINER)), 2) + 2
        coarse = 2 * self.random(1, 1, count, count) - 1
        return F.interpolate(coarse, (self.px, self.px), mode="bicubic", align_corners=True)[0, 0]

    def relief(self) -> Tensor:
        """Return a tone in [0, 1] with large and small forms: what the drawing shows."""
        total = self.noise(self.uniform(60, 140)) + 0.5 * self.noise(40) + 0.25 * self.noise(18)
        return torch.sigmoid(2.5 * total + self.uniform(-1, 1))

    def colors(self, count: int) -> Tensor:
        """Draw ``(count, 3)`` colors, from dark to bright: related ones, or as they come."""
        base, spread = self.random(3), self.uniform(0.1, 1.0)
        mixed = torch.lerp(base.expand(count, 3), self.random(count, 3), spread)
        light = torch.linspace(self.uniform(0.02, 0.3), self.uniform(0.7, 1.0), count)[:, None]
        return (mixed / mixed.mean(dim=1, keepdim=True).clamp_min(0.1) * light).clamp(0, 1)

    def finished(self, image: Tensor) -> Tensor:
        """Return ``(px, px, 3)`` as ``(3, size, size)``, worn as paper or canvas is."""
        grain = self.uniform(0, 0.06) * self.noise(2)[..., None]
        return F.avg_pool2d((image + grain).clamp(0, 1).permute(2, 0, 1)[None], FINER)[0]


def draw(size: int, generator: torch.Generator) -> Tensor:
    """Return a drawing of a random kind, ``(3, size, size)`` float32 in [0, 1].

    Args:
        size: height and width in pixels.
        generator: on the CPU; the only source of randomness.
    """
    kind = int(torch.randint(len(KINDS), (), generator=generator))
    sheet = Sheet(size, generator)
    return sheet.finished(KINDS[kind](sheet))


def _hatching(sheet: Sheet) -> Tensor:
    """Lines that follow the forms, the thicker the darker: an engraving or a woodcut; sometimes crossed."""
    tone = sheet.relief()
    ink, paper = sheet.colors(2)
    covered = _lines(sheet, tone)
    if sheet.uniform(0, 1) < 0.4:
        covered = torch.maximum(covered, _lines(sheet, tone + 0.3))
    ground = torch.lerp(paper, sheet.colors(2)[1], (sheet.relief() > 0.6).float()[..., None])
    return torch.lerp(ground, ink, covered[..., None])


def _lines(sheet: Sheet, tone: Tensor) -> Tensor:
    """Return coverage ``(px, px)`` by lines of one direction that bend with the forms."""
    angle = sheet.uniform(0, math.pi)
    period = sheet.uniform(4, 12) * FINER
    bend = sheet.uniform(0, 60) * sheet.noise(sheet.uniform(40, 120)) + 3 * sheet.noise(8)
    phase = (sheet.x * math.cos(angle) + sheet.y * math.sin(angle) + bend) / period
    distance = (phase % 1 - 0.5).abs() * 2
    return ((distance - tone.clamp(0.05, 1.1)) * period / 2).clamp(0, 1)


def _halftone(sheet: Sheet) -> Tensor:
    """Dots on turned grids, the larger the darker, in one to three inks, as in print."""
    image = sheet.colors(4)[3].expand(sheet.px, sheet.px, 3)
    period = sheet.uniform(5, 14) * FINER
    for ink in sheet.colors(1 + int(sheet.uniform(0, 3))):
        angle = sheet.uniform(0, math.pi / 2)
        across = (sheet.x * math.cos(angle) + sheet.y * math.sin(angle)) / period
        down = (sheet.y * math.cos(angle) - sheet.x * math.sin(angle)) / period
        distance = torch.hypot(across % 1 - 0.5, down % 1 - 0.5)
        covered = ((0.7 * (1 - sheet.relief()).sqrt() - distance) * period).clamp(0, 1)
        image = torch.lerp(image, image.minimum(ink), covered[..., None])
    return image


def _mosaic(sheet: Sheet) -> Tensor:
    """Stones of a few colors, with grout between them; or stained glass with black lead."""
    nearest, second, owner = _cells(sheet, int(sheet.uniform(60, STONES)))
    palette = sheet.colors(6)
    tone = sheet.relief()
    picked = (tone.flatten()[owner.flatten()] * 5.99).long().clamp(0, 5).view(owner.shape)
    shade = 1 + 0.2 * (sheet.random(sheet.px * sheet.px)[owner.flatten()].view(owner.shape) - 0.5)
    grout = sheet.uniform(1, 4) * FINER
    inside = ((second - nearest) / grout).clamp(0, 1)[..., None]
    return torch.lerp(palette[0] * sheet.uniform(0, 1), palette[picked] * shade[..., None], inside)


def _cells(sheet: Sheet, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return distances to the nearest and the second of random seeds, and the pixel of the nearest, ``(px, px)`` each.

    Found on a grid of a quarter of the size and enlarged, except the pixel: sharp cells would take a second.
    """
    seeds = sheet.random(count, 2) * sheet.px
    step = 2
    grid = torch.stack((sheet.y[::step, ::step], sheet.x[::step, ::step]), dim=-1).flatten(0, 1)
    wobble = torch.stack((sheet.noise(10), sheet.noise(10)), dim=-1)[::step, ::step].flatten(0, 1) * 3 * FINER
    distances, owners = torch.cdist(grid + wobble, seeds).topk(2, largest=False)
    side = len(sheet.y[::step])
    planes = F.interpolate(distances.T.view(1, 2, side, side), (sheet.px, sheet.px), mode="bilinear")[0]
    pixels = (seeds.long().clamp(0, sheet.px - 1) * torch.tensor((sheet.px, 1))).sum(dim=1)
    owner = pixels[owners[:, 0]].view(side, side).repeat_interleave(step, 0).repeat_interleave(step, 1)
    return planes[0], planes[1], owner[: sheet.px, : sheet.px]


def _strokes(sheet: Sheet) -> Tensor:
    """Strokes of a brush along a field of directions: grains of color, smeared along it."""
    angle = math.pi * sheet.noise(sheet.uniform(50, 160)) + sheet.uniform(0, math.pi)
    palette = sheet.colors(5)
    grain = sheet.noise(sheet.uniform(2, 6))
    tone = (sheet.relief() + sheet.uniform(0.1, 0.5) * grain).clamp(0, 0.999)
    image = palette[(tone * 5).long()].permute(2, 0, 1)[None]
    step = sheet.uniform(0.5, 2.0) * FINER
    along = torch.stack((angle.cos(), angle.sin()), dim=-1)
    place = torch.stack((sheet.x, sheet.y), dim=-1)
    grids = ((place + along * step * n) * 2 / (sheet.px - 1) - 1 for n in range(-5, 6))
    smeared = [F.grid_sample(image, grid[None], padding_mode="reflection", align_corners=True) for grid in grids]
    return torch.stack(smeared).mean(dim=0)[0].permute(1, 2, 0)


def _shapes(sheet: Sheet) -> Tensor:
    """Flat colors with or without outlines: a poster, a comic, a logo."""
    palette = sheet.colors(4)
    levels = sheet.relief() * 3.99
    image = palette[levels.long()]
    if sheet.uniform(0, 1) < 0.3:
        bars = ((sheet.x if sheet.uniform(0, 1) < 0.5 else sheet.y) / (sheet.uniform(20, 60) * FINER)).long() % 4
        image = palette[bars]
    if sheet.uniform(0, 1) < 0.6:
        edge = F.max_pool2d((levels.long()[None, None]).float(), 2 * FINER + 1, 1, FINER)[0, 0] - levels.long()
        image = torch.where((edge > 0)[..., None], palette[0] * 0.3, image)
    return image


KINDS: tuple[Callable[[Sheet], Tensor], ...] = (_hatching, _hatching, _halftone, _mosaic, _strokes, _shapes)
