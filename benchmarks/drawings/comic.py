"""Draw a page of a comic: a city at dusk with a burst, flat colors, halftone dots, hatching, and bold ink lines.

python -m benchmarks.drawings.comic OUT.png
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

HEIGHT, WIDTH = 900, 1200

INK = (18, 16, 22)
PAPER, YELLOW, RED, BLUE = (250, 240, 216), (252, 206, 46), (222, 52, 44), (44, 120, 190)
SKY, PINK, GREEN, VIOLET = (130, 200, 226), (240, 150, 140), (60, 150, 110), (84, 66, 130)

Color = tuple[int, int, int]
Mask = NDArray[np.bool_]
Plane = NDArray[np.float32]


class Page:
    """The paper and what is drawn on it.

    Args:
        seed: decides what is uneven.
        finer: times as fine as the result it is drawn, so that edges come out soft.

    Attributes:
        x: column of each point in pixels of the result.
        y: row of each point.
    """

    def __init__(self, seed: int, finer: int) -> None:
        self._finer = finer
        self.dice = np.random.default_rng(seed)
        columns, rows = (np.arange(0, size, 1 / finer, dtype=np.float32) for size in (WIDTH, HEIGHT))
        self.x, self.y = np.meshgrid(columns, rows)
        self._sheet = np.full((*self.x.shape, 3), PAPER, np.uint8)

    def fill(self, where: Mask, color: Color) -> None:
        """Print a flat color."""
        self._sheet[where] = color

    def dots(self, where: Mask, color: Color, tone: Plane, period_px: float = 11.0, degrees: float = 30.0) -> None:
        """Print halftone dots, the larger the nearer ``tone`` is to 1."""
        turn = np.radians(degrees)
        across = (self.x * np.cos(turn) + self.y * np.sin(turn)) / period_px
        along = (self.y * np.cos(turn) - self.x * np.sin(turn)) / period_px
        distance = np.hypot(across - np.round(across), along - np.round(along))
        self._sheet[where & (distance < 0.62 * np.sqrt(np.clip(tone, 0, 1)))] = color

    def hatch(self, where: Mask, degrees: float, share: Plane, period_px: float = 9.0) -> None:
        """Ink parallel lines that swell with ``share``."""
        turn = np.radians(degrees)
        phase = (self.x * np.sin(turn) + self.y * np.cos(turn)) / period_px + 0.1 * np.sin(self.x / 23 + self.y / 31)
        self._sheet[where & (np.abs(phase - np.round(phase)) < 0.5 * np.clip(share, 0, 1))] = INK

    def outline(self, where: Mask, px: float) -> None:
        """Ink a bold line around a shape, thicker below and to the right as a brush leaves it."""
        inside = cv2.distanceTransform(where.astype(np.uint8), cv2.DIST_L2, 5) / self._finer
        outside = cv2.distanceTransform((~where).astype(np.uint8), cv2.DIST_L2, 5) / self._finer
        swell = px * (0.8 + 0.35 * np.sin(self.x / 61 + self.y / 47))
        self._sheet[np.where(where, inside, outside) < swell / 2] = INK

    def printed(self) -> NDArray[np.uint8]:
        """The result, ``(900, 1200, 3)`` uint8 RGB."""
        return cv2.resize(self._sheet, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def comic(seed: int = 5, *, finer: int = 2) -> NDArray[np.uint8]:
    """The picture, ``(900, 1200, 3)`` uint8 RGB; see `Page`."""
    page = Page(seed, finer)
    _sky(page)
    _burst(page)
    _clouds(page)
    _city(page)
    _street(page)
    return page.printed()


def _sky(page: Page) -> None:
    everywhere = np.ones(page.x.shape, bool)
    page.fill(everywhere, PAPER)
    page.dots(everywhere, SKY, 1.05 - page.y / 620, 11, 30)
    page.dots(everywhere, PINK, (page.y - 250) / 480, 11, 75)


def _burst(page: Page) -> None:
    """A star with a ragged edge, rings of color and lines of speed."""
    dx, dy = page.x - 840, page.y - 270
    angle, away = np.arctan2(dy, dx), np.hypot(dx, dy)
    spikes = 1 + 0.3 * np.abs((angle * 9 / np.pi) % 2 - 1) + 0.08 * np.sin(angle * 5)
    lines = (np.abs((angle * 42 / np.pi) % 2 - 1) > 0.72 + 0.12 * np.sin(angle * 17)) & (away > 300) & (away < 520)
    page.fill(lines, INK)
    for radius, color in ((190, RED), (150, YELLOW), (84, PAPER)):
        where = away * spikes < radius * 1.25
        page.fill(where, color)
        page.outline(where, 8)
    page.dots((away * spikes < 185) & (away * spikes > 105), RED, (away * spikes - 90) / 130, 9, 45)


def _clouds(page: Page) -> None:
    for x, y, size in ((190, 210, 74), (470, 120, 52), (1110, 110, 48)):
        puffs = [(0, 0, 1.0), (-1.1, 0.25, 0.72), (1.15, 0.2, 0.8), (0.5, -0.45, 0.8), (-0.55, -0.35, 0.66)]
        cloud = np.zeros(page.x.shape, bool)
        for across, down, part in puffs:
            cloud |= np.hypot(page.x - x - across * size, (page.y - y - down * size) * 1.15) < part * size
        page.fill(cloud, PAPER)
        page.dots(cloud, SKY, (page.y - y + 0.2 * size) / (1.6 * size), 9, 15)
        page.outline(cloud, 7)


def _city(page: Page) -> None:
    """Two rows of houses; the nearer are larger and in full color, with lit windows and a hatched side."""
    for foot, colors, smallest, tallest in (
        (690, (VIOLET, BLUE, VIOLET), 70, 240),
        (760, (RED, GREEN, BLUE), 100, 330),
    ):
        left = -30.0
        while left < WIDTH:
            width = float(page.dice.uniform(smallest, 1.6 * smallest))
            top = foot - float(page.dice.uniform(0.45 * tallest, tallest))
            color = colors[int(page.dice.integers(len(colors)))]
            lean = 0.03 * (left - WIDTH / 2) / WIDTH * (page.y - foot)
            house = (page.x > left + lean) & (page.x < left + width + lean) & (page.y > top) & (page.y < foot)
            page.fill(house, color)
            page.dots(house, YELLOW, 0.5 - (page.y - top) / 260, 10, 45)
            shade = house & (page.x > left + 0.68 * width + lean)
            page.hatch(shade, 62, 0.35 + (page.y - top) / 500)
            row, column = (page.y - top - 18) / 34, (page.x - left - lean - 14) / 26
            frame = (np.abs(row % 1 - 0.5) < 0.3) & (np.abs(column % 1 - 0.5) < 0.3) & (row > 0) & (column > 0)
            lit = (np.sin(np.floor(row) * 12.9 + np.floor(column) * 78.2 + left) > 0.1) & house & ~shade
            page.fill(frame & lit, YELLOW)
            page.fill(frame & house & ~shade & ~lit, INK)
            page.outline(house, 7)
            left += width


def _street(page: Page) -> None:
    """The street, its curb, and shadows in thick strokes."""
    street = page.y > 756 + 8 * np.sin(page.x / 170)
    page.fill(street, PAPER)
    page.dots(street, BLUE, (page.y - 740) / 200, 11, 20)
    page.hatch(street, 8, 0.62 - np.abs(page.y - 830) / 130, 15)
    page.outline(street, 9)
    dash = street & (np.abs(page.y - 838 - 6 * np.sin(page.x / 300)) < 9) & ((page.x / 120) % 1 < 0.6)
    page.fill(dash, YELLOW)
    page.outline(dash, 5)


if __name__ == "__main__":
    cv2.imwrite(str(Path(sys.argv[1])), comic()[:, :, ::-1])
