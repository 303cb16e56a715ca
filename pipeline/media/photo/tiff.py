"""TIFF with 8 or 16 bits, EXIF and XMP: Pillow writes no color of 16 bits, FFmpeg no metadata."""

import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from pipeline.frames import Pixels

_HEADER = b"II*\0\x08\0\0\0"
# Tags (TIFF 6.0) and their values.
WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, STRIP_OFFSETS, SAMPLES = 256, 257, 258, 259, 262, 273, 277
ROWS_PER_STRIP, STRIP_BYTES, X_RESOLUTION, Y_RESOLUTION, PLANAR, UNIT = 278, 279, 282, 283, 284, 296
PREDICTOR, EXTRA_SAMPLES, XMP, PROFILE = 317, 338, 700, 34675
DEFLATE, RGB, HORIZONTAL, CHUNKY, STRAIGHT_ALPHA, INCH = 8, 2, 2, 1, 2, 2
# Offsets of TIFF have 32 bits.
LARGEST_BYTES = 2**32 - 2**24
_STRIP_BYTES = 2**18
_LEVEL = 6


def encode_tiff(
    pixels: Pixels,
    alpha: Pixels | None,
    *,
    exif: Image.Exif,
    xmp: bytes | None,
    profile: bytes | None,
    dpi: tuple[float, float] | None,
) -> list[bytes]:
    """Return the pieces of a TIFF file, compressed without loss.

    Args:
        pixels: ``(height, width, 3)`` RGB, uint8 or uint16.
        alpha: ``(height, width)``, None if all is opaque.
        exif: its tags and folders.
        xmp: packet.
        profile: color profile.
        dpi: pixels an inch, across and down.

    Raises:
        ValueError: the file would be larger than 4 GB.
    """
    samples = pixels if alpha is None else np.dstack((pixels, alpha))
    height, width, channels = samples.shape
    rows = max(_STRIP_BYTES // samples[0].nbytes, 1)
    strips = list(_strips(samples, rows))
    lengths = [len(strip) for strip in strips]
    if sum(lengths) > LARGEST_BYTES:
        raise ValueError("a TIFF holds 4 GB; use PNG")
    folder = ImageFileDirectory_v2(_HEADER)
    for tag in exif:
        folder[tag] = exif.get_ifd(tag) or exif[tag]
    folder[WIDTH], folder[LENGTH], folder[BITS] = width, height, (8 * samples.itemsize,) * channels
    folder[COMPRESSION], folder[PHOTOMETRIC], folder[PREDICTOR], folder[PLANAR] = DEFLATE, RGB, HORIZONTAL, CHUNKY
    folder[SAMPLES], folder[ROWS_PER_STRIP], folder[STRIP_BYTES] = channels, rows, tuple(lengths)
    # From the end of the folder, where Pillow's `tobytes` lets them start.
    folder[STRIP_OFFSETS] = tuple(int(place) for place in np.cumsum([0, *lengths[:-1]]))
    if alpha is not None:
        folder[EXTRA_SAMPLES] = STRAIGHT_ALPHA
    if dpi is not None:
        folder[X_RESOLUTION], folder[Y_RESOLUTION], folder[UNIT] = *dpi, INCH
    for tag, content in ((XMP, xmp), (PROFILE, profile)):
        if content:
            folder[tag] = content
    for tag in (STRIP_OFFSETS, STRIP_BYTES):
        folder.tagtype[tag] = 4  # LONG: Pillow would choose 16 bits by the offsets from the end of the folder
    return [_HEADER, folder.tobytes(len(_HEADER)), *strips]


def _strips(samples: Pixels, rows: int) -> Iterator[bytes]:
    """Yield the compressed strips; each sample is stored as its difference from the one to its left."""
    for top in range(0, len(samples), rows):
        band = samples[top : top + rows].astype(samples.dtype.newbyteorder("<"))
        band[:, 1:] -= samples[top : top + rows, :-1]
        yield zlib.compress(band.tobytes(), _LEVEL)
