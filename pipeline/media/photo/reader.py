"""Read a picture with all its bits: upright, in sRGB, with transparency and metadata."""

from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from pipeline.errors import InputError, reason_of
from pipeline.frames import Pixels
from pipeline.media.photo.color_profile import ProfileError, is_srgb, to_srgb_8_bits, to_srgb_16_bits
from pipeline.media.photo.deep_samples import DEEP_BYTES, decode_deep
from pipeline.media.photo.metadata import read_metadata
from pipeline.media.photo.photo import Photo
from pipeline.media.pixels.alpha import fill_transparent
from pipeline.media.pixels.colorspace import scaling
from pipeline.media.stills import (
    BITS_PER_SAMPLE,
    ORIENTATION,
    PILLOW_ERRORS,
    RESULT_BYTES,
    STORED_BYTES,
    TURNED,
    blocks,
    check_memory,
    decoding_bytes,
    open_image,
)
from pipeline.notices import Notify
from pipeline.system.files.reading import open_input

# Place of the number of bits in a PNG (ISO/IEC 15948, 11.2.2).
_PNG_BITS = 24
_MOST_BITS = 16
# Pillow modes of grey with more than 8 bits.
_DEEP_GREY = ("I;16", "I;16B", "I;16L", "I;16N", "I")
_NOT_AN_IMAGE = "not a picture that can be read; use a JPEG, PNG, WebP or TIFF"


def read_photo(path: Path, *, height_px: int | None = None, notify: Notify = lambda line: None) -> Photo:
    """Read a picture for the network: an opaque alpha is dropped, and what is transparent becomes mid grey.

    See `read_stored`, and `pipeline.media.pixels.alpha` for the grey.

    Args:
        path: the file.
        height_px: scale to this height, the width follows; None keeps the size.
        notify: called with each notice, one line without the name of the file.

    Raises:
        InputError: the file is missing, is no picture or an animated one, or would take too much memory.
    """
    photo = read_stored(path, notify=notify)
    if photo.alpha is not None:
        is_opaque = photo.alpha.min() == np.iinfo(photo.alpha.dtype).max
        photo = photo.with_pixels(
            photo.pixels if is_opaque else fill_transparent(photo.pixels, photo.alpha),
            None if is_opaque else photo.alpha,
        )
    return photo if height_px in (None, photo.size[1]) else _scaled(photo, height_px or 1)


def read_stored(path: Path, *, notify: Notify = lambda line: None) -> Photo:
    """Read a picture, upright and in sRGB, with the alpha that is stored.

    Args:
        path: the file.
        notify: called with each notice, one line without the name of the file.

    Raises:
        InputError: see `read_photo`.
    """
    try:
        return _read(path, notify)
    except FileNotFoundError as error:
        raise InputError(path, "no such file; check the path") from error
    except UnidentifiedImageError as error:
        raise InputError(path, _NOT_AN_IMAGE) from error
    except PILLOW_ERRORS as error:
        raise InputError(path, f"the picture cannot be read ({reason_of(error)})") from error


def _read(path: Path, notify: Notify) -> Photo:
    with open_input(path) as data, open_image(data) as file:
        frames = getattr(file, "n_frames", 1)
        if frames > 1 and file.format != "TIFF":
            raise InputError(path, "is animated; use flowbrush video")
        if frames > 1:
            notify(f"has {frames} pages; the first one is stylized")
        bits = _bits(file, data)
        if bits > _MOST_BITS:
            raise InputError(path, f"has {bits} bits a sample; save it with {_MOST_BITS}")
        is_deep = bits > 8
        pixels = file.size[0] * file.size[1]
        taken = STORED_BYTES + DEEP_BYTES * is_deep
        check_memory(path, file.size, taken * pixels + max(RESULT_BYTES * pixels, decoding_bytes(file, data)))
        # Pillow turns a TIFF when it decodes it, and its EXIF says so only then.
        turned = TURNED.get(file.getexif().get(ORIENTATION, 1), np.asarray)
        samples = _deep(file, data) if is_deep else None
        if is_deep and samples is None:
            notify("has 16 bits in a form that is not supported; 8 of them are read")
        if samples is not None:
            photo = _of_samples(samples, file, notify)
        else:
            file.load()
            photo = _of_image(file, notify)
            turned = TURNED.get(file.getexif().get(ORIENTATION, 1), np.asarray)
        photo = Photo(photo.pixels, photo.alpha, read_metadata(file, notify))
    alpha = None if photo.alpha is None else np.ascontiguousarray(turned(photo.alpha))
    return photo.with_pixels(np.ascontiguousarray(turned(photo.pixels)), alpha)


def _bits(file: ImageFile.ImageFile, data: IO[bytes]) -> int:
    """Return the bits of a sample."""
    if file.format == "PNG":
        place = data.tell()
        data.seek(_PNG_BITS)
        bits = data.read(1)[0]
        data.seek(place)
        return bits
    bits = getattr(file, "tag_v2", {}).get(BITS_PER_SAMPLE, (8,))
    return int(max(bits if isinstance(bits, tuple) else (bits,)))


def _deep(file: ImageFile.ImageFile, data: IO[bytes]) -> Pixels | None:
    """Return the samples of a picture of 16 bits, ``(height, width, channels)`` uint16; None if they cannot be read."""
    if file.mode in _DEEP_GREY:
        file.load()
        return np.asarray(file, np.int64).clip(0, 65535).astype(np.uint16)[..., None]
    place = data.tell()
    data.seek(0)
    samples = decode_deep(data.read(), str(file.format).lower())
    data.seek(place)
    is_whole = samples is not None and samples.shape[:2] == file.size[::-1]
    return samples if is_whole else None


def _of_samples(samples: Pixels, file: Image.Image, notify: Notify) -> Photo:
    channels = samples.shape[2]
    has_alpha = channels in (2, 4)
    colors = samples[..., : channels - has_alpha]
    pixels = np.ascontiguousarray(np.broadcast_to(colors, (*samples.shape[:2], 3)))
    profile = _profile(file, notify)
    if profile is not None:
        try:
            pixels = to_srgb_16_bits(profile, pixels)
        except ProfileError as error:
            notify(f"its color profile {error}; its colors are taken as sRGB")
    return Photo(pixels, np.ascontiguousarray(samples[..., -1]) if has_alpha else None)


def _of_image(image: Image.Image, notify: Notify) -> Photo:
    """Return a decoded image of 8 bits, part by part, as copies of it would take up to 16 bytes per pixel."""
    has_alpha = image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info
    convert = _conversion(image, notify)
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    alpha: NDArray[np.uint8] | None = np.empty((height, width), np.uint8) if has_alpha else None
    for top, left, block in blocks(image):
        place = slice(top, top + block.height), slice(left, left + block.width)
        if alpha is not None:
            block = block.convert("RGBA")
            alpha[place] = np.asarray(block)[..., 3]
            block = block.convert("RGB")
        pixels[place] = np.asarray(convert(block))
    return Photo(pixels, alpha)


def _conversion(image: Image.Image, notify: Notify) -> Callable[[Image.Image], Image.Image]:
    """Return the function that converts a part of the image without alpha to RGB in sRGB."""
    profile = _profile(image, notify)
    if profile is not None:
        try:
            convert = to_srgb_8_bits(profile)
            convert(Image.new(image.mode if image.mode in ("CMYK", "L") else "RGB", (1, 1)))
        except ProfileError as error:
            notify(f"its color profile {error}; its colors are taken as sRGB")
        else:
            return convert
    if image.mode == "CMYK":
        notify("is CMYK without a color profile that can be used: its colors are approximate")
    return lambda block: block.convert("RGB")


def _profile(image: Image.Image, notify: Notify) -> bytes | None:
    """Return the color profile, if the colors have to be converted."""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not profile:
        return None
    try:
        return None if is_srgb(profile) else profile
    except ProfileError as error:
        notify(f"its color profile {error}; its colors are taken as sRGB")
        return None


def _scaled(photo: Photo, height: int) -> Photo:
    """Return the picture at ``height``, with the width that keeps its proportions."""
    width = max(round(photo.size[0] * height / photo.size[1]), 1)
    alpha = (
        None
        if photo.alpha is None
        else _resized(photo.alpha, width, height, "gray16le" if photo.bits == 16 else "gray")
    )
    return photo.with_pixels(_resized(photo.pixels, width, height, "rgb48le" if photo.bits == 16 else "rgb24"), alpha)


def _resized(samples: Pixels, width: int, height: int, format_: str) -> Pixels:
    frame = VideoFrame.from_ndarray(samples, format=format_)
    resized = frame.reformat(width, height, interpolation=scaling(frame, width, height))
    return np.ascontiguousarray(resized.to_ndarray(), samples.dtype)
