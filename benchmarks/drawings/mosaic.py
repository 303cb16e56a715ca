"""Draw a mosaic: a bird in a sunlit garden, laid in rows of small stones that follow each shape, with dark joints.

python -m benchmarks.drawings.mosaic OUT.png
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

HEIGHT, WIDTH = 900, 1200
STONE_PX, JOINT_PX = 20.0, 1.7

JOINT = np.array((46, 38, 40), np.float32)
SKY, SKY_LOW = ((28, 92, 150), (52, 132, 178), (90, 160, 190)), ((236, 206, 128), (226, 178, 90), (240, 220, 170))
SUN, RAYS = ((226, 120, 38), (238, 156, 48)), ((244, 214, 110), (236, 190, 84))
HILL, MEADOW = ((40, 104, 92), (30, 84, 80), (66, 126, 90)), ((122, 150, 58), (150, 168, 70), (96, 128, 48))
WATER, FOAM = ((22, 112, 128), (40, 140, 150), (14, 80, 110)), ((206, 226, 220), (176, 212, 210))
BIRD, WING, BEAK = ((176, 38, 44), (150, 26, 40), (200, 66, 50)), ((38, 54, 110), (58, 78, 140)), ((240, 180, 40),)

Plane = NDArray[np.float32]
Region = tuple[NDArray[np.bool_], Plane, tuple[tuple[int, int, int], ...]]
"""Where it is, the height whose contours its rows follow in pixels, and the colors of its stones."""


def mosaic(seed: int = 11, *, finer: int = 2) -> NDArray[np.uint8]:
    """The picture, ``(900, 1200, 3)`` uint8 RGB.

    Args:
        seed: decides what is uneven.
        finer: times as fine as the result the stones are laid, so that their edges come out soft.
    """
    dice = np.random.default_rng(seed)
    labels, colors = _lay(_regions(finer), dice, finer)
    shape = labels.shape
    stones = colors[labels]
    distance = cv2.distanceTransform(_inside(labels).astype(np.uint8), cv2.DIST_L2, 5) / finer
    slant = dice.normal(0, 1, (len(colors), 2)).astype(np.float32)[labels]
    rows, columns = np.indices(shape, np.float32)
    light = 1 + 0.05 * np.sin(rows / 7 + slant[..., 0] * 3) * np.sin(columns / 9 + slant[..., 1] * 3)
    light += 0.16 * np.clip(1 - (distance - JOINT_PX) / 3, 0, 1) * np.sign(slant[..., 0])
    stone = np.clip((distance - JOINT_PX) / 1.2, 0, 1)[..., None]
    painted = stones * light[..., None] * stone + JOINT * (1 - stone)
    small = cv2.resize(painted, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return np.clip(small, 0, 255).astype(np.uint8)


def _regions(finer: int) -> list[Region]:
    """The shapes, the later ones over the earlier."""
    columns, rows = (np.arange(0, size, 1 / finer, dtype=np.float32) for size in (WIDTH, HEIGHT))
    x, y = np.meshgrid(columns, rows)
    everywhere = np.ones(x.shape, bool)
    from_sun = np.hypot(x - 880, y - 230)
    hills = y - (430 + 60 * np.sin(x / 150) + 30 * np.sin(x / 61 + 1))
    meadow = y - (560 + 40 * np.sin(x / 210 + 2))
    bank = y - (700 + 34 * np.sin(x / 120) + 0.05 * x)
    regions: list[Region] = [
        (everywhere, y + 26 * np.sin(x / 120), SKY),
        (y > 330, y + 10 * np.sin(x / 90), SKY_LOW),
        (from_sun < 190 + 26 * np.sin(12 * np.arctan2(y - 230, x - 880)), from_sun, RAYS),
        (from_sun < 105, from_sun, SUN),
        (hills > 0, hills, HILL),
        (meadow > 0, meadow, MEADOW),
        (bank > 0, bank + 8 * np.sin(x / 40), WATER),
        ((bank > 0) & (np.sin(bank / 22 + 2 * np.sin(x / 130)) > 0.86), bank + 8 * np.sin(x / 40), FOAM),
    ]
    body = np.hypot((x - 430) / 1.9 + (y - 470) / 4, y - 470) - 110
    head = np.hypot(x - 640, y - 360) - 66
    tail = np.maximum(np.abs((y - 520) + (x - 230) * 0.35) - 46 + (x - 230) * 0.12, np.abs(x - 210) - 130)
    wing = np.hypot((x - 390) / 2.1, (y - 460) * 1.35) - 72
    beak = np.maximum(np.abs(y - 366) - (770 - x) * 0.3, 690 - x)
    regions += [
        (tail < 0, tail, WING),
        (np.minimum(body, head) < 0, np.minimum(body, head), BIRD),
        (wing < 0, wing, WING),
        ((beak < 0) & (x < 770), beak, BEAK),
        (np.hypot(x - 660, y - 345) < 16, np.hypot(x - 660, y - 345), ((250, 240, 220),)),
        (np.hypot(x - 663, y - 346) < 8, np.hypot(x - 663, y - 346), ((24, 20, 30),)),
    ]
    return regions


def _lay(regions: list[Region], dice: np.random.Generator, finer: int) -> tuple[NDArray[np.int64], Plane]:
    """Return the number of the stone at each pixel, and the color of each stone."""
    shape = regions[0][0].shape
    owner = np.zeros(shape, np.int64)
    for number, (where, _, _) in enumerate(regions):
        owner[where] = number
    labels, colors, count = np.zeros(shape, np.int64), [], 0
    for number, (_, height, palette) in enumerate(regions):
        where = owner == number
        if not where.any():
            continue
        found = _rows_of_stones(height.astype(np.float32), where, dice, finer)
        _, labels[where] = np.unique(found[where], return_inverse=True)
        labels[where] += count
        stones = int(labels[where].max()) + 1 - count
        chosen = np.array(palette, np.float32)[dice.integers(len(palette), size=stones)]
        colors.append(chosen * dice.normal(1, 0.09, (stones, 1)))
        count += stones
    return labels, np.concatenate(colors).astype(np.float32)


def _rows_of_stones(
    height: Plane, where: NDArray[np.bool_], dice: np.random.Generator, finer: int
) -> NDArray[np.int64]:
    """Number the stones of a region: rows along the contours of ``height``, each cut into stones of uneven length."""
    down, across = np.gradient(cv2.GaussianBlur(height, (0, 0), 1.5 * finer), 1 / finer)
    steepness = np.maximum(np.hypot(down, across), 0.2)
    row = np.floor(height / (STONE_PX * np.median(steepness[where]))).astype(np.int64)
    row -= row.min()
    rows, columns = (np.indices(height.shape) / finer).astype(np.float32)
    mean_down, mean_across = down[where].mean(), across[where].mean()
    is_round = np.hypot(mean_down, mean_across) < 0.5 * steepness[where].mean()
    if is_round:
        centre_y, centre_x = rows[where].mean(), columns[where].mean()
        angle = np.arctan2(rows - centre_y, columns - centre_x)
        along = angle * np.maximum(np.hypot(rows - centre_y, columns - centre_x)[where].mean(), 30)
    else:
        norm = np.hypot(mean_down, mean_across)
        along = (columns * mean_down - rows * mean_across) / norm
    offsets = dice.uniform(0, STONE_PX, row.max() + 1)[row]
    wobble = 0.16 * STONE_PX * np.sin(along / 31 + offsets)
    piece = np.floor((along + offsets + wobble) / (1.12 * STONE_PX)).astype(np.int64)
    return row * 100_003 + piece - piece.min()


def _inside(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return where a pixel and its neighbors below and to the right belong to one stone."""
    inside = np.ones(labels.shape, bool)
    inside[:-1] &= labels[:-1] == labels[1:]
    inside[:, :-1] &= labels[:, :-1] == labels[:, 1:]
    return inside


if __name__ == "__main__":
    cv2.imwrite(str(Path(sys.argv[1])), mosaic()[:, :, ::-1])
