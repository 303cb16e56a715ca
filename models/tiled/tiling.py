"""How a frame is cut into strips, and how much memory that takes."""

from collections.abc import Iterator
from dataclasses import dataclass

from models.network import Architecture


@dataclass(frozen=True, slots=True)
class Tiling:
    """How many rows are computed at a time, and which features stay in memory.

    Attributes:
        rows: height of a strip, at each resolution; a multiple of 4.
        keeps_half: whether features at half resolution stay in memory; otherwise each later layer recomputes them,
            which takes longer and a third less memory.
    """

    rows: int
    keeps_half: bool = True

    def __post_init__(self) -> None:
        if self.rows < 4 or self.rows % 4:
            raise ValueError(f"a strip must have a multiple of 4 rows, not {self.rows}")


def strips(height: int, rows: int) -> Iterator[tuple[int, int]]:
    """Yield the first and the last row (exclusive) of each strip of ``rows`` rows."""
    for first in range(0, height, rows):
        yield first, min(first + rows, height)


def peak_bytes(architecture: Architecture, tiling: Tiling, height: int, width: int, value_bytes: int) -> int:
    """Estimate the peak memory of stylizing a frame in strips; ``value_bytes`` of a feature: 2 or 4."""
    full, half, quarter = architecture.widths
    buffers = max(half / 4 * tiling.keeps_half + quarter / 16, 2 * quarter / 16) * value_bytes + 6  # 6 of the pixels
    strip = full * (6 * value_bytes + 12) + 150
    return round(buffers * height * width) + strip * (tiling.rows + 8) * width
