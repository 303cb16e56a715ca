"""In the process that may die: a picture becomes a style."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from models.registry import LoadedStyle, to_bytes
from pipeline.errors import InputError
from pipeline.frames import Pixels
from pipeline.media.stills import image_size
from pipeline.media.style_image import is_flat, read_picture
from pipeline.stylize.picture_style import SEEN_PX, style_of_images

MOST_MEGAPIXELS = 128
"""Of a picture: 100 megapixels take 0.9 GB while they are read."""
# Of the picture in the corner of a thumbnail, over the size of that: width and height, border, and place left of it, of
# which the page cuts off some.
INSET_SHARE, BORDER_SHARE, MARGIN_SHARE = (0.4, 0.5), 0.01, 0.08
SMALL_PX = 240
"""Longer side of the picture in the corner."""


class ReadStyle(NamedTuple):
    """What a picture has become.

    Attributes:
        style: predicted.
        weights: its weight file.
        small: the picture, at most `SMALL_PX` wide and high.
        width: of the picture in pixels.
        height: of the picture in pixels.
        note: what to know about it, one line; empty if there is nothing.
    """

    style: LoadedStyle
    weights: bytes
    small: Pixels
    width: int
    height: int
    note: str


def read_style(path: Path, name: str, label: str) -> ReadStyle:
    """Predict the style of a picture, the same as that of ``--style-image``.

    Args:
        path: of the picture.
        name: of its file, for messages.
        label: name of the style.

    Raises:
        InputError: it is no picture that can be read, or is too small or too large.
        StyleError: the weights of the predictor cannot be used.
    """
    width, height = image_size(path)
    if width * height > MOST_MEGAPIXELS * 1_000_000:
        reason = f"{width}x{height} px are more than {MOST_MEGAPIXELS} megapixels; scale the picture down"
        raise InputError(path, reason)
    images = read_picture(path)
    small = [_small(image) for image in images]
    style = style_of_images(images, label)
    weights = to_bytes(style.network, [style.style], [style.metadata], {})
    if (width > height) != (images[0].shape[1] > images[0].shape[0]):  # it was turned upright
        width, height = height, width
    return ReadStyle(style, weights, small[0], width, height, _note(name, min(width, height), is_flat(small)))


def ramp_style() -> LoadedStyle:
    """Return the style of a picture that is always here: the first style takes longer than those that follow.

    Raises:
        StyleError: the weights of the predictor cannot be used.
    """
    ramp = np.linspace(0, 255, SEEN_PX, dtype=np.uint8)
    return style_of_images([np.stack(np.broadcast_arrays(ramp, ramp[:, None], ramp[::-1]), axis=2)], "ramp")


def with_inset(frame: Pixels, small: Pixels) -> Pixels:
    """Return a frame ``(height, width, 3)`` with a picture in its lower left corner."""
    canvas, picture = Image.fromarray(frame), Image.fromarray(small)
    picture.thumbnail((round(INSET_SHARE[0] * canvas.width), round(INSET_SHARE[1] * canvas.height)))
    border = max(round(BORDER_SHARE * canvas.width), 1)
    left, top = round(MARGIN_SHARE * canvas.width), canvas.height - picture.height - 2 * border
    canvas.paste((255, 255, 255), (left - border, top - border, left + picture.width + border, canvas.height - border))
    canvas.paste(picture, (left, top))
    return np.asarray(canvas).copy()


def _small(image: Pixels) -> Pixels:
    picture = Image.fromarray(image)
    picture.thumbnail((SMALL_PX, SMALL_PX))
    return np.asarray(picture)


def _note(name: str, short_px: int, is_plain: bool) -> str:
    """Return what to know about a picture."""
    if is_plain:
        return f"{name}: the picture has one color, so the style is nearly flat; choose another one for strokes"
    if short_px < SEEN_PX:
        return f"{name}: the short side has {short_px} px; a picture of {SEEN_PX} px or more gives finer strokes"
    return ""
