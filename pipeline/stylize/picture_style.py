"""The style of a picture, predicted without training; see `models.predictor`."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import models.predictor
from models.registry import LoadedStyle, StyleMetadata, WeightsError
from pipeline.config.style_spec import Dials, style_name
from pipeline.errors import StyleError
from pipeline.frames import Pixels
from pipeline.media.style_image import at_size, check_picture, read_picture
from pipeline.system.files.reading import open_input

if TYPE_CHECKING:
    from models.predictor.file import LoadedPredictor

SEEN_PX = 400
"""Short side at which the predictor sees a picture: what it was trained for. A smaller picture is not enlarged."""

REMEMBERED = 64
"""Styles that are not predicted again for the next clip of a batch; each takes 1.4 MB."""


def predict_style(path: Path, dials: Dials | None = None, predictor: Path | None = None) -> LoadedStyle:
    """Return the style of the picture at ``path``, the same each time.

    Args:
        path: an image.
        dials: how to predict.
        predictor: weights; None takes the bundled ones.

    Raises:
        InputError: the picture cannot be read, or is too small.
        StyleError: the weights of the predictor cannot be used.
        ValueError: a dial is out of range.
    """
    check_picture(path)
    return _predict(path, picture_hash(path, predictor), dials or Dials(), predictor)


def load_predictor(path: Path | None = None) -> "LoadedPredictor":
    """Return the predictor at ``path``, None for the bundled one; it stays in memory.

    Raises:
        StyleError: its weights are missing, or cannot be used.
    """
    return _load(_weights(path))


def picture_metadata(path: Path) -> StyleMetadata:
    """Return the metadata of the style of a picture; reads only the header of the picture.

    Raises:
        InputError: the picture cannot be read, or is too small.
        StyleError: the weights of the predictor are missing.
    """
    check_picture(path)
    _weights(None)
    return StyleMetadata(style_name(path) or "picture")


def picture_hash(path: Path, predictor: Path | None = None) -> str:
    """Return the hash of what a style is predicted from, besides the dials: the picture and the predictor.

    Raises:
        OSError: the picture cannot be read.
        StyleError: the weights of the predictor are missing.
    """
    digest = hashlib.sha256(_weights(predictor).read_bytes())
    with open_input(path) as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


@lru_cache(REMEMBERED)
def _predict(path: Path, digest: str, dials: Dials, predictor: Path | None) -> LoadedStyle:
    """Return the style of a picture with this `picture_hash`."""
    return style_of_images(read_picture(path), style_name(path) or "picture", dials, predictor)


def style_of_images(
    images: list[Pixels], name: str, dials: Dials | None = None, predictor: Path | None = None
) -> LoadedStyle:
    """Return the style of a picture that was read, see `read_picture`; the same each time.

    Args:
        images: ``(height, width, 3)`` uint8 each, all of one size.
        name: of the style.
        dials: how to predict.
        predictor: weights; None takes the bundled ones.

    Raises:
        StyleError: the weights of the predictor cannot be used.
        ValueError: a dial is out of range.
    """
    from models.network import Style

    dials = dials or Dials()
    short_px = min(SEEN_PX, *images[0].shape[:2])
    loaded = load_predictor(predictor)
    with _one_thread():
        predicted = loaded.predictor.predict(
            at_size(images, short_px), paint=dials.paint, stillness=dials.stillness, name=name
        )
    rounded = Style.of([tensor.half().float() for tensor in predicted.style.tensors()])  # as a weight file stores it
    return replace(predicted, style=rounded, metadata=replace(predicted.metadata, painting_px=short_px))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Context in which torch computes in one thread: the result does not depend on the number of threads before."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _weights(predictor: Path | None) -> Path:
    path = predictor or models.predictor.BUNDLED
    if not path.is_file():
        raise StyleError(f"{path}: missing, and pictures cannot be styles without it; reinstall flowbrush")
    return path


@cache
def _load(path: Path) -> "LoadedPredictor":
    from models.predictor.file import load

    try:
        return load(path)
    except WeightsError as error:
        raise StyleError(str(error)) from error
