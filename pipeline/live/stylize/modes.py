"""The ways to stylize a live frame: at which size, by which engine, and how many frames side by side."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.engines.engine import EngineName

Size = tuple[int, int]
"""Height and width in pixels."""

SCALES = (1.0, 5 / 6, 2 / 3, 1 / 2, 5 / 12, 1 / 3, 1 / 4, 1 / 6)
# OpenCV's optical flow crashes below 32 pixels, and a frame much smaller than this shows nothing.
SMALLEST_PX = 64


@dataclass(frozen=True, slots=True)
class Mode:
    """How a frame is stylized.

    Attributes:
        size: height and width in pixels at which the network runs.
        engine: that runs it.
        workers: number of frames that are stylized side by side; the cores are shared among them.
    """

    size: Size
    engine: "EngineName"
    workers: int = 1

    @property
    def pixels(self) -> int:
        """Number of pixels at which the network runs."""
        return self.size[0] * self.size[1]


def working_sizes(height: int, width: int) -> tuple[Size, ...]:
    """Return heights and widths in pixels to choose from for an output of this size, the largest first."""
    sizes = [(height, width)]
    for scale in SCALES[1:]:
        size = (round(height * scale / 4) * 4, round(width * scale / 4) * 4)
        if min(size) >= SMALLEST_PX and size[0] < sizes[-1][0]:
            sizes.append(size)
    return tuple(sizes)


def first_step(sizes: tuple[Size, ...], most_pixels: float) -> int:
    """Return the index of the first of ``sizes`` with at most ``most_pixels``; of the last one if there is none."""
    return next((step for step, (height, width) in enumerate(sizes) if height * width <= most_pixels), len(sizes) - 1)
