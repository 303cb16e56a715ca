"""The frame behind a seam, as the part that ends there and the one that begins with it painted it, each for itself.

Both must be the same frame, or some would be lost or doubled, and nearly the same picture.
"""

import os
from dataclasses import dataclass

import numpy as np

from pipeline.atomic import write_in_place
from pipeline.frames import Pixels

FIRST, BEHIND = "first.safetensors", "behind.safetensors"


@dataclass(frozen=True, slots=True)
class Edge:
    """A frame behind a seam.

    Attributes:
        pixels: as it was painted.
        pts: its time, in units of the source's time base.
        digest: of it as it was decoded; see `pipeline.resume.segments.frame_digest`.
    """

    pixels: Pixels
    pts: int
    digest: str

    def write(self, path: str) -> None:
        """Keep it.

        Raises:
            OSError: the disk is full.
        """
        from safetensors.numpy import save

        write_in_place(path, save({"pixels": self.pixels}, {"pts": str(self.pts), "digest": self.digest}))

    def is_frame(self, other: "Edge", *, may_look_otherwise: bool) -> bool:
        """Whether both are the same frame of the input; by its time alone where it may look otherwise."""
        return self.pts == other.pts and (may_look_otherwise or self.digest == other.digest)

    def difference(self, other: "Edge") -> tuple[float, float]:
        """By how much the paintings differ: mean and most, in levels of 255."""
        apart = np.abs(self.pixels.astype(np.float32) - other.pixels) / (1 if self.pixels.dtype == np.uint8 else 257)
        return float(apart.mean()), float(apart.max())


def edges(before: str, after: str) -> tuple[Edge, Edge] | None:
    """The frame behind a seam as two parts made it; None where one of the two is not there, or damaged.

    Args:
        before: folder of the part that ends there.
        after: of the one that begins.
    """
    first, behind = _read(os.path.join(after, FIRST)), _read(os.path.join(before, BEHIND))
    return None if first is None or behind is None else (first, behind)


def _read(path: str) -> Edge | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            told = file.metadata() or {}
            return Edge(file.get_tensor("pixels"), int(told["pts"]), told["digest"])
    except (OSError, SafetensorError, LookupError, ValueError):
        return None
