"""A smaller canvas on a CPU: the frame is made smaller before an engine and its result is enlarged after it, by OpenCV.

`models.frame_graph.FrameGraph` computes the same as a part of its graph, and does so on a GPU, in strips, for styles of
regions, or where OpenCV does not load. Compiled for a CPU that costs more than the smaller canvas saves: each pixel of
the result takes sixteen of the canvas, and the compiler evaluates the network's last layer for each of them.
"""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.engines.engine import Engine, EngineSpec
from models.frame_graph import is_smaller, pixels_to_unit, resize, unit_to_pixels
from models.network import Style
from models.pixels.color import BT709_LUMA

Pixels = NDArray[np.uint8] | NDArray[np.uint16]

# Rows that are finished at a time, so that what is computed in between stays in the cache.
_ROWS = 32


def canvas_spec(spec: EngineSpec) -> EngineSpec:
    """Return what to build for frames of the canvas's size; ``spec`` itself if the graph scales, or nothing does."""
    canvas = spec.canvas
    if canvas is None or not is_smaller(canvas, (spec.height, spec.width)):
        return spec
    if spec.device.type != "cpu" or spec.tiling is not None or spec.has_regions or _opencv() is None:
        return spec
    return replace(spec, height=canvas[0], width=canvas[1], stroke_size=1.0)


def on_canvas(run: Engine, spec: EngineSpec) -> Engine:
    """Return the engine of ``spec``, given that of its `canvas_spec`."""
    inner = canvas_spec(spec)
    if inner is spec:
        return run
    size = inner.height, inner.width

    def engine(
        pixels: Tensor,
        style: Style,
        past: Tensor,
        past_weight: Tensor,
        strength: Tensor,
        keep_colors: Tensor,
    ) -> tuple[Tensor, Tensor]:
        frame = pixels.numpy()
        small = reduced(frame, size)
        stylized, used = run(torch.from_numpy(small), style, past, past_weight, strength, keep_colors)
        luma_share = float(strength * (1 - keep_colors))
        return torch.from_numpy(enlarged(stylized.numpy(), small, frame, luma_share)), used

    return engine


def reduced(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Return ``(H, W, 3)`` pixels at a smaller ``size``, height and width, with the mean that `resize` takes.

    OpenCV takes the same one if each pixel of the canvas has a whole number of pixels, and is fifty times as fast.
    """
    if pixels.shape[0] % size[0] or pixels.shape[1] % size[1]:
        tensor = torch.from_numpy(pixels)
        image = resize(pixels_to_unit(tensor), size)[0].permute(1, 2, 0)
        exact: Pixels = unit_to_pixels(image, tensor.dtype).contiguous().numpy()
        return exact
    cv = _opencv()
    small: Pixels = cv.resize(pixels, size[::-1], interpolation=cv.INTER_AREA)
    return small


def enlarged(stylized: Pixels, small: Pixels, pixels: Pixels, luma_share: float) -> Pixels:
    """Enlarge what was stylized on a canvas, and add the details of the frame that the canvas was too small for.

    Args:
        stylized: ``(h, w, 3)``.
        small: ``(h, w, 3)``, the frame on the canvas.
        pixels: ``(H, W, 3)`` uint8 or uint16, the frame.
        luma_share: in [0, 1], how much of the details is luma alone. The rest is in color, so that a frame that is not
            stylized, or keeps its colors, is as sharp as before.

    Returns:
        ``(H, W, 3)`` in the dtype of ``pixels``.
    """
    cv, size = _opencv(), pixels.shape[1::-1]
    large: Pixels = cv.resize(stylized, size, interpolation=cv.INTER_CUBIC)
    smooth: Pixels = cv.resize(small, size, interpolation=cv.INTER_CUBIC)
    is_8_bit = pixels.dtype == np.uint8
    exact, result_type = (cv.CV_16S, cv.CV_8U) if is_8_bit else (cv.CV_32F, cv.CV_16U)
    to_luma = np.tile(np.array(BT709_LUMA, np.float32), (3, 1))
    matrix = luma_share * to_luma + (1 - luma_share) * np.eye(3, dtype=np.float32)
    for first in range(0, len(pixels), _ROWS):
        rows = slice(first, first + _ROWS)
        details = cv.transform(cv.subtract(pixels[rows], smooth[rows], dtype=exact), matrix)
        cv.add(large[rows], details, dst=large[rows], dtype=result_type)
    return large


@cache
def _opencv() -> Any:
    """Return OpenCV; None if it does not load."""
    try:
        import cv2
    except ImportError:
        return None
    return cv2
