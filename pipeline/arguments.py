"""What is typed on a command line, read into values."""

import os
import re
from fractions import Fraction
from pathlib import Path


def read_seconds(text: str | None) -> Fraction | None:
    """Exact seconds of ``83.5``, ``1:23.5`` or ``0:01:23.5``.

    Raises:
        ValueError: it is no time.
    """
    if text is None:
        return None
    parts = text.split(":")
    try:
        if not 1 <= len(parts) <= 3 or not all(part.replace(".", "", 1).isdigit() for part in parts):
            raise ValueError
        return sum((Fraction(part) * 60**power for power, part in enumerate(reversed(parts))), Fraction(0))
    except ValueError:
        raise ValueError(f"{text!r} is no time; write 83.5, 1:23.5 or 0:01:23.5") from None


def read_paintings(paintings: list[str]) -> dict[str, Path]:
    """``NAME=FILE`` or ``FILE`` to a path by style name.

    Raises:
        ValueError: a name is given twice.
    """
    named: dict[str, Path] = {}
    for text in paintings:
        name, separator, file = text.partition("=")
        if not separator or os.path.exists(text):
            name, file = re.sub(r"[^\w.-]+", "-", Path(text).stem.lower().replace("_", "-")).strip("-"), text
        path = Path(file)
        if name in named:
            raise ValueError(f"two paintings are named {name!r}; write NAME=FILE")
        named[name] = path
    return named
