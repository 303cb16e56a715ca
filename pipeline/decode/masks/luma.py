"""How bright the picture of a mask is: white is stylized, black and transparent parts are not."""

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from pipeline.decode.masks.frame_mask import LUMA
from pipeline.media.pixels.alpha import may_be_transparent
from pipeline.media.pixels.colorspace import EXACT, source_color


def mask_luma(frame: VideoFrame, width: int, height: int) -> NDArray[np.float32]:
    """Return the luma of a frame, scaled to ``(height, width)``, in [0, 1]; 0 where it is transparent."""
    has_alpha = may_be_transparent(frame)
    rgb = frame.reformat(
        width,
        height,
        format="rgba" if has_alpha else "rgb24",
        src_color_range=2 if source_color(frame).full_range else 1,
        interpolation=EXACT,
    )
    samples = np.asarray(rgb.to_ndarray(), np.float32) / np.float32(255)
    luma = samples[..., :3] @ np.asarray(LUMA, np.float32)
    return np.asarray(luma * samples[..., 3] if has_alpha else luma, np.float32).clip(0, 1)
