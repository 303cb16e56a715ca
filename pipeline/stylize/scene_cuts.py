"""Find scene cuts: frames that show another scene than the frame before.

A cut changes the image and its colors at once. A pan, however fast, changes the image but hardly its colors; a fade
changes both, little by little.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.frames import Pixels, Samples
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


def thumbnail(image: Pixels | Samples) -> Thumbnail:
    """Return the thumbnail of a frame ``(H, W, 3)``, uint8 or uint16, or of its samples."""
    if isinstance(image, np.ndarray):
        small = to_8_bits(cv.resize(image, THUMBNAIL_SIZE_PX, interpolation=cv.INTER_AREA))
    else:
        small = _small_rgb(image)
    counts = [np.bincount(small[..., channel].ravel() // (256 // BINS), minlength=BINS) for channel in range(3)]
    return Thumbnail(small.astype(np.float32), np.concatenate(counts).astype(np.float32) / np.float32(small.size))


def _small_rgb(samples: Samples) -> NDArray[np.uint8]:
    """Return the frame at the size of a thumbnail; made smaller first, its samples are no longer 4:2:0."""
    import torch

    from models.pixels.color import YuvMatrix

    pixels, half = samples.height * samples.width, (samples.height // 2, samples.width // 2)
    luma, chroma = samples.packed[:pixels].reshape(samples.height, samples.width), samples.packed[pixels:]
    of_chroma = np.moveaxis(chroma.reshape(*half, 2), 2, 0) if samples.is_interleaved else chroma.reshape(2, *half)
    planes = [cv.resize(plane, THUMBNAIL_SIZE_PX, interpolation=cv.INTER_AREA) for plane in (luma, *of_chroma)]
    matrix = YuvMatrix(samples.color.matrix, full_range=samples.color.full_range, bits=8)
    rgb = matrix.to_rgb(torch.from_numpy(np.stack(planes)).float()).clamp(0, 1)
    return np.asarray((255 * rgb).round().to(torch.uint8).permute(1, 2, 0).numpy(), np.uint8)


def is_cut(before: Thumbnail | None, now: Thumbnail) -> bool:
    """Return whether the frame of ``now`` starts a scene; ``before`` is of the frame before, None at the start."""
    if before is None:
        return True
    image_change = float(np.abs(now.pixels - before.pixels).mean())
    color_change = float(np.abs(now.histogram - before.histogram).sum()) / 2
    return image_change > FULL_IMAGE_CHANGE or (image_change > IMAGE_CHANGE and color_change > COLOR_CHANGE)
