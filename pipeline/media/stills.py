"""Still images: read upright as RGB, and written atomically."""

import ctypes
import io
import os
import struct
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from itertools import product
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

from pipeline.config.style_spec import PICTURE_SUFFIXES
from pipeline.errors import InputError, OutputError, reason_of
from pipeline.frames import Pixels
from pipeline.system.files.atomic import write_atomically
from pipeline.system.files.names import why_taken
from pipeline.system.files.reading import open_input

IMAGE_SUFFIXES = PICTURE_SUFFIXES
# The only formats that are read, by Pillow's name. Others start programs (EPS: Ghostscript) or are rarely tested.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
PREFIX_BYTES = 16
# Formats that can be animated.
ANIMATED_FORMATS = frozenset({"GIF", "WEBP"})
# Memory that an image may take while it is read: 250 million pixels, unless its format takes more than most.
MAX_IMAGE_BYTES = 9 * 250_000_000
# Bytes for each pixel: as Pillow stores it at most; then for the result, once more while it is turned.
STORED_BYTES, RESULT_BYTES = 4, 5
# Pillow reads a WebP as a whole when it opens it.
MAX_WEBP_FILE_BYTES = 2**30
# The canvas of libwebp, and the frame before; a copy as bytes.
WEBP_BYTES = 12
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
# Width and height of the part of an image that is converted at once.
BLOCK_PX = 4096, 32
# Markers of JPEG (ITU-T T.81, B.1.1.3): the start of a scan, and those that nothing follows, not even a length.
START_OF_SCAN = 0xDA
BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xDA)})
# Fields of TIFF.
TILE_WIDTH, TILE_LENGTH, ROWS_PER_STRIP, SAMPLES_PER_PIXEL, BITS_PER_SAMPLE = 322, 323, 278, 277, 258
# How pixels are turned upright, by the orientation in EXIF (CIPA DC-008, 4.6.5).
ORIENTATION = 0x0112
TURNED: dict[int, Callable[[Pixels], Pixels]] = {
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
            if name == "WEBP" and file.seek(0, os.SEEK_END) > MAX_WEBP_FILE_BYTES:
                raise OSError(
                    f"a WebP of {file.tell() / 2**30:.1f} GiB; {MAX_WEBP_FILE_BYTES // 2**30} GiB is the limit"
                )
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
        InputError: the file is missing, is not an image, or would take more memory than `MAX_IMAGE_BYTES`.
    """
    with _image_errors(path):
        pixels, turned = _decoded(path, short_px)
    return np.ascontiguousarray(turned(pixels))


def image_size(path: Path) -> tuple[int, int]:
    """Return width and height of an image in pixels, as stored; only its header is read.

    Raises:
        InputError: the file is missing, or is not an image.
    """
    with _image_errors(path), open_input(path) as data, open_image(data) as file:
        return file.size


@contextmanager
def _image_errors(path: Path) -> Iterator[None]:
    """Map what Pillow raises to `InputError` within this context."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(path, "no such file") from error
    except UnidentifiedImageError as error:
        raise InputError(path, "not an image that can be read; use a JPEG or PNG") from error
    except PILLOW_ERRORS as error:
        raise InputError(path, f"the image cannot be read ({reason_of(error)})") from error


def _decoded(path: Path, short_px: int | None) -> tuple[Pixels, Callable[[Pixels], Pixels]]:
    """Return the pixels, and how they are turned upright: only then, when Pillow's are no longer in memory."""
    with open_input(path) as data, open_image(data) as file:
        size, decoding = file.size, decoding_bytes(file, data)
        if short_px is not None and min(size) >= 2 * short_px:  # JPEG is reduced before it is decoded
            file.draft(None, (size[0] * short_px // min(size), size[1] * short_px // min(size)))
        pixels = file.size[0] * file.size[1]
        check_memory(path, size, STORED_BYTES * pixels + max(RESULT_BYTES * pixels, decoding))
        file.load()
        factor = 1 if short_px is None else max(min(file.size) // short_px, 1)
        return _rgb(file, factor), TURNED.get(file.getexif().get(ORIENTATION, 1), np.asarray)


def check_memory(path: Path, size: tuple[int, int], needed: int) -> None:
    """Check that an image may be read.

    Args:
        path: the image file.
        size: its width and height in pixels.
        needed: bytes of memory that reading it takes at most.

    Raises:
        InputError: that is more than `MAX_IMAGE_BYTES`.
    """
    if needed > MAX_IMAGE_BYTES:
        takes = f"the image of {size[0]}x{size[1]} would take {needed / 1e9:.2f} GB of memory"
        raise InputError(path, f"{takes}, more than {MAX_IMAGE_BYTES / 1e9:.2f} GB; scale it down")


def decoding_bytes(file: Image.Image, data: IO[bytes]) -> int:
    """Return how much memory decoding takes at most besides the pixels that Pillow stores.

    Args:
        file: not decoded yet.
        data: of the file.
    """
    pixels = file.size[0] * file.size[1]
    if isinstance(file, WebPImagePlugin.WebPImageFile):
        return WEBP_BYTES * pixels + os.fstat(data.fileno()).st_size
    if isinstance(file, JpegImagePlugin.JpegImageFile):
        # Several scans refine one picture: libjpeg keeps coefficients of 16 bits until the last one.
        has_scans = "progressive" in file.info or _components_of_first_scan(data) < file.layers
        return 2 * file.layers * pixels if has_scans else 0
    if isinstance(file, TiffImagePlugin.TiffImageFile):
        # libtiff decodes a strip or tile at once, some codecs in two steps.
        tags, (width, height) = file.tag_v2, file.size
        block = tags.get(TILE_WIDTH, width) * tags.get(TILE_LENGTH, min(tags.get(ROWS_PER_STRIP, height), height))
        bits = max(32, tags.get(SAMPLES_PER_PIXEL, 1) * max(tags.get(BITS_PER_SAMPLE, (1,))))
        return int(2 * block * bits // 8)
    return 0


def _components_of_first_scan(data: IO[bytes]) -> int:
    """Return how many colors the first scan of a JPEG has, 0 if there is no scan."""
    before, place = b"", data.tell()
    data.seek(2)
    try:
        while byte := data.read(1):
            if before == b"\xff" and byte not in b"\0\xff" and byte[0] not in BARE_MARKERS:
                length = int.from_bytes(data.read(2))
                if byte[0] == START_OF_SCAN:
                    return int.from_bytes(data.read(1))
                data.seek(max(length - 2, 0), os.SEEK_CUR)
                byte = b""
            before = byte
        return 0
    finally:
        data.seek(place)


def _rgb(image: Image.Image, factor: int) -> Pixels:
    """Return ``image`` as RGB, reduced by ``factor``: part by part, as copies of it would take up to 16 bytes per px.

    Args:
        image: decoded, of any mode.
        factor: of the reduction.
    """
    width, height = image.size
    pixels = np.empty((ceil(height / factor), ceil(width / factor), 3), np.uint8)
    for top, left, block in blocks(image, factor):
        block = _opaque(block.reduce(factor)) if image.mode in REDUCIBLE_MODES else _opaque(block).reduce(factor)
        rows, columns = top // factor, left // factor
        pixels[rows : rows + block.height, columns : columns + block.width] = np.asarray(block)
    return pixels


def blocks(image: Image.Image, factor: int = 1) -> Iterator[tuple[int, int, Image.Image]]:
    """Yield the parts of a decoded image, each with its top and its left in pixels.

    Args:
        image: of any mode, which the parts have too.
        factor: top and left are multiples of it.
    """
    width, height = image.size
    across, down = (max(px // factor, 1) * factor for px in BLOCK_PX)
    for top, left in product(range(0, height, down), range(0, width, across)):
        box = left, top, min(left + across, width), min(top + down, height)
        # Not `crop`, to which Pillow's limit applies.
        yield top, left, image.resize((box[2] - left, box[3] - top), Image.Resampling.NEAREST, box)


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
