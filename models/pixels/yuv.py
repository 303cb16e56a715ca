"""4:2:0 samples of 8 bits to RGB, as tensor operations: for decoded frames whose colors are computed on a device."""

from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from models.pixels.color import YuvMatrix

Siting = Literal["left", "center"]
"""Where a chroma sample lies across: on the left of the two pixels that it is for, as in MPEG-2 and later, or between
them, as in JPEG and MPEG-1. Down it lies between two rows."""

CHROMA_PLACES: dict[Siting, float] = {"left": 0.25, "center": 0.5}
"""Where within the width of a chroma sample it lies."""


class Yuv420ToRgb:
    """Converts a frame as swscale does with exact rounding and full chroma interpolation: within 1 level.

    Chroma is brought to the size of luma bilinearly, then the matrix is computed by its definition. swscale itself is
    wrong in colors of more than twice the brightness of white, which no camera makes: it overflows. Frames with a side
    below `SMALLEST_PX` it reads otherwise.

    Args:
        matrix: H.273 number; one that is not known counts as BT.709.
        full_range: whether luma spans 0 to 255, or 16 to 235.
        siting: of the chroma samples.
    """

    SMALLEST_PX = 8

    def __init__(self, matrix: int, *, full_range: bool, siting: Siting) -> None:
        yuv = YuvMatrix(matrix, full_range=full_range, bits=8)
        corners = torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
        # The matrix is linear: black, and what one level of each sample adds. Numbers, so that any device computes it.
        black, *steps = (255 * yuv.to_rgb(corners[:, None])[:, 0].double()).unbind(dim=1)
        self._offset = black.tolist()
        self._rows = torch.stack([step - black for step in steps], dim=1).tolist()
        self._siting = siting

    def __call__(self, luma: Tensor, chroma: Tensor) -> Tensor:
        """Return ``(H, W, 3)`` uint8 full-range RGB, on the device of the samples.

        Args:
            luma: ``(H, W)`` uint8.
            chroma: ``(2, ceil(H / 2), ceil(W / 2))`` uint8, Cb and Cr.
        """
        height, width = luma.shape
        rows = F.interpolate(chroma[None].float(), (height, chroma.shape[-1]), mode="bilinear", align_corners=False)[0]
        before, after, share = _places(width, chroma.shape[-1], self._siting, luma.device)
        u, v = torch.lerp(rows[..., before], rows[..., after], share)
        y = luma.float()
        channels = [
            offset + of_y * y + of_u * u + of_v * v
            for offset, (of_y, of_u, of_v) in zip(self._offset, self._rows, strict=True)
        ]
        return torch.stack(channels, dim=2).round_().clamp_(0, 255).to(torch.uint8)


@lru_cache(maxsize=4)
def _places(width: int, samples: int, siting: Siting, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each of ``width`` pixels the chroma samples before and after it, and the share of the latter."""
    place = (torch.arange(width, dtype=torch.float64) + 0.5) * (samples / width) - CHROMA_PLACES[siting]
    place = place.clamp(0, samples - 1)
    before = place.floor().to(torch.int64)
    share = (place - before).float()
    return before.to(device), (before + 1).clamp_max(samples - 1).to(device), share.to(device)


def rgb_of_packed(packed: Tensor, height: int, width: int, convert: Yuv420ToRgb, *, is_interleaved: bool) -> Tensor:
    """Return the RGB of a frame with even sides whose samples are one after the other, on their device.

    Args:
        packed: ``(1.5 * height * width,)`` uint8: luma, then chroma.
        height: in pixels.
        width: in pixels.
        convert: to RGB.
        is_interleaved: whether chroma is Cb and Cr in turn, as in NV12, or all Cb and then all Cr.
    """
    pixels, half = height * width, (height // 2, width // 2)
    chroma = packed[pixels:]
    planes = chroma.view(*half, 2).permute(2, 0, 1) if is_interleaved else chroma.view(2, *half)
    return convert(packed[:pixels].view(height, width), planes)


@lru_cache(maxsize=8)
def converter(matrix: int, siting: Siting, *, full_range: bool) -> Yuv420ToRgb:
    """Return the converter of frames like this, made once."""
    return Yuv420ToRgb(matrix, full_range=full_range, siting=siting)
