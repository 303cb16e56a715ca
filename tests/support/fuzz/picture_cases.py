"""Cases that read pictures of all kinds, healthy and broken, some with another name: arrays, or one of our errors."""

import io
import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.decode.masks.mask import Mask
from pipeline.errors import InputError
from pipeline.media.photo.reader import read_photo
from pipeline.media.photo.writer import write_photo
from pipeline.media.stills import is_still_image, read_image
from tests.support.fuzz.mutations import MUTATIONS

# What is a picture for us, and what Pillow or FFmpeg read as well. The last of them start other programs, or read other
# files.
ALLOWED = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
OTHERS = ("PPM", "TGA", "ICO", "PCX", "SGI", "DDS", "JPEG2000")
SUFFIXES = (".jpg", ".png", ".webp", ".bmp", ".tif", ".gif", ".eps", ".jpeg", "")
MODES = ("RGB", "L", "RGBA", "P", "LA", "CMYK", "I;16", "1", "F")
PHOTO_SUFFIXES = (".jpg", ".png", ".webp", ".tif")
SIDES_PX = (1, 2, 3, 16, 33, 70)
SCRIPTS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 30\n%%EndComments\n(GHOST) (w) file closefile\nshowpage\n%%EOF\n",
    b"\xc5\xd0\xd3\xc6\x20\0\0\0\x80\0\0\0"
    + bytes(20)
    + b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 30\nshowpage\n%%EOF\n",
    b"<svg xmlns='http://www.w3.org/2000/svg' width='40' height='30'><image href='/etc/passwd'/></svg>",
    b"ffconcat version 1.0\nfile keep.txt\n",
    b'/* XPM */\nstatic char *x[] = {"2 2 1 1","a c red","aa","aa"};',
    b"push graphic-context\nviewbox 0 0 64 48\nfill 'url(https://127.0.0.1/x\"|touch GHOST\")'\npop graphic-context\n",
)
MOST_PIXELS = 2**22


def picture_case(chance: random.Random, folder: Path) -> str:
    """Read a picture as a style, as a photo and as a mask; return the outcome, or what is wrong."""
    words, data = _picture(chance)
    for _ in range(chance.choice((0, 0, 1, 1, 3))):
        if data:
            changed = bytearray(data)
            chance.choice(MUTATIONS)(changed, chance, [Path(__file__)])
            data = bytes(changed)
            words += ", mutated"
    path = folder / f"picture{chance.choice(SUFFIXES)}"
    path.write_bytes(data)
    spy = _Spy(folder)
    outcome = "picture"
    faults = []
    try:
        if (way := chance.random()) < 0.3:
            faults += _photo_faults(path, folder / f"photo{chance.choice(PHOTO_SUFFIXES)}")
        elif way < 0.65:
            faults += _array_faults(read_image(path, chance.choice((None, 8, 64))))
        else:
            is_still_image(path)
            with Mask(path, width=32, height=24) as mask:
                amount = mask.at(0)  # type: ignore[arg-type]
                if amount.shape != (24, 32, 1) or not (0 <= float(amount.min()) <= float(amount.max()) <= 1):
                    faults.append(f"a mask of {amount.shape}, {amount.min()} to {amount.max()}")
    except InputError as error:
        outcome = "picture, InputError"
        if "\n" in str(error).replace(str(folder), ""):
            faults.append(f"two lines: {error!r}")
    faults += spy.report()
    return f"BUG: {'; '.join(faults)} ({words} as {path.name})" if faults else outcome


def _photo_faults(path: Path, target: Path) -> list[str]:
    """Read a picture with all that its file has, write it in another format, and read that."""
    photo = read_photo(path)
    write_photo(target, photo, software="fuzz")
    again = read_photo(target)
    return [] if again.size == photo.size else [f"a picture of {photo.size} became one of {again.size}"]


def _array_faults(pixels: np.ndarray) -> list[str]:
    is_right = pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8 and pixels.size > 0
    return [] if is_right else [f"an array {pixels.shape} {pixels.dtype}"]


def _picture(chance: random.Random) -> tuple[str, bytes]:
    if chance.random() < 0.2:
        number = chance.randrange(len(SCRIPTS))
        return f"script {number}", SCRIPTS[number]
    form, mode = chance.choice(ALLOWED * 3 + OTHERS), chance.choice(MODES)
    size = chance.choice(SIDES_PX), chance.choice(SIDES_PX)
    values = np.random.default_rng(chance.randrange(2**32)).integers(0, 256, (size[1], size[0], 3), np.uint8)
    image = Image.fromarray(values)
    file = io.BytesIO()
    try:
        exif = Image.Exif()
        exif[0x0112] = chance.choice((1, 1, 3, 6, 8, 0, 99))
        options = {"exif": exif} if form in ("JPEG", "PNG", "WEBP", "TIFF") else {}
        converted = Image.fromarray(values[..., 0].astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
        more = [image.convert("RGB")] * 2 if form in ("GIF", "WEBP", "TIFF", "PNG") and chance.random() < 0.2 else []
        converted.save(file, form, **options, **({"save_all": True, "append_images": more} if more else {}))
    except (OSError, ValueError, KeyError):  # a mode that the format does not have
        file = io.BytesIO()
        mode = "RGB"
        image.save(file, "PNG")
    return f"{form} {mode} {size}", file.getvalue()


class _Spy:
    """Notices if a picture starts another program: programs of these names lie in the path, and leave a trace."""

    NAMES = ("gs", "gswin64c", "djpeg", "netpbm", "convert", "magick", "sh")

    def __init__(self, folder: Path) -> None:
        self._trace = folder / "started"
        self._folder = folder / "bin"
        self._folder.mkdir()
        for name in self.NAMES[:-1]:
            program = self._folder / name
            program.write_text(f"#!/bin/sh\necho {name} >> '{self._trace}'\n")
            program.chmod(0o755)
        self._path = os.environ.get("PATH", "")
        os.environ["PATH"] = f"{self._folder}:{self._path}"
        _forget_ghostscript()

    def report(self) -> list[str]:
        """Return what was started."""
        os.environ["PATH"] = self._path
        return [f"a picture started {self._trace.read_text().split()}"] if self._trace.exists() else []


def _forget_ghostscript() -> None:
    """Pillow looks for Ghostscript once; have it look again."""
    from PIL import EpsImagePlugin

    EpsImagePlugin.gs_binary = None


PictureCase = Callable[[random.Random, Path], str]
