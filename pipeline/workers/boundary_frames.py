"""The frame after the boundary between two segment jobs, as both of them stylize it.

It must be the same frame for both, or frames would be lost or duplicated, and nearly the same pixels.
"""

import os
from dataclasses import dataclass
from typing import Self

import numpy as np

from pipeline.frames import Frame, Pixels
from pipeline.system.files.atomic import write_atomically
from pipeline.system.files.reading import open_own

FIRST, NEXT = "first.safetensors", "next.safetensors"


@dataclass(frozen=True, slots=True)
class BoundaryFrame:
    """A stylized frame at the boundary of two segment jobs.

    Attributes:
        pixels: ``(height, width, 3)``, stylized.
        pts: in units of the source's time base.
        digest: hash of the frame as it was decoded, see `pipeline.resume.segments.frame_digest`.
    """

    pixels: Pixels
    pts: int
    digest: str

    @classmethod
    def of(cls, frame: Frame) -> Self:
        """Return what is compared of ``frame``."""
        return cls(frame.pixels, frame.pts, frame.digest or "")

    def write(self, path: str) -> None:
        """Write the frame to a file.

        Raises:
            OSError: the disk is full.
        """
        from safetensors.numpy import save

        write_atomically(path, save({"pixels": self.pixels}, {"pts": str(self.pts), "digest": self.digest}))

    def is_same(self, other: "BoundaryFrame", *, ignore_digest: bool) -> bool:
        """Return whether both are the same frame of the input."""
        return self.pts == other.pts and (ignore_digest or self.digest == other.digest)

    def difference(self, other: "BoundaryFrame") -> tuple[float, float]:
        """Return mean and largest difference of the pixels, in levels from 0 to 255."""
        scale = 1 if self.pixels.dtype == np.uint8 else 257
        levels = np.abs(self.pixels.astype(np.float32) - other.pixels) / scale
        return float(levels.mean()), float(levels.max())


def read_boundary(before: str, after: str) -> tuple[BoundaryFrame, BoundaryFrame] | None:
    """Return the frame after a boundary as both segment jobs stylized it, None if one is missing or damaged.

    Args:
        before: work folder of the job that ends there.
        after: work folder of the job that starts there.
    """
    first, following = _read(after, FIRST), _read(before, NEXT)
    return None if first is None or following is None else (first, following)


def _read(folder: str, name: str) -> BoundaryFrame | None:
    from safetensors import SafetensorError, safe_open

    try:
        open_own(folder, name).close()  # neither a pipe nor a link
        with safe_open(os.path.join(folder, name), framework="numpy") as file:
            metadata = file.metadata() or {}
            return BoundaryFrame(file.get_tensor("pixels"), int(metadata["pts"]), metadata["digest"])
    except (OSError, SafetensorError, LookupError, ValueError):
        return None
