"""The YUV matrix and range of frames: read from what the source says, guessed as players do where it is silent.

One convention at each border: inside the pipeline pixels are full-range RGB in the source's own primaries and
transfer. `reading` says how to come there from a decoded frame, `writing` how to leave.
"""

from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation

from pipeline.frames import Color

UNSPECIFIED = 2
RGB, BT709, BT2020 = 0, 1, 9
SRGB_TRANSFER, PQ, HLG = 13, 16, 18

# Bilinear, with chroma interpolated for every pixel: colour bars come back within 1 level; without these flags
# within 2, bicubic rings up to 3 and costs twice as much.
EXACT = (
    Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)

# H.273 numbers to the matrices that swscale knows; constant-luminance BT.2020 is read as the usual one.
_SWSCALE_MATRIX = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
# Primaries and transfer that go with a matrix where the source gives none of them.
_PRIMARIES = {1: 1, 4: 4, 5: 5, 6: 6, 7: 7, 9: 9}
_TRANSFER = {1: 1, 4: 4, 5: 6, 6: 6, 7: 7, 9: 14}


def swscale_matrix(matrix: int) -> int:
    """The number by which swscale knows the H.273 ``matrix``."""
    return _SWSCALE_MATRIX.get(matrix, BT709)


def reading(frame: VideoFrame) -> Color:
    """How the samples of ``frame`` are to be read; nothing is left unspecified.

    An untagged picture is BT.709 from 1280 columns or 577 lines on, BT.601 below, as in mpv and most players.
    """
    if frame.format.is_rgb or frame.format.has_palette:
        return Color(RGB, True, _told(frame.color_primaries, BT709), _told(frame.color_trc, SRGB_TRANSFER))
    matrix = frame.colorspace
    if matrix not in _SWSCALE_MATRIX:
        matrix = BT709 if frame.width >= 1280 or frame.height > 576 else 6
    return Color(
        matrix,
        frame.color_range == 2 or frame.format.name.startswith("yuvj"),
        _told(frame.color_primaries, _PRIMARIES.get(matrix, BT709)),
        _told(frame.color_trc, _TRANSFER.get(matrix, BT709)),
    )


def is_wide_gamut(color: Color) -> bool:
    """Whether pixels read by ``color`` are BT.2020 or HDR, and so look wrong when shown as BT.709."""
    return color.matrix in (9, 10) or color.primaries == BT2020 or color.transfer in (PQ, HLG)


def writing(color: Color) -> Color:
    """How pixels read by ``color`` are written: limited range, with the matrix they came with.

    BT.2020 and HDR are written, and tagged, as BT.709; tone mapping them is not done here.
    """
    if is_wide_gamut(color):
        return Color(BT709, False, BT709, BT709)
    matrix = BT709 if color.matrix == RGB else color.matrix
    return Color(matrix, False, color.primaries, color.transfer)


def _told(value: int, default: int) -> int:
    return default if value in (0, UNSPECIFIED) else value
