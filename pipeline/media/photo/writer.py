"""Write a picture as JPEG, PNG, WebP or TIFF, with bits, transparency and metadata as far as the format has them."""

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from pipeline.errors import OutputError
from pipeline.frames import in_8_bits
from pipeline.media.photo.color_profile import srgb_profile
from pipeline.media.photo.deep_samples import encode_deep_png
from pipeline.media.photo.metadata import written_exif
from pipeline.media.photo.photo import Photo
from pipeline.media.photo.tiff import encode_tiff
from pipeline.media.pixels.alpha import composite
from pipeline.notices import Notify
from pipeline.system.files.atomic import write_atomically

FORMAT_OF_SUFFIX = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".webp": "webp", ".tif": "tiff", ".tiff": "tiff"}
SUFFIX_OF_FORMAT = {"jpeg": ".jpg", "png": ".png", "webp": ".webp", "tiff": ".tif"}
LARGEST_SIDE_PX = {"jpeg": 65_500, "webp": 16_383}
QUALITY = 95
# Quality of JPEG from which on color keeps its full resolution.
FULL_COLOR_QUALITY = 90
# A segment of JPEG with EXIF or XMP has two bytes for its length (ITU-T T.81, B.1.1.4).
_LARGEST_SEGMENT = 65_500
_XMP_KEYWORD = "XML:com.adobe.xmp"
_WHITE = 255
_INCHES_PER_METER = 39.3701


def check_format(path: Path, size: tuple[int, int]) -> None:
    """Check that a picture of this size fits into the format of the file ``path``.

    Raises:
        OutputError: it does not.
    """
    limit = LARGEST_SIDE_PX.get(format_ := FORMAT_OF_SUFFIX[path.suffix.lower()])
    if limit is not None and max(size) > limit:
        held = {"jpeg": "a JPEG", "webp": "a WebP"}[format_]
        raise OutputError(path, f"{held} holds {limit} px a side, the picture is {size[0]}x{size[1]}; use PNG or TIFF")


def write_photo(
    path: Path,
    photo: Photo,
    *,
    quality: int = QUALITY,
    software: str | None = None,
    overwrite: bool = False,
    notify: Notify = lambda line: None,
) -> None:
    """Write a picture; the file appears complete or not at all.

    Args:
        path: the file; its suffix chooses the format.
        photo: the picture. JPEG and WebP have 8 bits; a JPEG has no transparency and shows the picture over white.
        quality: of JPEG and WebP, 1 to 100; a WebP of 100 is exact.
        software: what to name in the metadata as the software that processed the picture; None for nothing.
        overwrite: whether to replace an existing file.
        notify: called with each notice, one line without the name of the file.

    Raises:
        OutputError: the file cannot be written, or exists already.
    """
    format_ = FORMAT_OF_SUFFIX[path.suffix.lower()]
    check_format(path, photo.size)
    try:
        if format_ == "png" and photo.bits == 16:
            pieces = list(_with_chunks(encode_deep_png(photo.pixels, photo.alpha), _chunks(photo, software)))
        elif format_ == "tiff":
            pieces = _tiff(photo, software)
        else:
            pieces = [_encoded(photo, format_, quality, software, notify)]
        write_atomically(str(path), pieces, may_replace=overwrite)
    except FileExistsError as error:
        raise OutputError(path, "exists already; give another name or --overwrite") from error
    except (OSError, ValueError, struct.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(path, f"the picture cannot be written ({reason})") from error


def _tiff(photo: Photo, software: str | None) -> list[bytes]:
    metadata = photo.metadata
    return encode_tiff(
        photo.pixels,
        photo.alpha,
        exif=written_exif(metadata, photo.size, software),
        xmp=metadata.xmp,
        profile=srgb_profile() if metadata.has_profile else None,
        dpi=metadata.dpi,
    )


def _encoded(photo: Photo, format_: str, quality: int, software: str | None, notify: Notify) -> bytes:
    """Return the file of a picture with 8 bits."""
    metadata = photo.metadata
    pixels, alpha = in_8_bits(photo.pixels), None if photo.alpha is None else in_8_bits(photo.alpha)
    if alpha is not None and format_ == "jpeg":
        notify("a JPEG has no transparency: the picture is shown over white")
        pixels, alpha = composite(pixels, alpha, _WHITE), None
    options: dict[str, object] = {"exif": written_exif(metadata, photo.size, software).tobytes()}
    if metadata.has_profile:
        options["icc_profile"] = srgb_profile()
    if metadata.dpi is not None:
        options["dpi"] = metadata.dpi
    if format_ == "jpeg":
        options |= {"quality": quality, "subsampling": 0 if quality >= FULL_COLOR_QUALITY else 2}
        _drop_large(options, metadata.xmp, notify)
    elif format_ == "webp":
        options |= {"quality": quality, "lossless": quality == 100, "exact": True, "xmp": metadata.xmp or b""}
    elif metadata.xmp:
        text = PngImagePlugin.PngInfo()
        text.add_itxt(_XMP_KEYWORD, metadata.xmp.decode("utf-8", "replace"))
        options["pnginfo"] = text
    file = io.BytesIO()
    Image.fromarray(pixels if alpha is None else np.dstack((pixels, alpha))).save(file, format_.upper(), **options)
    return file.getvalue()


def _drop_large(options: dict[str, object], xmp: bytes | None, notify: Notify) -> None:
    """Add XMP to the options of a JPEG, and leave out what is too long for it."""
    exif = options["exif"]
    if isinstance(exif, bytes) and len(exif) > _LARGEST_SEGMENT:
        notify("its EXIF is too long for a JPEG and is not kept")
        del options["exif"]
    if xmp and len(xmp) > _LARGEST_SEGMENT:
        notify("its XMP is too long for a JPEG and is not kept")
    elif xmp:
        options["xmp"] = xmp


def _chunks(photo: Photo, software: str | None) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of the chunks of a PNG that hold metadata (ISO/IEC 15948, 11.3)."""
    metadata = photo.metadata
    if metadata.has_profile:
        yield b"iCCP", b"sRGB\0\0" + zlib.compress(srgb_profile())
    if metadata.dpi is not None:
        across, down = (round(dpi * _INCHES_PER_METER) for dpi in metadata.dpi)
        yield b"pHYs", struct.pack(">IIB", across, down, 1)
    exif = written_exif(metadata, photo.size, software)
    if len(exif):
        yield b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")
    if metadata.xmp:
        yield b"iTXt", _XMP_KEYWORD.encode() + b"\0\0\0\0\0" + metadata.xmp


def _with_chunks(png: bytes, chunks: Iterator[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """Yield the pieces of a PNG with only its header and its pixels, and ``chunks`` between them."""
    yield png[:8]
    place = 8
    while place < len(png):
        length, kind = struct.unpack_from(">I4s", png, place)
        if kind in (b"IHDR", b"IDAT", b"IEND"):
            yield png[place : place + 12 + length]
        if kind == b"IHDR":
            for own, content in chunks:
                yield struct.pack(">I", len(content)) + own + content + struct.pack(">I", zlib.crc32(own + content))
        place += 12 + length
