"""The filter over time that takes noise from static pixels, as tensor operations: for frames that stay on a device."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

# What OpenCV adds to the sum of two weights before it divides by it.
EPSILON = 1e-5


class NoiseFilter:
    """A recursive filter whose gain rises with the difference of a frame from the average of those before.

    Rounds as OpenCV's functions do (``blur``, ``dilate``, ``LUT``, ``blendLinear``), so that a frame differs from one
    that they filtered by rounding alone.

    Args:
        gain: 256 numbers in [0, 1], for each level of the difference.
        blur_px: side of the square that differences are averaged over, odd.
        dilate_px: side of the square whose largest difference counts, odd.
    """

    def __init__(self, gain: Sequence[float], *, blur_px: int, dilate_px: int) -> None:
        self._gain = torch.tensor(gain, dtype=torch.float32)
        self._blur_px, self._dilate_px = blur_px, dilate_px

    def __call__(self, pixels: Tensor, before: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        """Filter a frame ``(H, W, 3)``, uint8 or uint16.

        Args:
            pixels: the frame.
            before: what this returned for the frame before, on the same device; None at the start of a scene, whose
                first frame is returned as it is.

        Returns:
            The filtered frame in the dtype of ``pixels``, and its average ``(H, W, 3)`` float32.
        """
        average = pixels.float()
        if before is None:
            return pixels, average
        last, last_average = before
        blurred, blurred_last = (self._blur(_planes_in_8_bits(image)) for image in (pixels, last))
        change = (blurred - blurred_last).abs().amax(dim=1, keepdim=True)
        level = self._blur(self._dilate(change))[0, 0].to(torch.int64)
        self._gain = self._gain.to(pixels.device)
        gain = self._gain[level][..., None]
        kept = 1 - gain
        average = (average * gain + last_average * kept) / (gain + kept + EPSILON)
        return _rounded(average, pixels.dtype), average

    def _blur(self, planes: Tensor) -> Tensor:
        """Average ``(1, C, H, W)`` levels over a square, mirrored at the borders, and round."""
        side, margin = self._blur_px, self._blur_px // 2
        mode = "reflect" if min(planes.shape[-2:]) > margin else "replicate"
        planes = F.pad(planes, (margin,) * 4, mode=mode)
        # An odd number of pixels: no average lies halfway between two levels, however it is computed.
        return F.avg_pool2d(F.avg_pool2d(planes, (side, 1), 1), (1, side), 1).round_()

    def _dilate(self, planes: Tensor) -> Tensor:
        side, margin = self._dilate_px, self._dilate_px // 2
        columns = F.max_pool2d(planes, (side, 1), 1, (margin, 0))
        return F.max_pool2d(columns, (1, side), 1, (0, margin))


def _planes_in_8_bits(pixels: Tensor) -> Tensor:
    """Return ``(H, W, 3)`` pixels as levels ``(1, 3, H, W)`` float32 from 0 to 255."""
    planes = pixels.permute(2, 0, 1)[None].float()
    return planes if pixels.dtype == torch.uint8 else (planes / 257).round_()


def _rounded(image: Tensor, dtype: torch.dtype) -> Tensor:
    if dtype == torch.uint8:
        return image.round().clamp_max_(255).to(torch.uint8)
    return (image + 0.5).clamp_max_(65535).to(torch.int32).to(dtype)
