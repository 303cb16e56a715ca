"""What is known of the paintings of a training: read from a JSON file, checked before anything is trained."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from models.registry import StyleMetadata
from pipeline.errors import InputError
from pipeline.train.config import SMALLEST_PAINTING_PX, TrainConfig

TEXTS = ("painting", "painter", "year", "status", "source", "licence")


def cards_of(config: TrainConfig) -> list[StyleMetadata]:
    """A card for each painting of ``config``, in order; what the file of cards does not tell comes from the options.

    Raises:
        InputError: the file cannot be read, or something in it cannot be used.
    """
    known: Mapping[str, Any] = {}
    common = {"licence": config.licence, "painting_px": config.seen_px}
    usual = asdict(config.weights())
    if config.cards is not None:
        try:
            known = json.loads(config.cards.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(config.cards, f"cannot be read as JSON ({error})") from error
        if wrong := _wrong_in(known, list(usual)):
            raise InputError(config.cards, wrong)
    cards = [StyleMetadata(**({"name": name} | common | known.get(name, {}))) for name in config.paintings]
    return [replace(card, weights=usual | dict(card.weights)) for card in cards]


def _wrong_in(cards: object, losses: Sequence[str]) -> str:
    """What cannot be used in the cards, and what to write instead; empty if all can be."""
    if not isinstance(cards, dict):
        return "must hold an object with a card for each style name"
    for name, card in cards.items():
        if not isinstance(card, dict):
            return f"the card of {name!r} must be an object"
        for key, value in card.items():
            if wrong := _wrong_field(key, value, losses):
                return f"the card of {name!r}: {wrong}"
    return ""


def _wrong_field(key: str, value: object, losses: Sequence[str]) -> str:
    if key in ("figures", "weights"):
        return _wrong_numbers(key, value, losses)
    if key == "painting_px":
        is_size = type(value) is int and value >= SMALLEST_PAINTING_PX
        return "" if is_size else f"painting_px must be a whole number from {SMALLEST_PAINTING_PX} on"
    if key not in TEXTS:
        return f"unknown field {key!r}; there are {', '.join((*TEXTS, 'painting_px', 'weights', 'figures'))}"
    return "" if isinstance(value, str) else f"{key} must be a text in quotes"


def _wrong_numbers(key: str, values: object, losses: Sequence[str]) -> str:
    if not isinstance(values, dict) or not all(map(_is_number, values.values())):
        return f"{key} must be an object of numbers"
    if key == "figures":
        return ""
    unknown = sorted(set(values) - set(losses))
    if unknown:
        return f"no loss is called {unknown[0]!r}; there are {', '.join(losses)}"
    return "" if all(value >= 0 for value in values.values()) else "weights must not be negative"


def _is_number(value: object) -> bool:
    return type(value) is int or (isinstance(value, float) and math.isfinite(value))
