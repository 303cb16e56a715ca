"""Images at other sizes."""

import torch
from torch import Tensor
from torch.nn import functional as F


def resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Return ``(1, 3, H, W)`` in [0, 1] at another size, by bicubic interpolation with antialiasing."""
    if full_size(image) == size:
        return image
    return F.interpolate(image, size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


def resampled(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a periodic image ``(1, 3, H, W)`` in [0, 1] at another size, still periodic: by its Fourier series."""
    for dim, length in zip((2, 3), size, strict=True):
        before = image.shape[dim]
        if before == length:
            continue
        waves = torch.fft.rfft(image, dim=dim)
        # Without the highest wave of an even number of pixels, whose phase is unknown.
        waves = waves.narrow(dim, 0, (min(length, before) - 1) // 2 + 1)
        image = torch.fft.irfft(waves, n=length, dim=dim) * (length / before)
    return image.clamp(0, 1)


def extended(image: Tensor, smallest_px: int) -> Tensor:
    """Return the image, or a small one with its last row and column repeated up to ``smallest_px``."""
    missing = [max(smallest_px - side, 0) for side in full_size(image)]
    return F.pad(image, (0, missing[1], 0, missing[0]), mode="replicate") if any(missing) else image


def full_size(image: Tensor) -> tuple[int, int]:
    """Return height and width of ``(N, C, H, W)``."""
    return image.shape[-2], image.shape[-1]
