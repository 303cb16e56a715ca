"""Paintings, as training sees them: pictures of any kind, or some frames of a clip whose look is averaged."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.decode.sampling import moments
from pipeline.errors import InputError
from pipeline.frames import Pixels
from pipeline.media.stills import is_still_image, read_image
from pipeline.train.config import SMALLEST_PAINTING_PX

if TYPE_CHECKING:
    import torch

SUFFICIENT_PX = 2048
"""Short side from twice which on a painting is reduced while it is read."""

FRAMES = 6
LONG, WINDOWS = 4, 4
FLAT = 2.0
"""Standard deviation, of 255, below which there is nothing but one colour."""


def read_painting(path: Path) -> list[Pixels]:
    """What is to be painted like: ``(height, width, 3)`` uint8 each, all of one size.

    One picture; of a clip some frames; of a picture that is very long, such as a scroll, some windows.

    Raises:
        InputError: neither a picture nor a clip that can be read, or smaller than 64 px.
    """
    if path.is_dir():
        raise InputError(path, "is a folder; name one picture in it")
    if not path.exists():
        raise InputError(path, "no such file; check the path")
    pictures = [read_image(path, SUFFICIENT_PX)] if is_still_image(path) else _frames(path)
    height, width, _ = pictures[0].shape
    if min(height, width) < SMALLEST_PAINTING_PX:
        reason = f"{width}x{height} px is too small for a painting; use one of {SMALLEST_PAINTING_PX} px or more"
        raise InputError(path, reason)
    return _windows(pictures[0]) if max(height, width) > LONG * min(height, width) else pictures


def _frames(path: Path) -> list[Pixels]:
    try:
        return [moment.first for moment in moments(path, FRAMES, smallest_px=1, largest_px=SUFFICIENT_PX)]
    except InputError as error:
        reason = "neither a picture nor a video that can be read; use a JPEG, a PNG or an MP4"
        raise InputError(path, reason) from error


def _windows(picture: Pixels) -> list[Pixels]:
    """Parts twice as long as wide, spread over the length."""
    height, width, _ = picture.shape
    side = 2 * min(height, width)
    starts = [round(start) for start in np.linspace(0, max(height, width) - side, WINDOWS)]
    if height > width:
        return [picture[start : start + side] for start in starts]
    return [picture[:, start : start + side] for start in starts]


def is_flat(pictures: list[Pixels]) -> bool:
    """Whether there is nothing but one colour."""
    return float(np.stack(pictures).std(axis=(0, 1, 2)).max()) < FLAT


def at_size(pictures: list[Pixels], short_px: int) -> "torch.Tensor":
    """The pictures as ``(K, 3, h, w)`` float32 in [0, 1], scaled so that the short side is ``short_px``."""
    import torch

    from models.training.content import painting_at

    tensors = [torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))) for picture in pictures]
    return torch.cat([painting_at(tensor, short_px) for tensor in tensors])
