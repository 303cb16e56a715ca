"""From the color profile (ICC) of a picture to sRGB.

8 bits are converted by littleCMS. Pillow hands no more to it, so 16 bits are converted by the definition of a matrix
profile: ICC.1:2022, 10.6 curveType, 10.18 parametricCurveType, F.3.
"""

import io
import struct
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from pipeline.frames import Pixels

# Pillow modes that littleCMS reads, by the color space of the profile; other modes are converted to the first.
_MODES = {"RGB": ("RGB",), "GRAY": ("L",), "CMYK": ("CMYK",)}
_SRGB_NAMES = ("sRGB IEC61966", "sRGB built-in", "sRGB")
_ERRORS = (ImageCms.PyCMSError, OSError, ValueError, TypeError, KeyError, IndexError, struct.error)
# Rows converted at a time.
_ROWS = 64
_WHITE = 65535
_DATE_PLACE = 24

Linear = NDArray[np.float32]


class ProfileError(ValueError):
    """A color profile cannot be used; the message says why."""


def is_srgb(profile: bytes) -> bool:
    """Return whether a profile names itself sRGB: its colors are left as they are.

    Raises:
        ProfileError: it cannot be read.
    """
    try:
        name = ImageCms.getProfileDescription(_opened(profile)).strip()
    except _ERRORS as error:
        raise ProfileError("is damaged") from error
    return any(name == each or (name.startswith(each) and " " in each) for each in _SRGB_NAMES)


def to_srgb_8_bits(profile: bytes) -> Callable[[Image.Image], Image.Image]:
    """Return a function that converts an image of 8 bits without alpha to RGB in sRGB.

    Raises:
        ProfileError: the profile cannot be used.
    """
    try:
        opened = _opened(profile)
        mode = _MODES[opened.profile.xcolor_space.strip()][0]
        transform = ImageCms.buildTransform(
            opened,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except _ERRORS as error:
        raise ProfileError("is damaged, or of a kind that is not supported") from error

    def convert(image: Image.Image) -> Image.Image:
        if (image.mode == "CMYK") != (mode == "CMYK"):
            raise ProfileError(f"is for {mode}, the picture is {image.mode}")
        converted = ImageCms.applyTransform(image if image.mode == mode else image.convert(mode), transform)
        assert converted is not None  # noqa: S101 - it is None only if it converts in place
        return converted

    return convert


def to_srgb_16_bits(profile: bytes, pixels: Pixels) -> Pixels:
    """Return ``pixels`` ``(height, width, 3)`` uint16 in sRGB.

    Args:
        profile: of RGB as a matrix and three curves, or of grey as a curve.
        pixels: of three channels, which are equal if the profile is one of grey.

    Raises:
        ProfileError: the profile is of another kind, or is damaged.
    """
    try:
        matrix, curves = _matrix_and_curves(profile)
    except _ERRORS as error:
        raise ProfileError("cannot be applied to 16 bits, as it is no matrix profile") from error
    own, _ = _matrix_and_curves(_srgb())
    to_srgb = (np.linalg.inv(own) @ matrix).astype(np.float32)
    result = np.empty_like(pixels)
    for top in range(0, len(pixels), _ROWS):
        band = pixels[top : top + _ROWS]
        linear = np.stack([curve[band[..., place]] for place, curve in enumerate(curves)], axis=-1)
        result[top : top + _ROWS] = np.rint(_encoded((linear @ to_srgb.T).clip(0, 1)) * _WHITE)
    return result


def srgb_profile() -> bytes:
    """Return a profile of sRGB, to be stored in a picture."""
    return _srgb()


@cache
def _srgb() -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # littleCMS stores when it made the profile: the same picture would become another file each day.
    return profile[:_DATE_PLACE] + struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + profile[_DATE_PLACE + 12 :]


def _opened(profile: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(io.BytesIO(profile))


def _encoded(linear: Linear) -> Linear:
    """Apply the transfer function of sRGB (IEC 61966-2-1)."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.power(linear, 1 / 2.4, dtype=np.float32) - 0.055)


def _matrix_and_curves(profile: bytes) -> tuple[NDArray[np.float64], list[Linear]]:
    """Return the matrix from linear RGB to XYZ (D50), and the value of each of the 65536 levels of each channel."""
    tags = _tags(profile)
    if profile[16:20] == b"GRAY":
        white, _ = _matrix_and_curves(_srgb())
        return white, 3 * [_curve(tags[b"kTRC"])]
    columns = [_xyz(tags[name]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    if b"A2B0" in tags or profile[16:20] != b"RGB ":
        raise ValueError("it has a table")
    return np.array(columns).T, [_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")]


def _tags(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, 128)
    if count > 200:
        raise ValueError("too many tags")
    entries = [struct.unpack_from(">4sII", profile, 132 + 12 * index) for index in range(count)]
    return {name: profile[start : start + size] for name, start, size in entries}


def _xyz(tag: bytes) -> list[float]:
    return [value / 65536 for value in struct.unpack_from(">3i", tag, 8)]


def _curve(tag: bytes) -> Linear:
    """Return the linear value of each of the 65536 levels."""
    levels = np.linspace(0, 1, _WHITE + 1)
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            return levels.astype(np.float32)
        stored = np.frombuffer(tag, ">u2", count, 12)
        if count == 1:
            return np.asarray(levels ** (stored[0] / 256), np.float32)
        return np.interp(levels, np.linspace(0, 1, count), stored / _WHITE).astype(np.float32)
    if tag[:4] != b"para":
        raise ValueError("an unknown curve")
    (kind,) = struct.unpack_from(">H", tag, 8)
    numbers = [value / 65536 for value in struct.unpack_from(f">{(1, 3, 4, 5, 7)[kind]}i", tag, 12)]
    return _parametric(kind, numbers, levels).clip(0, 1).astype(np.float32)


def _parametric(kind: int, numbers: list[float], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evaluate a parametricCurveType: a power from a threshold on, below it a line or a constant."""
    g, a, b, c, d, e, f = numbers + (7 - len(numbers)) * [0.0]
    if kind == 0:
        return np.asarray(x**g)
    power = np.power((a * x + b).clip(0), g)
    if kind in (1, 2):
        return np.where(x >= -b / a, power + c, c)
    return np.where(x >= d, power + e, c * x + f)
