"""Transparent pictures: what the network sees where nothing is to be seen, and what is shown behind them."""

import numpy as np
from av.video.frame import VideoFrame

from pipeline.frames import Pixels

# Video players show black behind a clip, and paint keeps off black; pages, where these are shown, are white.
_ON_WHITE = ("gif", "webp", "apng")
# Share of opacity below which a pixel's colour is no longer its own: decoders leave rounding or nothing there.
FAINT = 1 / 16


def may_be_transparent(frame: VideoFrame) -> bool:
    """Whether the format of ``frame`` has an alpha."""
    return frame.format.has_palette or any(component.is_alpha for component in frame.format.components)


def is_transparent(frame: VideoFrame, codec: str) -> bool:
    """Whether ``frame`` has an alpha that is meant: of GIF and of palettes, which always have one, any that shows.

    Other formats were chosen for their alpha, and count as transparent though the first frame may be opaque.
    """
    if not may_be_transparent(frame):
        return False
    if not frame.format.has_palette and codec != "gif":
        return True
    return bool((np.asarray(frame.reformat(format="rgba").to_ndarray(), np.uint8)[..., 3] < 255).any())


def background(container: str) -> int:
    """The grey, 0 black or 255 white, behind the transparent places of a file of this kind (FFmpeg's name)."""
    return 255 if container in _ON_WHITE else 0


def filled(pixels: Pixels, alpha: Pixels) -> Pixels:
    """``pixels`` ``(H, W, 3)`` with mid grey wherever ``alpha`` ``(H, W)`` hides them.

    What lies there, often black or a leftover, would count in the network's statistics like a part of the picture. Grey
    is near the mean of most pictures and the same in every frame. The mean of what is to be seen would be nearer, but
    leaves a title or a logo of one colour without contrast, and so without paint.
    """
    most = int(np.iinfo(pixels.dtype).max)
    hidden = alpha == 0
    faint = (alpha < most * FAINT) & ~hidden
    if not hidden.any() and not faint.any():
        return pixels
    result = pixels.copy()
    np.copyto(result, (most + 1) // 2, where=hidden[..., None])
    kept = (alpha[faint] / (most * FAINT))[:, None]
    result[faint] = np.rint(kept * pixels[faint] + (1 - kept) * (most / 2))
    return result


def composited(pixels: Pixels, alpha: Pixels, grey: int) -> Pixels:
    """``pixels`` ``(H, W, 3)`` over ``grey`` (of 255), as opaque as ``alpha`` ``(H, W)`` says."""
    most = int(np.iinfo(pixels.dtype).max)
    opacity = alpha.astype(np.float32)[..., None] / most
    over = pixels * opacity + grey * (most // 255) * (1 - opacity)
    return np.asarray(np.rint(over), pixels.dtype)
