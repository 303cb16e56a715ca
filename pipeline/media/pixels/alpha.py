"""Transparency: what the network sees where a frame is transparent, and what such frames are composited over."""

from functools import cache

import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

from pipeline.frames import Pixels

# Web pages, where these are shown, are white. Video players show black, which the network leaves alone.
_SHOWN_ON_WHITE = ("gif", "webp", "apng")
# Opacity below which a pixel's color is unreliable: decoders leave rounding errors or zeros there.
FAINT = 1 / 16


@cache
def has_alpha(pixel_format: str) -> bool:
    """Return whether frames of ``pixel_format`` (FFmpeg's name) have an alpha channel; palettes have none."""
    return any(component.is_alpha for component in VideoFormat(pixel_format).components)


def may_be_transparent(frame: VideoFrame) -> bool:
    """Return whether the format of ``frame`` allows transparent pixels."""
    return frame.format.has_palette or has_alpha(frame.format.name)


def is_transparent(frame: VideoFrame, codec: str) -> bool:
    """Return whether the alpha of ``frame`` is used.

    GIF and palette formats always have an alpha, so they count only if a pixel is not opaque. Other formats were chosen
    for their alpha and count even if this frame is opaque.
    """
    if not may_be_transparent(frame):
        return False
    if not frame.format.has_palette and codec != "gif":
        return True
    return bool((np.asarray(frame.reformat(format="rgba").to_ndarray(), np.uint8)[..., 3] < 255).any())


def background_grey(container: str) -> int:
    """Return the grey (0 or 255) shown through transparent pixels of a file; ``container`` is FFmpeg's name."""
    return 255 if container in _SHOWN_ON_WHITE else 0


def fill_transparent(pixels: Pixels, alpha: Pixels) -> Pixels:
    """Return ``pixels`` ``(H, W, 3)`` with mid grey where ``alpha`` ``(H, W)`` is 0, blended where it is below `FAINT`.

    Hidden pixels, often black or leftovers, would count in the network's statistics like visible ones. Grey is near the
    mean of most images and the same in every frame. The mean of the visible pixels would be nearer, but leaves a
    title or a logo of one color without contrast, and so without any brush strokes.
    """
    most = int(np.iinfo(pixels.dtype).max)
    hidden = alpha == 0
    faint = (alpha < most * FAINT) & ~hidden
    if not hidden.any() and not faint.any():
        return pixels
    filled = pixels.copy()
    np.copyto(filled, (most + 1) // 2, where=hidden[..., None])
    weight = (alpha[faint] / (most * FAINT))[:, None]
    filled[faint] = np.rint(weight * pixels[faint] + (1 - weight) * (most / 2))
    return filled


def composite(pixels: Pixels, alpha: Pixels, grey: int) -> Pixels:
    """Return ``pixels`` ``(H, W, 3)`` composited over ``grey`` (0 to 255) with opacity ``alpha`` ``(H, W)``."""
    most = int(np.iinfo(pixels.dtype).max)
    opacity = alpha.astype(np.float32)[..., None] / most
    mixed = pixels * opacity + grey * (most // 255) * (1 - opacity)
    return np.asarray(np.rint(mixed), pixels.dtype)
