"""RGB to the samples that an encoder takes, as tensor operations: for stylized frames that are on a device."""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import torch
from torch import Tensor

from models.pixels.color import YuvMatrix
from models.pixels.yuv import CHROMA_PLACES, Siting


@dataclass(frozen=True, slots=True)
class SampleFormat:
    """The samples of planar YUV.

    Attributes:
        matrix: H.273 number; one that is not known counts as BT.709.
        full_range: whether luma spans all numbers.
        bits: of a sample, 8 to 15.
        halves_width: whether two pixels beside each other share a chroma sample, as in 4:2:2 and 4:2:0.
        halves_height: whether two below each other do, as in 4:2:0.
        siting: where a chroma sample lies across; swscale writes it between its two pixels.
    """

    matrix: int
    full_range: bool = False
    bits: int = 8
    halves_width: bool = True
    halves_height: bool = True
    siting: Siting = "center"


class RgbToYuv:
    """Converts a frame as the encode stage does with swscale: within 1 level.

    The matrix is computed by its definition; then chroma is made smaller by a triangle as wide as four pixels, whose
    part beyond an edge counts for the edge. Samples are rounded to the nearest, without dither. 16-bit RGB is rounded
    to samples before chroma is made smaller, and after it again. Frames with a side below `SMALLEST_PX` swscale makes
    otherwise; the chroma of full range is half a level off there.

    Args:
        format: of the samples.
    """

    SMALLEST_PX = 8

    def __init__(self, format: SampleFormat) -> None:
        self.format = format
        yuv = YuvMatrix(format.matrix, full_range=format.full_range, bits=format.bits)
        self._zeros, self._rows = yuv.numbers  # so that any device computes it
        self._most = 2**format.bits - 1
        self._dtype = torch.uint8 if format.bits == 8 else torch.int16

    def __call__(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """Return luma ``(H, W)`` and chroma ``(2, h, w)``, Cb and Cr, on the device of ``rgb``.

        They are uint8, or int16 for more than 8 bits; halved sides are rounded up.

        Args:
            rgb: ``(H, W, 3)`` uint8 or uint16, full range.
        """
        red, green, blue = (channel.float() / torch.iinfo(rgb.dtype).max for channel in rgb.unbind(dim=2))
        luma, *chroma = (
            zero + of_red * red + of_green * green + of_blue * blue
            for zero, (of_red, of_green, of_blue) in zip(self._zeros, self._rows, strict=True)
        )
        planes = torch.stack(chroma)
        if rgb.dtype != torch.uint8:
            planes = planes.round_().clamp_(0, self._most)
        if self.format.halves_height:
            planes = _halved(planes.transpose(1, 2), "center").transpose(1, 2)
        if self.format.halves_width:
            planes = _halved(planes, self.format.siting)
        return self._rounded(luma), self._rounded(planes)

    def packed(self, rgb: Tensor) -> Tensor:
        """Return the samples of `__call__` one after the other: luma, Cb, Cr."""
        luma, chroma = self(rgb)
        return torch.cat((luma.flatten(), chroma.flatten()))

    def _rounded(self, samples: Tensor) -> Tensor:
        return samples.round_().clamp_(0, self._most).to(self._dtype)


def _halved(planes: Tensor, siting: Siting) -> Tensor:
    """Return ``(2, H, W)`` with half the width, rounded up."""
    width = planes.shape[-1]
    places, weights = _taps(width, ceil(width / 2), siting, planes.device)
    return torch.stack([weight * planes[..., place] for place, weight in zip(places, weights, strict=True)]).sum(dim=0)


@lru_cache(maxsize=8)
def _taps(width: int, samples: int, siting: Siting, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return for each of ``samples`` the pixels that it is made of, and their weights: ``(taps, samples)`` both."""
    step = width / samples
    center = (torch.arange(samples, dtype=torch.float64) + CHROMA_PLACES[siting]) * step - 0.5
    pixels = (center - step).floor() + torch.arange(1, ceil(2 * step) + 2)[:, None]
    weights = (1 - (pixels - center).abs() / step).clamp_min(0)
    weights = weights / weights.sum(dim=0)
    return pixels.clamp(0, width - 1).long().to(device), weights.float().to(device)


@lru_cache(maxsize=8)
def encoder_samples(format: SampleFormat) -> RgbToYuv:
    """Return the converter to samples of ``format``, made once."""
    return RgbToYuv(format)
