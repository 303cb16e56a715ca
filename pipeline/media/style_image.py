"""Pictures whose style is wanted: read, checked, and cut where they are very long."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import InputError
from pipeline.frames import Pixels
from pipeline.media.stills import image_size, read_image

if TYPE_CHECKING:
    import torch

SMALLEST_PX = 64
"""Short side below which a picture has no strokes to see."""

SUFFICIENT_PX = 2048
"""Short side that suffices: an image of twice that or more is reduced when it is read."""

LONG_RATIO, CROPS = 4, 4
"""An image longer than this many times its short side is replaced by this many crops."""

FLAT_DEVIATION = 2.0
"""Standard deviation, of 255, below which an image counts as one color."""


def read_picture(path: Path) -> list[Pixels]:
    """Read a picture: ``(height, width, 3)`` uint8 each, all of one size; several crops of a very long one.

    Raises:
        InputError: not an image that can be read, or smaller than `SMALLEST_PX`.
    """
    check_picture(path)
    return crops(path, read_image(path, SUFFICIENT_PX))


def check_picture(path: Path) -> None:
    """Check that a picture exists and is large enough, by its header; decodes nothing.

    Raises:
        InputError: not an image that can be read, or smaller than `SMALLEST_PX`.
    """
    if path.is_dir():
        raise InputError(path, "is a folder; give an image in it")
    if not path.exists():
        raise InputError(path, "no such file; check the path")
    _check_size(path, *image_size(path))


def _check_size(path: Path, width: int, height: int) -> None:
    if min(height, width) < SMALLEST_PX:
        reason = f"{width}x{height} px is too small for a style image; use one of {SMALLEST_PX} px or more"
        raise InputError(path, reason)


def crops(path: Path, image: Pixels) -> list[Pixels]:
    """Return the image, or crops twice as long as wide, spread over the length of a very long one.

    Raises:
        InputError: the image is smaller than `SMALLEST_PX`.
    """
    height, width, _ = image.shape
    _check_size(path, width, height)
    if max(height, width) <= LONG_RATIO * min(height, width):
        return [image]
    length = 2 * min(height, width)
    starts = [round(start) for start in np.linspace(0, max(height, width) - length, CROPS)]
    if height > width:
        return [image[start : start + length] for start in starts]
    return [image[:, start : start + length] for start in starts]


def is_flat(images: list[Pixels]) -> bool:
    """Return whether the images are of one color."""
    return float(np.stack(images).std(axis=(0, 1, 2)).max()) < FLAT_DEVIATION


def at_size(images: list[Pixels], short_px: int) -> "torch.Tensor":
    """Return the images as ``(K, 3, h, w)`` float32 in [0, 1], scaled to a short side of ``short_px``."""
    import torch

    from models.training.data.content import style_image_at

    tensors = [torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))) for image in images]
    return torch.cat([style_image_at(tensor, short_px) for tensor in tensors])
