"""Still images: read upright as RGB, and written atomically."""

import ctypes
import io
import struct
import zlib
from collections.abc import Callable, Collection
from contextlib import suppress
from math import ceil
from pathlib import Path
from typing import IO

import numpy as np
from PIL import (  # noqa: F401 - each plugin registers its format
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
    _imaging,
)

from pipeline.errors import InputError, OutputError, reason_of
from pipeline.frames import Pixels
from pipeline.system.files import open_input, why_taken, write_atomically

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
# The only formats that are read, by Pillow's name. Others start programs (EPS: Ghostscript) or are rarely tested.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
PREFIX_BYTES = 16
# Formats that can be animated.
ANIMATED_FORMATS = frozenset({"GIF", "WEBP"})
MAX_IMAGE_PIXELS = 250_000_000
# What Pillow raises for a damaged file, when it opens it and whenever it reads more of it: what it documents; what it
# expects of its own plugins; and what may escape them, as they take numbers of the file as indexes, types and divisors,
# and miss what the file lacks. Not MemoryError, which is about the machine.
PILLOW_ERRORS = (
    *(OSError, EOFError, ValueError, Image.DecompressionBombError),
    *(SyntaxError, IndexError, TypeError, struct.error),
    *(KeyError, AttributeError, AssertionError, ArithmeticError, BufferError, RuntimeError, zlib.error),
)
# Pillow modes that `Image.reduce` averages correctly.
REDUCIBLE_MODES = frozenset({"L", "RGB", "RGBA", "CMYK"})
# Rows of the result that are converted at once.
STRIP_ROWS = 64
# How pixels are turned upright, by the orientation in EXIF (CIPA DC-008, 4.6.5).
ORIENTATION = 0x0112
_TURNED: dict[int, Callable[[Pixels], Pixels]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels),
}


def _silence_libtiff() -> None:
    """Keep libtiff's messages from standard error; for whatever is wrong with a file, Pillow raises an error as well.

    Pillow has no setting for them. The function is found through the module of Pillow that is linked with the library.
    """
    with suppress(OSError, AttributeError):  # a Pillow without libtiff, or with libtiff inside that module (Windows)
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)


_silence_libtiff()


def open_image(file: IO[bytes], formats: Collection[str] = FORMATS) -> ImageFile.ImageFile:
    """Open an image of one of these formats, as `PIL.Image.open` does, but without Pillow's limit of the size.

    Photos of some phones exceed that limit, which is a setting of the whole process. The caller checks the size.

    Args:
        file: must stay open while the image is used.
        formats: names from `FORMATS`.

    Raises:
        UnidentifiedImageError: it is not an image of these formats, or is damaged.
        PILLOW_ERRORS: it cannot be read. What is done with the image raises them too.
    """
    prefix = file.read(PREFIX_BYTES)
    for name in formats:
        factory, accepts = Image.OPEN[name]
        if accepts is None or accepts(prefix) is True:
            file.seek(0)
            with suppress(SyntaxError, IndexError, TypeError, struct.error):  # what Pillow expects of its own plugins
                return factory(file, "")
    raise UnidentifiedImageError("cannot identify image file")


def read_image(path: Path, short_px: int | None = None) -> Pixels:
    """Read an image as ``(height, width, 3)`` uint8 RGB, upright, with transparency composited over white.

    Args:
        path: the image file.
        short_px: short side in pixels that suffices; an image of at least twice that is reduced by an integer factor
            while it is read, which saves memory. None keeps the size.

    Raises:
        InputError: the file is missing, is not an image, or is too large.
    """
    try:
        with open_input(path) as data, open_image(data) as file:
            factor = _factor(path, file, short_px)
            file.load()
            pixels = _rgb(file, factor)
            return np.ascontiguousarray(_TURNED.get(file.getexif().get(ORIENTATION, 1), np.asarray)(pixels))
    except FileNotFoundError as error:
        raise InputError(path, "no such file") from error
    except UnidentifiedImageError as error:
        raise InputError(path, "not an image that can be read; use a JPEG or PNG") from error
    except PILLOW_ERRORS as error:
        raise InputError(path, f"the image cannot be read ({reason_of(error)})") from error


def _factor(path: Path, file: Image.Image, short_px: int | None) -> int:
    """Return by how much a file that is not decoded yet is reduced."""
    width, height = file.size
    short = min(file.size)
    if short_px is not None and short >= 2 * short_px:
        file.draft(None, (width * short_px // short, height * short_px // short))  # for JPEG, before it is decoded
    if file.size[0] * file.size[1] > MAX_IMAGE_PIXELS:
        limit = f"the limit of {MAX_IMAGE_PIXELS // 10**6} million pixels"
        raise InputError(path, f"the image of {width}x{height} exceeds {limit}; scale it down")
    return 1 if short_px is None else max(min(file.size) // short_px, 1)


def _rgb(image: Image.Image, factor: int) -> Pixels:
    """Return ``image`` as RGB, reduced by ``factor``: strip by strip, as copies of it would take up to 16 bytes per px.

    Args:
        image: decoded, of any mode.
        factor: of the reduction.
    """
    width, height = image.size
    pixels = np.empty((ceil(height / factor), ceil(width / factor), 3), np.uint8)
    rows = STRIP_ROWS * factor
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        # Not `crop`, to which Pillow's limit applies.
        strip = image.resize((width, bottom - top), Image.Resampling.NEAREST, (0, top, width, bottom))
        strip = _opaque(strip.reduce(factor)) if image.mode in REDUCIBLE_MODES else _opaque(strip).reduce(factor)
        pixels[top // factor : top // factor + strip.height] = np.asarray(strip)
    return pixels


def _opaque(image: Image.Image) -> Image.Image:
    """Return ``image`` as RGB, composited over white."""
    if image.mode.startswith("I"):  # 16-bit grey, which `convert` would clip instead of scale
        grey = (np.asarray(image, np.float64) / 257).round().clip(0, 255).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")


def is_still_image(path: Path) -> bool:
    """Return whether the file is an image that is not animated; a file of other formats may be a video."""
    try:
        with open_input(path) as data, open_image(data) as file:
            return file.format not in ANIMATED_FORMATS or getattr(file, "n_frames", 1) == 1
    except PILLOW_ERRORS:
        return path.suffix.lower() in IMAGE_SUFFIXES  # a damaged image


def check_image_target(
    path: Path, *, overwrite: bool, what: str = "image", endings: Collection[str] = IMAGE_SUFFIXES
) -> None:
    """Check that an image can be written at ``path``, before any work is done for it.

    Args:
        path: the image file to write.
        overwrite: whether an existing file may be replaced.
        what: the kind of image, for the message.
        endings: allowed file name suffixes.

    Raises:
        OutputError: it cannot be written, or exists and may not be replaced.
    """
    if path.suffix.lower() not in endings:
        raise OutputError(path, f"a {what} ends in {', '.join(sorted(endings))}")
    if path.is_dir():
        raise OutputError(path, "is a folder; give a file name")
    if not overwrite and (reason := why_taken(path)):
        raise OutputError(path, reason)
    if not path.absolute().parent.is_dir():
        raise OutputError(path, f"there is no folder {path.parent}; create it first")


def write_image(path: Path, pixels: Pixels) -> None:
    """Write ``(height, width, 3)`` uint8 RGB atomically, in the format of the file name's suffix.

    Raises:
        OutputError: the folder or the suffix does not allow it.
    """
    try:
        format_ = Image.registered_extensions().get(path.suffix.lower())
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, format_ or path.suffix)
        write_atomically(str(path), content.getbuffer())
    except (OSError, ValueError, KeyError) as error:
        raise OutputError(path, f"the image cannot be written ({getattr(error, 'strerror', None) or error})") from error
