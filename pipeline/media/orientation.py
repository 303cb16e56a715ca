"""Which way up a stored frame is to be shown."""

import struct

import numpy as np
from av.video.frame import VideoFrame

from pipeline.frames import Pixels
from pipeline.media.colorspace import side_data


def is_flipped(frame: VideoFrame) -> bool:
    """Whether ``frame`` is to be mirrored top to bottom before it is turned by its rotation.

    FFmpeg's display matrix moves a place (x, y) to (a x + c y, b x + d y); the rotation is read from a and b alone, and
    a negative determinant says that the other axis runs the other way.
    """
    matrix = side_data(frame, "DISPLAYMATRIX")
    if matrix is None:
        return False
    a, b, _, c, d = struct.unpack("=5i", matrix[:20])
    return bool(a * d < b * c)


def turned(pixels: Pixels, quarters: int, *, flipped: bool = False) -> Pixels:
    """Turn ``(height, width, ...)`` pixels counter-clockwise by ``quarters`` right angles, C-contiguous.

    Args:
        pixels: of one channel or three.
        quarters: how many right angles.
        flipped: mirror them top to bottom first.
    """
    if flipped:
        pixels = pixels[::-1]
    if quarters % 4 == 0:
        return np.ascontiguousarray(pixels)
    if pixels.ndim == 2:
        return np.ascontiguousarray(np.rot90(pixels, quarters))
    # One item a pixel: numpy moves these twice as fast as its channels.
    whole = np.ascontiguousarray(pixels).view(f"V{3 * pixels.itemsize}")[..., 0]
    return np.ascontiguousarray(np.rot90(whole, quarters))[..., None].view(pixels.dtype)
