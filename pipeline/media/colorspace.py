"""The YUV matrix and range of frames: read from what the source says, guessed as players do where it is silent.

One convention at each border: inside the pipeline pixels are full-range RGB in the source's own primaries and
transfer, HDR apart, which becomes BT.709. `reading` says how to come there from a decoded frame, `writing` how to
leave.
"""

import struct
from typing import TYPE_CHECKING, Any, cast

from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation

from pipeline.frames import Color

if TYPE_CHECKING:
    from models.color import Hdr

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


def source_color(frame: VideoFrame) -> Color:
    """How the samples of ``frame`` are to be read; nothing is left unspecified.

    An untagged picture is BT.709 from 1280 columns or 577 lines on, BT.601 below, as in mpv and most players.
    """
    if frame.format.is_rgb or frame.format.has_palette:
        return Color(RGB, True, _told(frame.color_primaries, BT709), _told(frame.color_trc, SRGB_TRANSFER))
    matrix = frame.colorspace
    if matrix not in _SWSCALE_MATRIX:
        matrix = _guessed_matrix(frame)
    return Color(
        matrix,
        frame.color_range == 2 or frame.format.name.startswith("yuvj"),
        _told(frame.color_primaries, _PRIMARIES.get(matrix, BT709)),
        _told(frame.color_trc, _TRANSFER.get(matrix, BT709)),
    )


def hdr_of(color: Color) -> "Hdr | None":
    """The HDR transfer curve that pixels read by ``color`` have, if any."""
    if color.transfer == PQ:
        return "PQ"
    return "HLG" if color.transfer == HLG else None


def arriving(color: Color) -> Color:
    """What pixels read by ``color`` are when they have been decoded: HDR has been tone-mapped to BT.709."""
    return color if hdr_of(color) is None else Color(BT709, False, BT709, BT709)


def writing(color: Color) -> Color:
    """How pixels of ``color`` are written: with the matrix and the primaries they came with, in limited range.

    Full range is not kept: some players and editors read it as limited, whatever the tag says; the rounding that
    limited range costs is below one level.
    """
    matrix = color.matrix
    if matrix == RGB:
        matrix = BT2020 if color.primaries == BT2020 else BT709
    return Color(BT2020 if matrix == 10 else matrix, False, color.primaries, color.transfer)


def peak_nits(frame: VideoFrame) -> float | None:
    """The brightest light that the stream says it has: MaxCLL, else that of the mastering screen; None if neither."""
    content = side_data(frame, "CONTENT_LIGHT_LEVEL")
    if content is not None:
        brightest = struct.unpack("=I", content[:4])[0]
        if brightest:
            return float(brightest)
    mastering = side_data(frame, "MASTERING_DISPLAY_METADATA")
    if mastering is not None:
        *_, top, bottom, _, is_told = struct.unpack("=22i", mastering[:88])
        if is_told and top > 0 and bottom > 0:
            return float(top / bottom)
    return None


def side_data(frame: VideoFrame, kind: str) -> bytes | None:
    """What the stream says beside the picture, FFmpeg's structure of that ``kind``; None where it says nothing."""
    for side in cast(Any, frame.side_data):  # a collection, which PyAV's stubs take for one item of it
        if side.type.name == kind:
            return bytes(side)
    return None


def _guessed_matrix(frame: VideoFrame) -> int:
    if frame.color_primaries == BT2020:
        return BT2020
    return BT709 if frame.width >= 1280 or frame.height > 576 else 6


def _told(value: int, default: int) -> int:
    return default if value in (0, UNSPECIFIED) else value
