"""Metadata of the styles to train: read from a JSON file and checked before training starts."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from models.registry import StyleMetadata
from pipeline.errors import InputError
from pipeline.train.config import SMALLEST_PAINTING_PX, TrainConfig

TEXTS = ("painting", "painter", "year", "status", "source", "licence")


def metadata_of(config: TrainConfig) -> list[StyleMetadata]:
    """Return the metadata of each style of ``config``, in order; what the JSON file lacks comes from the options.

    Raises:
        InputError: the file cannot be read, or an entry is invalid.
    """
    known: Mapping[str, Any] = {}
    common = {"licence": config.licence, "painting_px": config.seen_px}
    default_weights = asdict(config.weights())
    if config.cards is not None:
        try:
            known = json.loads(config.cards.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(config.cards, f"cannot be read as JSON ({error})") from error
        if problem := _problem(known, list(default_weights)):
            raise InputError(config.cards, problem)
    styles = [StyleMetadata(**({"name": name} | common | known.get(name, {}))) for name in config.paintings]
    return [replace(style, weights=default_weights | dict(style.weights)) for style in styles]


def _problem(known: object, losses: Sequence[str]) -> str:
    """Return what is invalid and what to write instead; empty if everything is valid."""
    if not isinstance(known, dict):
        return "must be an object with an entry for each style name"
    for name, entry in known.items():
        if not isinstance(entry, dict):
            return f"the entry of {name!r} must be an object"
        for key, value in entry.items():
            if problem := _problem_of_field(key, value, losses):
                return f"the entry of {name!r}: {problem}"
    return ""


def _problem_of_field(key: str, value: object, losses: Sequence[str]) -> str:
    if key in ("figures", "weights"):
        return _problem_of_numbers(key, value, losses)
    if key == "painting_px":
        is_size = type(value) is int and value >= SMALLEST_PAINTING_PX
        return "" if is_size else f"painting_px must be a whole number of at least {SMALLEST_PAINTING_PX}"
    if key not in TEXTS:
        return f"unknown field {key!r}; known: {', '.join((*TEXTS, 'painting_px', 'weights', 'figures'))}"
    return "" if isinstance(value, str) else f"{key} must be a string"


def _problem_of_numbers(key: str, values: object, losses: Sequence[str]) -> str:
    if not isinstance(values, dict) or not all(map(_is_number, values.values())):
        return f"{key} must be an object of numbers"
    if key == "figures":
        return ""
    unknown = sorted(set(values) - set(losses))
    if unknown:
        return f"unknown loss {unknown[0]!r}; known: {', '.join(losses)}"
    return "" if all(value >= 0 for value in values.values()) else "weights must not be negative"


def _is_number(value: object) -> bool:
    return type(value) is int or (isinstance(value, float) and math.isfinite(value))
