"""OpenCV, if it loads, and operations that it does three to ten times as fast as numpy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.frames import Pixels

try:
    import cv2
except ImportError:  # a system library such as libGL is missing
    cv: Any = None
else:
    cv = cv2  # as Any: its type stubs accept neither float images nor scalar operands

FloatImage = NDArray[np.float32]


def opencv_available() -> bool:
    """Return whether OpenCV loads on this machine."""
    return cv is not None


def to_8_bits(pixels: Pixels) -> NDArray[np.uint8]:
    """Return ``pixels`` (uint8 or uint16) as uint8."""
    return np.asarray(pixels if pixels.dtype == np.uint8 else cv.convertScaleAbs(pixels, alpha=1 / 257), np.uint8)


def round_to(image: FloatImage, dtype: "np.dtype[np.unsignedinteger[Any]]") -> Pixels:
    """Return ``image``, which has no negative values, rounded and clipped to uint8 or uint16."""
    if dtype == np.uint8:
        return np.asarray(cv.convertScaleAbs(image), np.uint8)
    return np.asarray(np.minimum(image + 0.5, 65535), np.uint16)


def channel_max(image: Pixels) -> Pixels:
    """Return the largest of the three channels of ``(H, W, 3)`` as ``(H, W)``."""
    red, green, blue = cv.split(image)
    largest: Pixels = cv.max(cv.max(red, green), blue)
    return largest
