"""Draw a woodcut: a valley with a sun, cut in lines that follow the relief; black and ochre on paper.

python -m benchmarks.drawings.woodcut OUT.png

A painting that nobody owns and no network has seen, so that training a style can be tried by anyone, anywhere.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]

HEIGHT, WIDTH = 900, 1200
PAPER, OCHRE, RUST, INK = (240, 229, 205), (214, 156, 62), (170, 78, 40), (26, 22, 24)
SUN = (830, 250, 95)
CREST_PX, OUTLINE_PX, SLIP_PX = 60, 5, 4


class Block:
    """The wood, before it is printed: what stands and takes ink, and what the two color blocks take.

    Args:
        seed: decides every line.
        finer: times as fine as the print the block is cut, so that its edges come out soft.
    """

    def __init__(self, seed: int, finer: int) -> None:
        self.finer = finer
        self._dice = np.random.default_rng(seed)
        columns, rows = (np.arange(0, size, 1 / finer, dtype=np.float32) for size in (WIDTH, HEIGHT))
        self.x, self.y = np.meshgrid(columns, rows)
        self.ink = np.zeros(self.x.shape, bool)
        self.ochre = np.zeros(self.x.shape, bool)
        self.rust = np.zeros(self.x.shape, bool)

    def noise(self, px: float) -> Plane:
        """Smooth, about -1 to 1, with features of ``px`` pixels."""
        rows, columns = (int(size / px) + 4 for size in (HEIGHT, WIDTH))
        coarse = self._dice.uniform(-1, 1, (rows, columns)).astype(np.float32)
        size = (int(columns * px * self.finer), int(rows * px * self.finer))
        return cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)[: self.x.shape[0], : self.x.shape[1]]

    def relief(self, px: float) -> Plane:
        """Hills on hills, each half the size of the ones before."""
        return sum(self.noise(px / 2**octave) / 2**octave for octave in range(4))

    def cut(self, where: NDArray[np.bool_], phase: Plane, tone: Plane, period_px: float) -> None:
        """Hatch a region anew: lines of constant ``phase``, the thinner the brighter ``tone`` (0 to 1) is."""
        wobble = 0.12 * self.noise(9) + 0.05 * self.noise(3)
        distance = np.abs((phase / period_px + wobble) % 1 - 0.5) * 2
        self.ink[where] = (distance > np.clip(tone, 0.04, 1.1))[where]

    def outline(self, where: NDArray[np.bool_], px: float = OUTLINE_PX) -> None:
        """A bold line around a region, swelling and thinning as a gouge goes."""
        inside = cv2.distanceTransform(where.astype(np.uint8), cv2.DIST_L2, 5)
        outside = cv2.distanceTransform((~where).astype(np.uint8), cv2.DIST_L2, 5)
        self.ink |= (inside + outside) < px * self.finer * (0.65 + 0.35 * self.noise(60))

    def print(self) -> NDArray[np.uint8]:
        """Paper, then the colors, a little out of register, then the black: ``(900, 1200, 3)`` uint8 RGB."""
        worn = self.noise(2.5) + 0.6 * self.noise(40) > -1.15
        sheet = np.full((*self.x.shape, 3), PAPER, np.uint8)
        for block, color in ((self.ochre, OCHRE), (self.rust, RUST)):
            slipped = np.pad(block, SLIP_PX, mode="edge")[: -2 * SLIP_PX, 2 * SLIP_PX :]
            sheet[slipped & worn] = color
        sheet[self.ink & worn] = INK
        return cv2.resize(sheet, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def woodcut(seed: int = 7, *, finer: int = 2) -> NDArray[np.uint8]:
    """The picture, ``(900, 1200, 3)`` uint8 RGB; see `Block`."""
    block = Block(seed, finer)
    _sky(block)
    crest = 330.0
    for depth in range(4):
        _ridge(block, crest, depth)
        crest += 95 + 25 * depth
    _tree(block, 205, 790, 430)
    _tree(block, 1075, 850, 300)
    return block.print()


def _sky(block: Block) -> None:
    """Rays from the sun, broken by long clouds."""
    x, y, radius = SUN
    from_sun = np.hypot(block.x - x, block.y - y)
    angle = np.arctan2(block.y - y, block.x - x)
    everywhere = np.ones(block.x.shape, bool)
    block.cut(everywhere, angle * 36 / np.pi, 0.5 + from_sun / 1400 + 0.18 * block.noise(50), 1.0)
    clouds = block.noise(150) + 0.4 * block.noise(40) + np.sin(block.y / 38) * 0.9 > 1.05
    clouds &= from_sun > 1.5 * radius
    block.cut(clouds, block.y + 9 * block.noise(70), np.full(block.x.shape, 0.86), 13)
    block.outline(clouds, 3)
    block.ochre |= (from_sun < 3.4 * radius + 22 * np.sin(angle * 24)) & ~clouds
    sun = from_sun < radius
    block.ink[sun], block.ochre[sun], block.rust[sun] = False, False, True
    block.outline(sun)


def _ridge(block: Block, crest: float, depth: int) -> None:
    """A chain of hills from its crest downwards, lit from the left; the nearer, the larger and bolder."""
    relief = block.relief(120 + 60 * depth)
    top = crest + (CREST_PX + 22 * depth) * block.relief(150 + 50 * depth)[0]
    where = block.y > top[None, :]
    slope = np.gradient(cv2.GaussianBlur(relief, (0, 0), 3 * block.finer), axis=1) * (120 + 60 * depth) * block.finer
    below = np.maximum(block.y - top[None, :], 0)
    phase = 0.6 * below + 0.45 * block.x * (-1) ** depth + (55 + 18 * depth) * relief
    block.cut(where, phase, 0.52 - 0.42 * slope + 0.25 * np.exp(-below / 30), 8 + 2.2 * depth)
    for color in (block.ochre, block.rust):
        color[where] = False
    fields = (relief > 0.12) if depth % 2 else (slope < -0.25)
    (block.rust if depth == 2 else block.ochre)[where & fields] = True
    block.outline(where, OUTLINE_PX + 0.8 * depth)


def _tree(block: Block, x: float, foot: float, height: float) -> None:
    """A trunk with grain, and a crown of leaves in bundles of strokes."""
    bend = 14 * np.sin(block.y / 60)
    width = height * (0.045 + 0.05 * np.clip((block.y - foot + 60) / 120, 0, 1))
    trunk = (np.abs(block.x - x - bend) < width) & (block.y < foot) & (block.y > foot - 0.7 * height)
    block.cut(trunk, block.x - bend + 5 * block.noise(30), 0.25 + (x + bend - block.x) / width * 0.35, 6)
    crown = np.zeros(block.x.shape, bool)
    for number in range(9):
        angle = number * 2.4
        away = 0.075 * height * np.sqrt(number)
        centre_x, centre_y = x + 1.5 * away * np.cos(angle), foot - 0.78 * height + away * np.sin(angle)
        distance = np.hypot(block.x - centre_x, (block.y - centre_y) * 1.2)
        leaf = distance < height * 0.15 * (1 + 0.14 * block.noise(22))
        light = 0.42 + (centre_x - block.x - (block.y - centre_y)) / height * 1.7
        block.cut(leaf, distance + 4 * block.noise(25), light, 7.5)
        block.outline(leaf, 3.5)
        crown |= leaf
    for color in (block.ochre, block.rust):
        color[trunk | crown] = False
    block.ochre |= crown & (block.noise(45) > 0.05)
    block.outline(trunk & ~crown, 4)


if __name__ == "__main__":
    cv2.imwrite(str(Path(sys.argv[1])), cv2.cvtColor(woodcut(), cv2.COLOR_RGB2BGR))
