"""The color description of frames: read from the source's tags, or guessed as players do.

Inside the pipeline, pixels are full-range RGB in the source's own primaries and transfer; HDR is tone-mapped to BT.709.
`source_color` describes a decoded frame, `pipeline_color` the RGB made of it, `output_color` what is written.
"""

import struct
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from pipeline.frames import Color

if TYPE_CHECKING:
    from models.pixels.color import Hdr

# H.273 numbers of matrices, primaries and transfers.
UNSPECIFIED = 2
RGB, BT709, BT2020 = 0, 1, 9
SRGB_TRANSFER, PQ, HLG = 13, 16, 18

# Bilinear with full chroma interpolation: color bars come back within 1 level. Without these flags the error is 2;
# bicubic rings by up to 3 and costs twice as much.
EXACT = (
    Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)

# H.273 matrix numbers to swscale's; constant-luminance BT.2020 is read as the non-constant one.
_SWSCALE_MATRIX = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
# Primaries and transfer assumed for a matrix if the source names none.
_PRIMARIES = {1: 1, 4: 4, 5: 5, 6: 6, 7: 7, 9: 9}
_TRANSFER = {1: 1, 4: 4, 5: 6, 6: 6, 7: 7, 9: 14}


def scaling(frame: VideoFrame, width: int, height: int) -> Interpolation:
    """Return how swscale converts ``frame`` to this size in pixels: it averages to shrink."""
    if (frame.width, frame.height) == (width, height):
        return EXACT
    flag = Interpolation.AREA if height < frame.height else Interpolation.LANCZOS
    return (EXACT & ~Interpolation.BILINEAR) | flag


def swscale_matrix(matrix: int) -> int:
    """Return swscale's number for the H.273 ``matrix``."""
    return _SWSCALE_MATRIX.get(matrix, BT709)


def to_8_bit_rgb(
    frame: VideoFrame,
    reformatter: VideoReformatter,
    width: int | None = None,
    height: int | None = None,
    *,
    format: str = "rgb24",
    interpolation: Interpolation = EXACT,
) -> NDArray[np.uint8]:
    """Return the pixels of ``frame``, ``(height, width, 3)`` full-range RGB, or RGBA if ``format`` says so.

    swscale is exact within one level for 8 bits. Reuse the reformatter: PyAV otherwise sets swscale up for every frame.
    """
    color = source_color(frame)
    rgb = reformatter.reformat(
        frame,
        width,
        height,
        format=format,
        src_colorspace=swscale_matrix(color.matrix),
        src_color_range=2 if color.full_range else 1,
        dst_color_range=2,
        interpolation=interpolation,
        threads=1,
    )
    return np.asarray(rgb.to_ndarray(), np.uint8)


def source_color(frame: VideoFrame) -> Color:
    """Return the color description of a decoded frame, with nothing left unspecified.

    Untagged frames are BT.709 from 1280 columns or 577 rows on, else BT.601, as in mpv and most players.
    """
    if frame.format.is_rgb or frame.format.has_palette:
        primaries, transfer = BT709, SRGB_TRANSFER
        return Color(RGB, True, _tag(frame.color_primaries, primaries), _tag(frame.color_trc, transfer))
    matrix = frame.colorspace
    if matrix not in _SWSCALE_MATRIX:
        matrix = _guessed_matrix(frame)
    return Color(
        matrix,
        frame.color_range == 2 or frame.format.name.startswith("yuvj"),
        _tag(frame.color_primaries, _PRIMARIES.get(matrix, BT709)),
        _tag(frame.color_trc, _TRANSFER.get(matrix, BT709)),
    )


def hdr_transfer(color: Color) -> "Hdr | None":
    """Return the HDR transfer curve of ``color``; None for SDR."""
    if color.transfer == PQ:
        return "PQ"
    return "HLG" if color.transfer == HLG else None


def pipeline_color(color: Color) -> Color:
    """Return the color description of RGB pixels made from frames of ``color``: HDR has been tone-mapped to BT.709."""
    return color if hdr_transfer(color) is None else Color(BT709, False, BT709, BT709)


def output_color(color: Color) -> Color:
    """Return how pixels of ``color`` are written: with the same matrix and primaries, in limited range.

    Full range is not used: some players and editors read it as limited, whatever the tag says. Limited range costs less
    than one level of rounding.
    """
    matrix = color.matrix
    if matrix == RGB:
        matrix = BT2020 if color.primaries == BT2020 else BT709
    return Color(BT2020 if matrix == 10 else matrix, False, color.primaries, color.transfer)


def peak_nits(frame: VideoFrame) -> float | None:
    """Return the peak brightness in cd/m2: MaxCLL, or that of the mastering display; None if neither is given."""
    content = side_data(frame, "CONTENT_LIGHT_LEVEL")
    if content is not None:
        max_cll = struct.unpack("=I", content[:4])[0]
        if max_cll:
            return float(max_cll)
    mastering = side_data(frame, "MASTERING_DISPLAY_METADATA")
    if mastering is not None:
        *_, numerator, denominator, _, has_luminance = struct.unpack("=22i", mastering[:88])
        if has_luminance and numerator > 0 and denominator > 0:
            return float(numerator / denominator)
    return None


def side_data(frame: VideoFrame, kind: str) -> bytes | None:
    """Return FFmpeg's side data structure of that ``kind``; None if the frame has none."""
    for side in cast(Any, frame.side_data):  # a collection, but PyAV's stubs call it one item
        if side.type.name == kind:
            return bytes(side)
    return None


def _guessed_matrix(frame: VideoFrame) -> int:
    if frame.color_primaries == BT2020:
        return BT2020
    return BT709 if frame.width >= 1280 or frame.height > 576 else 6


def _tag(value: int, default: int) -> int:
    return default if value in (0, UNSPECIFIED) else value
