"""Find scene cuts: frames that show another scene than the frame before.

A cut changes the image and its colors at once. A pan, however fast, changes the image but hardly its colors; a fade
changes both, little by little.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.frames import Pixels
from pipeline.stylize.opencv import FloatImage, cv, to_8_bits

# Width and height of a thumbnail, and bins of the histogram of each channel.
THUMBNAIL_SIZE_PX = (64, 36)
BINS = 16
# A cut exceeds both: mean difference of the thumbnails in levels of 255, and share of the pixels with another color.
IMAGE_CHANGE = 16.0
COLOR_CHANGE = 0.25
# Mean difference of the thumbnails that is a cut whatever the colors.
FULL_IMAGE_CHANGE = 48.0


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A frame, small enough to be compared quickly.

    Attributes:
        pixels: ``(36, 64, 3)`` float32, in levels of 255.
        histogram: ``(48,)`` float32, `BINS` for each channel; its sum is 1.
    """

    pixels: FloatImage
    histogram: FloatImage


def thumbnail(pixels: Pixels) -> Thumbnail:
    """Return the thumbnail of a frame ``(H, W, 3)``, uint8 or uint16."""
    small = to_8_bits(cv.resize(pixels, THUMBNAIL_SIZE_PX, interpolation=cv.INTER_AREA))
    counts = [np.bincount(small[..., channel].ravel() // (256 // BINS), minlength=BINS) for channel in range(3)]
    return Thumbnail(small.astype(np.float32), np.concatenate(counts).astype(np.float32) / np.float32(small.size))


def is_cut(before: Thumbnail | None, now: Thumbnail) -> bool:
    """Return whether the frame of ``now`` starts a scene; ``before`` is of the frame before, None at the start."""
    if before is None:
        return True
    image_change = float(np.abs(now.pixels - before.pixels).mean())
    color_change = float(np.abs(now.histogram - before.histogram).sum()) / 2
    return image_change > FULL_IMAGE_CHANGE or (image_change > IMAGE_CHANGE and color_change > COLOR_CHANGE)
