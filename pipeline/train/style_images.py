"""Style images as training sees them: still images, or frames of a clip whose style is averaged."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import InputError
from pipeline.frames import Pixels
from pipeline.media.stills import is_still_image, read_image
from pipeline.train.config import SMALLEST_PAINTING_PX

if TYPE_CHECKING:
    import torch

SUFFICIENT_PX = 2048
"""Short side that suffices: an image of twice that or more is reduced when it is read."""

CLIP_FRAMES = 6
LONG_RATIO, CROPS = 4, 4
"""An image longer than this many times its short side is replaced by this many crops."""

FLAT_DEVIATION = 2.0
"""Standard deviation, of 255, below which an image counts as one color."""


def read_style_image(path: Path) -> list[Pixels]:
    """Read a style image: ``(height, width, 3)`` uint8 each, all of one size.

    One image; several frames of a clip; several crops of a very long image, such as a scroll.

    Raises:
        InputError: neither an image nor a clip that can be read, or smaller than 64 px.
    """
    if path.is_dir():
        raise InputError(path, "is a folder; give an image in it")
    if not path.exists():
        raise InputError(path, "no such file; check the path")
    images = [read_image(path, SUFFICIENT_PX)] if is_still_image(path) else _clip_frames(path)
    height, width, _ = images[0].shape
    if min(height, width) < SMALLEST_PAINTING_PX:
        reason = f"{width}x{height} px is too small for a style image; use one of {SMALLEST_PAINTING_PX} px or more"
        raise InputError(path, reason)
    return _crops(images[0]) if max(height, width) > LONG_RATIO * min(height, width) else images


def _clip_frames(path: Path) -> list[Pixels]:
    from pipeline.decode.sampling import moments  # PyAV, which photos do not need

    try:
        return [moment.first for moment in moments(path, CLIP_FRAMES, smallest_px=1, largest_px=SUFFICIENT_PX)]
    except InputError as error:
        reason = "neither an image nor a video that can be read; use a JPEG, a PNG or an MP4"
        raise InputError(path, reason) from error


def _crops(image: Pixels) -> list[Pixels]:
    """Return crops twice as long as wide, spread over the length."""
    height, width, _ = image.shape
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

    from models.training.content import style_image_at

    tensors = [torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))) for image in images]
    return torch.cat([style_image_at(tensor, short_px) for tensor in tensors])
