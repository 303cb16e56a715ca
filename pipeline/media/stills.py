"""Still pictures: paintings and photos, read upright as RGB whatever their file holds."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pipeline.errors import InputError, OutputError
from pipeline.frames import Pixels

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
MOVING = frozenset({"GIF", "WEBP"})
LARGEST_PIXELS = 250_000_000
REDUCIBLE = frozenset({"L", "RGB", "RGBA", "CMYK"})


def read_image(path: Path, short_px: int | None = None) -> Pixels:
    """Read a picture as ``(height, width, 3)`` uint8 RGB; turned upright, transparency laid on white.

    Args:
        path: of the file.
        short_px: a short side that suffices; a picture of twice that or more is reduced while it is read, by a whole
            number, which saves memory. None keeps the size.

    Raises:
        InputError: missing, no picture, or too large to be held in memory.
    """
    try:
        with _of_any_size(), Image.open(path) as file:
            upright = ImageOps.exif_transpose(_reduced(path, file, short_px))
            if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
                white = Image.new("RGBA", upright.size, "white")
                upright = Image.alpha_composite(white, upright.convert("RGBA"))
            if upright.mode.startswith("I"):  # 16-bit grey, which `convert` would clip instead of scale
                upright = Image.fromarray((np.asarray(upright, np.float64) / 257).round().clip(0, 255).astype(np.uint8))
            return np.array(upright.convert("RGB"))
    except FileNotFoundError as error:
        raise InputError(path, "no such file") from error
    except UnidentifiedImageError as error:
        raise InputError(path, "not a picture that can be read; use a JPEG or PNG") from error
    except (OSError, EOFError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(path, f"the picture cannot be read ({error})") from error


@contextmanager
def _of_any_size() -> Iterator[None]:
    """Without Pillow's own limit, which the pictures of some phones exceed; `_reduced` has another."""
    usual, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = usual


def _reduced(path: Path, file: Image.Image, short_px: int | None) -> Image.Image:
    width, height = file.size
    short = min(file.size)
    if short_px is not None and short >= 2 * short_px:
        file.draft(None, (width * short_px // short, height * short_px // short))  # JPEG alone, before it is decoded
    if file.size[0] * file.size[1] > LARGEST_PIXELS:
        most = LARGEST_PIXELS // 10**6
        raise InputError(path, f"{width}x{height} px is more than the {most} million that can be read; scale it down")
    factor = 1 if short_px is None else min(file.size) // short_px
    return file.reduce(factor) if factor > 1 and file.mode in REDUCIBLE else file


def is_still_image(path: Path) -> bool:
    """Whether the file at ``path`` is a picture that does not move; one that is no picture may be a clip."""
    try:
        with _of_any_size(), Image.open(path) as file:
            return file.format not in MOVING or getattr(file, "n_frames", 1) == 1
    except (OSError, EOFError, SyntaxError, ValueError):
        return path.suffix.lower() in IMAGE_SUFFIXES  # a picture, though a broken one


def check_image_target(
    path: Path, *, overwrite: bool, what: str = "picture", endings: Collection[str] = IMAGE_SUFFIXES
) -> None:
    """Find out whether a picture can be written at ``path`` before any work is done for it.

    Args:
        path: where.
        overwrite: whether a file that is there may be replaced.
        what: it is called in the message.
        endings: that it may have.

    Raises:
        OutputError: it cannot, or something is there that may not be replaced.
    """
    if path.suffix.lower() not in endings:
        raise OutputError(path, f"a {what} ends in {', '.join(sorted(endings))}")
    if path.is_dir():
        raise OutputError(path, "is a folder; give the name of a file")
    if path.exists() and not overwrite:
        raise OutputError(path, "exists already; give another name or --overwrite")
    if not path.absolute().parent.is_dir():
        raise OutputError(path, f"there is no folder {path.parent}; create it first")


def write_image(path: Path, pixels: Pixels) -> None:
    """Write ``(height, width, 3)`` uint8 RGB, whole or not at all, in the format that the ending of ``path`` names.

    Raises:
        OutputError: the folder or the ending does not allow it.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        format_ = Image.registered_extensions().get(path.suffix.lower())
        Image.fromarray(pixels).save(part, format_ or path.suffix)
        part.replace(path)
    except (OSError, ValueError, KeyError) as error:
        raise OutputError(path, f"the picture cannot be written ({error})") from error
    finally:
        with suppress(OSError):
            part.unlink()
