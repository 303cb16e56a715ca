"""Metadata of pictures: EXIF and XMP are kept, except for what is no longer true."""

import re
from contextlib import suppress

from PIL import Image

from pipeline.media.photo.photo import PhotoMetadata
from pipeline.media.stills import PILLOW_ERRORS
from pipeline.notices import Notify

# Tags of EXIF: of the first folder, and in the folder of the camera.
PROCESSING_SOFTWARE, CAMERA_FOLDER = 0x000B, 0x8769
COLOR_SPACE, WIDTH_PX, HEIGHT_PX = 0xA001, 0xA002, 0xA003
SRGB = 1
# What describes the samples of a TIFF, not the picture: size, layout, orientation, compression, strips and tiles,
# resolution, profile, XMP (TIFF 6.0).
_OF_SAMPLES = frozenset(
    {*range(254, 260), 262, 266, *range(273, 285), 292, 293, 296, *range(317, 321), *range(322, 326), 330, 332}
    | {*range(338, 342), 347, *range(512, 522), *range(529, 533), 700, 34675}
)
# XMP says the orientation as well, as an attribute or as an element.
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|>)\s*)[2-8]")


def read_metadata(image: Image.Image, notify: Notify) -> PhotoMetadata:
    """Return the metadata of an opened image, as it holds for the upright picture."""
    exif: bytes | None = None
    try:
        exif = _upright(image.getexif())
    except PILLOW_ERRORS:
        notify("its EXIF is damaged and is not kept")
    info = image.info
    xmp = info.get("xmp") or getattr(image, "tag_v2", {}).get(700)
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    return PhotoMetadata(
        exif=exif,
        xmp=_XMP_ORIENTATION.sub(rb"\g<1>1", xmp) if isinstance(xmp, bytes) and xmp else None,
        dpi=_dpi(info.get("dpi")),
        has_profile=bool(info.get("icc_profile")),
    )


def written_exif(metadata: PhotoMetadata, size: tuple[int, int], software: str | None) -> Image.Exif:
    """Return the EXIF to store in a picture; may be empty.

    Args:
        metadata: of the picture.
        size: its width and height in pixels.
        software: what to name as the software that processed the picture; None for nothing.
    """
    exif = Image.Exif()
    if metadata.exif:
        exif.load(metadata.exif)
    if software:
        exif[PROCESSING_SOFTWARE] = software
    if CAMERA_FOLDER in exif:
        camera = exif.get_ifd(CAMERA_FOLDER)
        camera.update({COLOR_SPACE: SRGB} if COLOR_SPACE in camera or metadata.has_profile else {})
        camera.update({tag: px for tag, px in zip((WIDTH_PX, HEIGHT_PX), size, strict=True) if tag in camera})
    return exif


def _upright(exif: Image.Exif) -> bytes | None:
    """Return EXIF without orientation and without what describes the samples; None if nothing is left."""
    for tag in [tag for tag in exif if tag in _OF_SAMPLES]:
        del exif[tag]
    return exif.tobytes() if len(exif) else None


def _dpi(value: object) -> tuple[float, float] | None:
    with suppress(TypeError, ValueError, OverflowError, ZeroDivisionError):
        across, down = (float(number) for number in value)  # type: ignore[attr-defined]
        if 1 <= across <= 1e5 and 1 <= down <= 1e5:
            return across, down
    return None
