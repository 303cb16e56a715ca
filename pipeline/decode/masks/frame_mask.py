"""What masks have in common, and masks that are made from the frame itself: a color key, or luminance."""

from abc import ABC, abstractmethod
from fractions import Fraction
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from pipeline.config.mask_spec import ColorKey, LumaRange
from pipeline.frames import Pixels

Amount = NDArray[np.float32]
"""How much of each pixel is stylized: ``(height, width, 1)`` in [0, 1]."""

# Rec. 709: red, green and blue to luma and to both color differences.
LUMA = (0.2126, 0.7152, 0.0722)
_TO_YCC = np.array([LUMA, (-0.1146, -0.3854, 0.5), (0.5, -0.4542, -0.0458)], np.float32)
# A key with color is told by its color differences, which shrink where the light does: shadows on a screen that have so
# much of them, and spots of light, count as the key. A key without color is told by its light too.
_SMALLEST_CHROMA = 0.1
_LEAST_LIGHT, _MOST_LIGHT = 0.6, 1.2
# Share of the tolerance over which a key fades, on both sides of it.
_SOFTNESS = 0.35
# Rows computed at a time.
_ROWS = 64


class FrameMask(ABC):
    """How much of each pixel of a video is stylized; a context manager.

    Args:
        feather_px: width of the soft edge in pixels of the frame; 0 leaves edges as they are.
        inverted: whether stylized and original areas are swapped.
    """

    def __init__(self, *, feather_px: float = 0.0, inverted: bool = False) -> None:
        self._feather_px, self._inverted = feather_px, inverted

    @abstractmethod
    def amount(self, pixels: Pixels, seconds: Fraction) -> Amount:
        """Return how much of each pixel is stylized.

        Args:
            pixels: ``(height, width, 3)`` of the frame.
            seconds: time of the frame; must not decrease between calls.
        """

    def __call__(self, original: Pixels, stylized: Pixels, seconds: Fraction) -> Pixels:
        """Return ``stylized`` where the mask is white, ``original`` where it is black; all ``(height, width, 3)``."""
        return blend(original, stylized, self.amount(original, seconds))

    def close(self) -> None:  # noqa: B027 - most masks have nothing to close
        """Close the file, if there is one."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _finished(self, amount: NDArray[np.float32]) -> Amount:
        """Return ``amount`` ``(height, width)`` with soft edges, and inverted if wanted, as ``(height, width, 1)``."""
        if self._feather_px:
            grey = Image.fromarray(np.asarray(np.rint(amount * 255), np.uint8))
            blurred = np.asarray(grey.filter(ImageFilter.GaussianBlur(self._feather_px / 2)))
            amount = blurred.astype(np.float32) / np.float32(255)
        return (1 - amount if self._inverted else amount)[..., None]


class DerivedMask(FrameMask):
    """A mask that is made from each frame.

    Args:
        spec: a color that is not stylized, or a range of luminance.
        feather_px: see `FrameMask`.
        inverted: see `FrameMask`.
    """

    def __init__(self, spec: ColorKey | LumaRange, *, feather_px: float = 0.0, inverted: bool = False) -> None:
        super().__init__(feather_px=feather_px, inverted=inverted)
        self._spec = spec

    def amount(self, pixels: Pixels, seconds: Fraction) -> Amount:
        """Return how much of each pixel is stylized; the time does not count."""
        result = np.empty(pixels.shape[:2], np.float32)
        most = np.float32(np.iinfo(pixels.dtype).max)
        for top in range(0, len(pixels), _ROWS):
            band = pixels[top : top + _ROWS].astype(np.float32) / most
            result[top : top + _ROWS] = self._band(band)
        return self._finished(result)

    def _band(self, band: NDArray[np.float32]) -> NDArray[np.float32]:
        if isinstance(self._spec, LumaRange):
            luma = band @ np.asarray(LUMA, np.float32)
            return _ramp(luma, self._spec.low, self._spec.high)
        tolerance = self._spec.tolerance
        distance = _distance(band @ _TO_YCC.T, _TO_YCC @ np.asarray(self._spec.color, np.float32))
        return _ramp(distance, tolerance * (1 - _SOFTNESS), tolerance * (1 + _SOFTNESS))


def _distance(colors: NDArray[np.float32], key: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how far ``colors`` ``(H, W, 3)`` are from ``key``, luma and color differences each."""
    chroma = key[1:]
    length = float(np.square(chroma).sum())
    if length < _SMALLEST_CHROMA**2:
        return np.asarray(np.linalg.norm(colors - key, axis=-1), np.float32)
    light = (colors[..., 1:] @ chroma / length).clip(_LEAST_LIGHT, _MOST_LIGHT)
    return np.asarray(np.linalg.norm(colors[..., 1:] - light[..., None] * chroma, axis=-1), np.float32)


def blend(original: Pixels, stylized: Pixels, amount: Amount) -> Pixels:
    """Return ``stylized`` where ``amount`` is 1, ``original`` where it is 0, in their dtype; some rows at a time."""
    result = np.empty_like(stylized)
    for top in range(0, len(original), _ROWS):
        rows = slice(top, top + _ROWS)
        mixed = original[rows] + amount[rows] * (stylized[rows].astype(np.float32) - original[rows])
        result[rows] = np.rint(mixed)
    return result


def _ramp(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    """Return 0 up to ``low``, 1 from ``high`` on, a line between."""
    return np.asarray(((values - low) / (high - low)).clip(0, 1), np.float32)
