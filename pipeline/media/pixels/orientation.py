"""Orientation: how a stored frame is mirrored and rotated to be upright."""

import struct
from typing import TypeVar

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from pipeline.media.pixels.colorspace import side_data

Sample = TypeVar("Sample", bound=np.generic)


def is_flipped(frame: VideoFrame) -> bool:
    """Return whether ``frame`` has to be mirrored top to bottom before its rotation is applied.

    FFmpeg's display matrix maps a point (x, y) to (a x + c y, b x + d y). The rotation is read from a and b alone; a
    negative determinant means that the other axis is mirrored.
    """
    matrix = side_data(frame, "DISPLAYMATRIX")
    if matrix is None:
        return False
    a, b, _, c, d = struct.unpack("=5i", matrix[:20])
    return bool(a * d < b * c)


def rotate(pixels: NDArray[Sample], quarters: int, *, flipped: bool = False) -> NDArray[Sample]:
    """Rotate ``(height, width)`` or ``(height, width, 3)`` pixels counter-clockwise; the result is C-contiguous.

    Args:
        pixels: of one channel or three.
        quarters: number of quarter turns.
        flipped: mirror top to bottom first.
    """
    if flipped:
        pixels = pixels[::-1]
    if quarters % 4 == 0:
        return np.ascontiguousarray(pixels)
    if pixels.ndim == 2:
        return np.ascontiguousarray(np.rot90(pixels, quarters))
    # One item per pixel: numpy moves these twice as fast as separate channels.
    items = np.ascontiguousarray(pixels).view(f"V{3 * pixels.itemsize}")[..., 0]
    return np.ascontiguousarray(np.rot90(items, quarters))[..., None].view(pixels.dtype)
