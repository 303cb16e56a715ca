r"""How a mask is written on the command line: a file, a color key, or the luminance of the frame itself.

    sky.png              a picture or clip; white is stylized
    masks/%05d.png       an image sequence
    key:#00ff00          everything but this color is stylized; key:#00ff00:0.2 takes more colors for it
    luma                 light parts are stylized; luma:0.3-0.5 not at all up to 0.3, fully from 0.5 on

A file of such a name is written with its folder: ``./luma``.
"""

import re
from dataclasses import dataclass

TOLERANCE = 0.15
"""Distance from the color of a key, in [0, 1], of colors that are half stylized."""

_KEY = re.compile(r"key:#([0-9a-f]{6})(?::(\d*\.?\d+))?", re.ASCII | re.IGNORECASE)
_LUMA = re.compile(r"luma(?::(\d*\.?\d+)-(\d*\.?\d+))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class ColorKey:
    """A color that is not stylized.

    Attributes:
        color: red, green and blue in [0, 1].
        tolerance: distance of colors that are half stylized, above 0 and at most 1.
    """

    color: tuple[float, float, float]
    tolerance: float = TOLERANCE


@dataclass(frozen=True, slots=True)
class LumaRange:
    """The luminance, in [0, 1], up to which nothing is stylized, and from which on everything is."""

    low: float = 0.0
    high: float = 1.0


def parse_mask(text: str) -> ColorKey | LumaRange | None:
    """Return what a mask is made of if that is the frame itself; None for a file.

    Raises:
        ValueError: it starts as a key or range does, and cannot be read.
    """
    if match := _KEY.fullmatch(text):
        red, green, blue = (int(match[1][place : place + 2], 16) / 255 for place in (0, 2, 4))
        tolerance = TOLERANCE if match[2] is None else float(match[2])
        if not 0 < tolerance <= 1:
            raise ValueError(f"mask {text!r}: the tolerance must be above 0 and at most 1")
        return ColorKey((red, green, blue), tolerance)
    if match := _LUMA.fullmatch(text):
        low, high = (0.0, 1.0) if match[1] is None else (float(match[1]), float(match[2]))
        if not 0 <= low < high <= 1:
            raise ValueError(f"mask {text!r}: write luma:LOW-HIGH with 0 <= LOW < HIGH <= 1, as luma:0.3-0.5")
        return LumaRange(low, high)
    if text.startswith("key:"):
        raise ValueError(f"mask {text!r}: write key:#RRGGBB or key:#RRGGBB:TOLERANCE, as key:#00ff00:0.2")
    if text.startswith("luma:"):
        raise ValueError(f"mask {text!r}: write luma or luma:LOW-HIGH, as luma:0.3-0.5")
    return None
