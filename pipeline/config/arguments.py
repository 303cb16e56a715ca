"""Read the values of options, which command lines give as text, and job files as text, numbers or booleans."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from fractions import Fraction
from math import isfinite
from pathlib import Path
from typing import Any

SMALLEST_SIDE_PX, LARGEST_SIDE_PX = 16, 16384
LARGEST_MEMORY_BYTES = 2**60
_MEMORY = re.compile(r"(\d+\.?\d*|\.\d+)\s*([KMGT]?)(?:i?B)?", re.ASCII | re.IGNORECASE)
_FRAME_SIZE = re.compile(r"(\d{2,5})x(\d{2,5})", re.ASCII)
_NTSC = {"23.976": Fraction(24000, 1001), "29.97": Fraction(30000, 1001), "59.94": Fraction(60000, 1001)}
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class WrongTypeError(ValueError):
    """A value has the wrong type. The message has no subject: "must be a number, not 'x'"."""


def read_text(value: object) -> str:
    """Return ``value`` if it is text."""
    if not isinstance(value, str):
        raise WrongTypeError(f"must be text, not {value!r}")
    return value


def text_of(value: object) -> str:
    """Return ``value`` if it is text, or the text of a number."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else read_text(value)


def read_number(value: object) -> float:
    """Return the finite number that ``value`` is, or is the text of."""
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        with suppress(ValueError, OverflowError):
            if isfinite(number := float(value)):
                return number
    raise WrongTypeError(f"must be a number, not {value!r}")


def read_whole_number(value: object) -> int:
    """Return the whole number that ``value`` is, or is the text of."""
    if isinstance(value, str):
        with suppress(ValueError):
            return int(value)
    number = read_number(value)
    if number != int(number):
        raise WrongTypeError(f"must be a whole number, not {value!r}")
    return int(number)


def read_flag(value: object) -> bool:
    """Return a bool for ``true``, ``yes``, ``1``, ``false``, ``no`` or ``0``."""
    word = str(value).lower()
    if word not in _FLAGS:
        raise WrongTypeError(f"must be true or false, not {value!r}")
    return _FLAGS[word]


def read_seconds(value: object) -> Fraction:
    """Return the exact seconds of ``83.5``, ``1:23.5`` or ``0:01:23.5``."""
    text = text_of(value)
    parts = text.split(":")
    try:
        if not 1 <= len(parts) <= 3 or not all(part.replace(".", "", 1).isdigit() for part in parts):
            raise ValueError
        return sum((Fraction(part) * 60**power for power, part in enumerate(reversed(parts))), Fraction(0))
    except ValueError:
        raise ValueError(f"{text!r} is not a time; write 83.5, 1:23.5 or 0:01:23.5") from None


def read_rate(value: object) -> Fraction:
    """Return the exact rate of ``24``, ``23.976`` or ``24000/1001``; those of NTSC stand for their fractions."""
    text = text_of(value).strip()
    if text in _NTSC:
        return _NTSC[text]
    with suppress(ValueError, ZeroDivisionError):
        if re.fullmatch(r"\d{1,9}(\.\d{1,9}|/\d{1,9})?", text, re.ASCII):
            return Fraction(text)
    raise ValueError(f"{text!r} is not a frame rate; write 24, 23.976 or 24000/1001")


def read_memory(value: object) -> int:
    """Return the bytes of ``4G``, ``500M``, ``1.5 GiB`` or ``4000000000``; K, M, G, T are powers of 1024."""
    text = text_of(value)
    match = _MEMORY.fullmatch(text.strip())
    amount = float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " ") if match else 0.0
    if not 0 < amount <= LARGEST_MEMORY_BYTES:
        raise ValueError(f"{text!r} is not an amount of memory; write 4G or 500M")
    return int(amount)


def read_frame_size(value: object) -> tuple[int, int]:
    """Return width and height of ``1280x720`` in pixels."""
    text = read_text(value)
    match = _FRAME_SIZE.fullmatch(text.strip().lower())
    if match is None or not all(SMALLEST_SIDE_PX <= int(side) <= LARGEST_SIDE_PX for side in match.groups()):
        raise ValueError(f"{text!r} is not a frame size; write WIDTHxHEIGHT in pixels, for example 1280x720")
    return int(match[1]), int(match[2])


READERS: Mapping[Any, Callable[[object], Any]] = {
    str: read_text,
    int: read_whole_number,
    float: read_number,
    bool: read_flag,
    Fraction: read_seconds,
    Path: lambda value: Path(read_text(value)),
}
"""The function that reads a value, by type; each raises ValueError."""
