"""Style images as training sees them: still images, or frames of a clip whose style is averaged."""

from pathlib import Path

from pipeline.errors import InputError
from pipeline.frames import Pixels
from pipeline.media.stills import is_still_image
from pipeline.media.style_image import SUFFICIENT_PX, crops, read_picture

CLIP_FRAMES = 6


def read_style_image(path: Path) -> list[Pixels]:
    """Read a style image: ``(height, width, 3)`` uint8 each, all of one size.

    One image; several frames of a clip; several crops of a very long image, such as a scroll.

    Raises:
        InputError: neither an image nor a clip that can be read, or smaller than 64 px.
    """
    if path.is_dir() or not path.exists() or is_still_image(path):
        return read_picture(path)
    frames = _clip_frames(path)
    first = crops(path, frames[0])
    return first if len(first) > 1 else frames


def _clip_frames(path: Path) -> list[Pixels]:
    from pipeline.decode.sampling import moments  # PyAV, which photos do not need

    try:
        return [moment.first for moment in moments(path, CLIP_FRAMES, smallest_px=1, largest_px=SUFFICIENT_PX)]
    except InputError as error:
        reason = "neither an image nor a video that can be read; use a JPEG, a PNG or an MP4"
        raise InputError(path, reason) from error
