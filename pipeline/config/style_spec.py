r"""How a style is written on the command line and in job files: a name, a file, or a blend of several.

    great-wave                      a bundled style
    mine.safetensors                the style of a weight file
    styles/many.safetensors#rain    one of the styles of a weight file
    painting.jpg                    the style that is predicted from a picture
    great-wave:0.7,mondrian:0.3     a blend; the weights are scaled to a sum of 1
    fg:great-wave,bg:mondrian       two styles or blends: where the mask is white, and where it is black

A weight follows the last colon and is a number, so names and paths may contain colons (``C:\mine.safetensors``).
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath

LARGEST_WEIGHT = 1e6
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
"""Endings, in lower case, of the names of pictures."""

_NAMES = "fg", "bg"
_REGIONS = tuple(f"{name}:" for name in _NAMES)
_REGION_PAIR = re.compile(r"(fg|bg):(.+?),\s*(fg|bg):(.+)", re.DOTALL)
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.ASCII | re.IGNORECASE)
_FILE_ENDING = re.compile(rf"\.safetensors|({'|'.join(map(re.escape, sorted(PICTURE_SUFFIXES)))})\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class WeightedStyle:
    """One style of a blend.

    Attributes:
        style: name of a bundled style, path of a weight file or of a picture, or ``FILE#NAME``.
        weight: its share of the blend in [0, 1]; the weights of a blend sum to 1.
    """

    style: str
    weight: float


@dataclass(frozen=True, slots=True)
class Dials:
    """How a style is predicted from a picture.

    Attributes:
        paint: how much the style counts against the content, 1 as usual.
        stillness: how much stability counts, 1 as usual.
    """

    paint: float = 1.0
    stillness: float = 1.0


def parse_regions(spec: str) -> tuple[str, str] | None:
    """Return the blends of ``fg:A,bg:B``, of the foreground and of the background; None if ``spec`` is one blend.

    Raises:
        ValueError: one of them is missing.
    """
    if not spec.startswith(_REGIONS) or os.path.isfile(spec):
        return None
    match = _REGION_PAIR.fullmatch(spec)
    if match is None or match[1] == match[3]:
        raise ValueError(f"style {spec!r} needs both regions; write fg:STYLE,bg:STYLE")
    foreground, background = (match[2], match[4]) if match[1] == "fg" else (match[4], match[2])
    return foreground.strip(), background.strip()


def blends_of(spec: str) -> tuple[str, ...]:
    """Return the blends of ``spec``: one, or those of two regions."""
    return parse_regions(spec) or (spec,)


def parse_style(spec: str) -> tuple[WeightedStyle, ...]:
    """Return all styles of ``spec`` with their weights, those of the foreground first; see `parse_blend`.

    Raises:
        ValueError: see `parse_regions` and `parse_blend`.
    """
    return tuple(part for blend in blends_of(spec) for part in parse_blend(blend))


def parse_blend(spec: str) -> tuple[WeightedStyle, ...]:
    """Return the styles of ``spec`` with their weights; without any weights, all styles count equally.

    Raises:
        ValueError: it has regions, a name is missing, only some styles have a weight, or a weight is out of range.
    """
    if parse_regions(spec) is not None:
        raise ValueError(f"style {spec!r} is for two regions, which need a picture or clip and its --mask")
    named = [_name_and_weight(text) for text in _split(spec)]
    if not all(name for name, _ in named):
        raise ValueError(f"style {spec!r} lacks a name; write NAME or NAME:0.7,NAME:0.3")
    given = [weight for _, weight in named if weight is not None]
    if given and len(given) < len(named):
        raise ValueError(f"style {spec!r} has weights for some styles only; give one to each, or to none")
    if any(not 0 <= weight <= LARGEST_WEIGHT for weight in given):
        raise ValueError(f"style {spec!r}: weights must be between 0 and {LARGEST_WEIGHT:g}")
    total = sum(given) if given else len(named)
    if total < 1 / LARGEST_WEIGHT:
        raise ValueError(f"style {spec!r}: at least one weight must be above 0")
    return tuple(WeightedStyle(name, (1.0 if weight is None else weight) / total) for name, weight in named)


def is_picture(style: str) -> bool:
    """Return whether ``style`` is the path of a picture; its ending decides, nothing is read."""
    return PurePath(style).suffix.lower() in PICTURE_SUFFIXES and ".safetensors#" not in style


def has_picture(*specs: str | None) -> bool:
    """Return whether a picture is among the styles of ``specs``."""
    return any(is_picture(part.style) for spec in specs if spec for part in parse_style(spec))


def check_pictures(spec: str) -> None:
    """Raise ValueError unless all styles of a blend are paths of pictures."""
    for part in parse_blend(spec):
        if not is_picture(part.style):
            endings = ", ".join(sorted(PICTURE_SUFFIXES))
            raise ValueError(f"{part.style}: not the name of a picture ({endings}); names of styles go to --style")


def check_dials(dials: Dials, *specs: str | None) -> None:
    """Raise ValueError if dials are turned, and none of ``specs`` has a picture."""
    if dials != Dials() and not has_picture(*specs):
        raise ValueError("--paint and --stillness are for the style of a picture; give --style-image IMAGE")


def style_name(path: PurePath) -> str:
    """Return the name of the style of a picture, from that of its file; empty if that has no letter."""
    return re.sub(r"[^\w.-]+", "-", path.stem.lower().replace("_", "-")).strip("-")


def rename_styles(spec: str, rename: Callable[[str], str]) -> str:
    """Return ``spec`` with ``rename(name)`` in place of each name; the weights stay as they are written."""
    regions = parse_regions(spec)
    if regions is not None:
        return ",".join(f"{name}:{rename_styles(blend, rename)}" for name, blend in zip(_NAMES, regions, strict=True))
    if os.path.isfile(spec):
        return rename(spec)
    names = [(_name_and_weight(text)[0], text) for text in _split(spec)]
    return ",".join(rename(name) + text[len(name) :] for name, text in names)


def _split(spec: str) -> list[str]:
    """Split at commas, except in the name of a file, or in a path before the ending of a weight file or picture."""
    if os.path.isfile(spec):
        return [spec]
    texts: list[str] = []
    for text in spec.split(","):
        if texts and ("/" in texts[-1] or "\\" in texts[-1]) and not _FILE_ENDING.search(texts[-1]):
            texts[-1] += f",{text}"
        else:
            texts.append(text)
    return [text.strip() for text in texts]


def _name_and_weight(text: str) -> tuple[str, float | None]:
    name, colon, weight = text.rpartition(":")
    if colon and _NUMBER.fullmatch(weight.strip()):
        return name.strip(), float(weight)
    return text, None
