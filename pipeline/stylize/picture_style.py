"""The style of a picture, predicted without training; see `models.predictor`."""

import hashlib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from models.registry import LoadedStyle, StyleMetadata, WeightsError
from pipeline.errors import StyleError
from pipeline.media.style_image import at_size, read_picture
from pipeline.style_spec import style_name
from pipeline.system.files import open_input

if TYPE_CHECKING:
    from models.predictor.file import LoadedPredictor

SEEN_PX = 400
"""Short side at which the predictor sees a picture: what it was trained for. A smaller picture is not enlarged."""


@dataclass(frozen=True, slots=True)
class Dials:
    """How a style is predicted from a picture.

    Attributes:
        paint: how much the style counts against the content, 1 as usual.
        stillness: how much stability counts, 1 as usual.
    """

    paint: float = 1.0
    stillness: float = 1.0


def predict_style(path: Path, dials: Dials | None = None, predictor: Path | None = None) -> LoadedStyle:
    """Return the style of the picture at ``path``.

    Args:
        path: an image.
        dials: how to predict.
        predictor: weights; None takes the bundled ones.

    Raises:
        InputError: the picture cannot be read, or is too small.
        StyleError: the weights of the predictor cannot be used.
        ValueError: a dial is out of range.
    """
    dials = dials or Dials()
    images = read_picture(path)
    short_px = min(SEEN_PX, *images[0].shape[:2])
    loaded = _load(predictor)
    predicted = loaded.predictor.predict(
        at_size(images, short_px), paint=dials.paint, stillness=dials.stillness, name=style_name(path) or "picture"
    )
    return replace(predicted, metadata=replace(predicted.metadata, painting_px=short_px))


def picture_metadata(path: Path) -> StyleMetadata:
    """Return the metadata of the style of a picture; reads nothing."""
    return StyleMetadata(style_name(path) or "picture")


def picture_hash(path: Path) -> str:
    """Return the hash of what a style is predicted from, besides the dials: the picture and the predictor.

    Raises:
        OSError: the picture cannot be read.
    """
    from models.predictor.file import BUNDLED

    digest = hashlib.sha256(BUNDLED.read_bytes())
    with open_input(path) as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


@cache
def _load(path: Path | None) -> "LoadedPredictor":
    from models.predictor.file import BUNDLED, load

    try:
        return load(path or BUNDLED)
    except WeightsError as error:
        raise StyleError(str(error)) from error
