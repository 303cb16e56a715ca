"""Still pictures: paintings and photos, read upright as RGB whatever their file holds."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pipeline.errors import InputError, OutputError
from pipeline.frames import Pixels

ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})


def read_picture(path: Path) -> Pixels:
    """Read a picture as ``(height, width, 3)`` uint8 RGB; turned upright, transparency laid on white.

    Raises:
        InputError: missing, or no picture.
    """
    try:
        with Image.open(path) as file:
            upright = ImageOps.exif_transpose(file)
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


def find_pictures(folder: Path) -> list[Path]:
    """All pictures below ``folder``, sorted; the picture itself if it is one.

    Raises:
        InputError: nothing there, or no picture in it.
    """
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise InputError(folder, "no such folder")
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in ENDINGS and p.is_file())
    if not found:
        raise InputError(folder, f"no pictures in it ({', '.join(sorted(ENDINGS))})")
    return found


def write_picture(path: Path, pixels: Pixels) -> None:
    """Write ``(height, width, 3)`` uint8 RGB in the format that the ending of ``path`` names.

    Raises:
        OutputError: the folder or the ending does not allow it.
    """
    try:
        Image.fromarray(pixels).save(path)
    except (OSError, ValueError) as error:
        raise OutputError(path, f"the picture cannot be written ({error})") from error
