"""Filters over time: noise is averaged away before a frame is stylized, flicker is blended away after it."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipeline.frames import Pixels
from pipeline.stylize.opencv import FloatImage, channel_max, cv, round_to, to_8_bits


def _ramp(low: int, high: int) -> FloatImage:
    """Return a lookup table for the levels 0 to 255: 0 up to ``low``, 1 from ``high`` on, linear between."""
    return np.clip((np.arange(256, dtype=np.float32) - low) / (high - low), 0, 1)


# The noise filter's gain in a static scene; differences in levels of 255 at which it starts to rise, and reaches 1.
STATIC_GAIN = 0.15
STATIC_LEVELS, MOVING_LEVELS = 3, 6
GAIN = STATIC_GAIN + (1 - STATIC_GAIN) * _ramp(STATIC_LEVELS, MOVING_LEVELS)
# Differences are averaged over so many pixels, so that noise cancels out in them and motion does not.
BLUR_PX = 9
# The largest difference within so many pixels counts, so that the faint edges of a moving object count as moving.
DILATE_PX = 25
_DILATE_KERNEL = np.ones((DILATE_PX, DILATE_PX), np.uint8)

# Share of the frame before in a blend along the flow; differences at which it starts to fall, and reaches 0.
FLOW_SHARE = 0.5
SAME_LEVELS, DIFFERENT_LEVELS = 6, 20
SHARE = FLOW_SHARE * (1 - _ramp(SAME_LEVELS, DIFFERENT_LEVELS))
FLOW_BLUR_PX = 5


@dataclass(frozen=True, slots=True)
class FilteredFrame:
    """A frame without noise.

    Attributes:
        pixels: ``(H, W, 3)`` in the dtype of the frame.
        average: the same as float32, which the next frame is averaged with.
    """

    pixels: Pixels
    average: FloatImage


def filter_noise(pixels: Pixels, before: FilteredFrame | None) -> FilteredFrame:
    """Average static pixels over time, so that sensor noise does not make the stylized frames flicker.

    A recursive filter whose gain rises from `STATIC_GAIN` to 1 with the difference from the average. Moving pixels are
    taken as they are, so they leave no ghost.

    Args:
        pixels: ``(H, W, 3)``, uint8 or uint16.
        before: the filtered frame before; None at the start of a scene, whose first frame is returned as it is.
    """
    if before is None:
        return FilteredFrame(pixels, pixels.astype(np.float32))
    blur = (BLUR_PX, BLUR_PX)
    change = channel_max(cv.absdiff(cv.blur(to_8_bits(pixels), blur), cv.blur(to_8_bits(before.pixels), blur)))
    gain = cv.LUT(cv.blur(cv.dilate(change, _DILATE_KERNEL), blur), GAIN)
    average = cv.blendLinear(pixels.astype(np.float32), before.average, gain, 1 - gain)
    return FilteredFrame(round_to(average, pixels.dtype), average)


def blend_along_flow(
    stylized: Pixels, stylized_before: Pixels, frame: Pixels, frame_before: Pixels, flow: NDArray[np.float32]
) -> Pixels:
    """Warp the stylized frame before along the optical flow and blend it in where both input frames show the same.

    Ruder et al. (GCPR 2016) start the optimization of a frame from the warped frame before; here it is blended once.
    Warping is bicubic, because bilinear sampling, frame after frame, blurs the strokes.

    Args:
        stylized: ``(H, W, 3)``, frame t as the network stylized it.
        stylized_before: ``(H, W, 3)``, frame t - 1 as this function returned it.
        frame: ``(H, W, 3)``, frame t of the input.
        frame_before: ``(H, W, 3)``, frame t - 1 of the input.
        flow: ``(H, W, 2)`` float32 from t to t - 1, in pixels.

    Returns:
        ``(H, W, 3)`` in the dtype of ``stylized``.
    """
    height, width = flow.shape[:2]
    places = flow + _pixel_places(height, width)
    warped = cv.remap(stylized_before, places, None, cv.INTER_CUBIC, borderMode=cv.BORDER_REPLICATE)
    expected = cv.remap(to_8_bits(frame_before), places, None, cv.INTER_LINEAR, borderMode=cv.BORDER_REPLICATE)
    difference = cv.blur(channel_max(cv.absdiff(to_8_bits(frame), expected)), (FLOW_BLUR_PX, FLOW_BLUR_PX))
    outside = cv.bitwise_not(cv.inRange(places, (0, 0), (width - 1, height - 1)))
    share = cv.LUT(cv.max(difference, outside), SHARE)
    if stylized.dtype == np.uint8:
        return np.asarray(cv.blendLinear(warped, stylized, share, 1 - share), np.uint8)
    blended = cv.blendLinear(warped.astype(np.float32), stylized.astype(np.float32), share, 1 - share)
    return round_to(blended, stylized.dtype)


@lru_cache(maxsize=2)
def _pixel_places(height: int, width: int) -> FloatImage:
    """Return x and y of each pixel, ``(H, W, 2)``."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    return np.dstack((columns, rows))
