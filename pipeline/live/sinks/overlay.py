"""What the window writes over the picture: a discreet line of readings, a passing message, the help."""

import re
from collections import deque
from collections.abc import Sequence
from typing import cast

import cv2
import numpy as np

from pipeline.frames import Pixels
from pipeline.live.controls import BINDINGS, Snapshot

FONT = cv2.FONT_HERSHEY_SIMPLEX
WHITE, RED = (255, 255, 255), (60, 60, 255)  # BGR, as OpenCV shows it
SHADE = 0.45  # what is left of the picture behind text
LEGIBLE = 0.4  # smallest scale of the font
# Of the help, in pixels at scale 1: a line, and what is left free between two pieces of text.
LINE, GAP = 26, 20
LONGEST = 28  # characters of a style's name
# Where lines are broken: a message between words, the readings between figures; each with the space behind it.
WORD, PART = re.compile(r"\S+\s*"), re.compile(r"\S+(?: \S+)*\s*")


class Meter:
    """Frames a second and latency over the last second or so, as the window sees them.

    Args:
        span: number of frames that are looked at.
    """

    def __init__(self, span: int = 30) -> None:
        self._shown_at: deque[float] = deque(maxlen=span)
        self._latencies: deque[float] = deque(maxlen=span)

    def count(self, captured_at: float, shown_at: float) -> None:
        """A frame that was taken at ``captured_at`` is seen at ``shown_at``, both in monotonic seconds."""
        self._shown_at.append(shown_at)
        self._latencies.append(shown_at - captured_at)

    @property
    def fps(self) -> float:
        """Frames a second; 0 until there are two."""
        seconds = self._shown_at[-1] - self._shown_at[0] if self._shown_at else 0.0
        return (len(self._shown_at) - 1) / seconds if seconds > 0 else 0.0

    @property
    def latency_ms(self) -> float:
        """Median from capture to sight, in milliseconds; 0 before the first frame."""
        return 1000 * float(np.median(self._latencies)) if self._latencies else 0.0


def readings(snapshot: Snapshot, names: Sequence[str], meter: Meter) -> str:
    """The line below the picture: style, what differs from the default, frames a second, latency."""
    parts = ["original"] if snapshot.show_original else _look(snapshot, names)
    if snapshot.mirror:
        parts.append("mirrored")
    return "   ".join([*parts, f"{meter.fps:.0f} fps", f"{meter.latency_ms:.0f} ms"])


def _look(snapshot: Snapshot, names: Sequence[str]) -> list[str]:
    parts = [names[snapshot.style]]
    if snapshot.strength < 1:
        parts.append(f"{snapshot.strength:.0%}")
    if snapshot.keep_colors:
        parts.append("own colours")
    return parts


def draw_readings(picture: Pixels, text: str, *, message: str = "", recording: bool = False) -> None:
    """Write ``text`` at the lower left of ``picture``, ``(H, W, 3)`` BGR, in place; a message above, a dot first.

    What is wider than the picture goes on in another line.
    """
    scale = _scale(picture)
    (_, height), below = cv2.getTextSize("Ay", FONT, scale, 1)
    pad, dot = round(8 * scale), round(height * 0.5) if recording else 0
    indent = pad + 3 * dot
    step = height + below + round(12 * scale)
    figures = [(line, indent) for line in _wrapped(PART.findall(text), picture.shape[1] - indent - pad, scale)]
    above = [(line, pad) for line in _wrapped(WORD.findall(message), picture.shape[1] - 2 * pad, scale)]
    lines = above[: max(picture.shape[0] // step - len(figures), 1)] + figures
    top = picture.shape[0] - len(lines) * step
    for line, left in lines:
        _shade(picture, top, top + step, 0, left + _width(line, scale) + pad)
        _write(picture, line, left, top + step - below - round(6 * scale), scale)
        top += step
    if dot:
        cv2.circle(picture, (pad + dot, top - step // 2), dot, RED, -1, cv2.LINE_AA)


def draw_help(picture: Pixels, names: Sequence[str]) -> Pixels:
    """``picture``, ``(H, W, 3)`` BGR, under the keys, and the styles by number.

    Written in place, or where the picture is too small for that, on a larger one: a larger window makes it legible.
    """
    keys = [(binding.label, binding.text) for binding in BINDINGS]
    styles = [(str((index + 1) % 10) if index < 10 else "", _short(name)) for index, name in enumerate(names)]
    rows = max(len(keys), len(styles)) + 2
    # As much as text at scale 1 takes, in pixels.
    widths = [[max(_width(cell[side], 1.0) for cell in column) for side in (0, 1)] for column in (keys, styles)]
    room = sum(key + text + 2 * GAP for key, text in widths) + GAP
    height, width, _ = picture.shape
    scale = min(_scale(picture), width / room, height / (rows * LINE))
    if scale < LEGIBLE:
        larger = LEGIBLE / scale
        size = round(width * larger), round(height * larger)
        picture, scale = cast("Pixels", cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)), LEGIBLE
        width, height = size
    _shade(picture, 0, height, 0, width)
    left = margin = (width - (room - 3 * GAP) * scale) / 3
    for (key_width, text_width), column in zip(widths, (keys, styles), strict=True):
        for row, (key, text) in enumerate(column):
            baseline = round((row + 1.5) * height / rows)
            _write(picture, key, round(left), baseline, scale)
            _write(picture, text, round(left + (key_width + GAP) * scale), baseline, scale)
        left += (key_width + GAP + text_width) * scale + margin
    return picture


def _short(name: str) -> str:
    """The end of a long name, which in a path tells most."""
    return name if len(name) <= LONGEST else f"...{name[3 - LONGEST :]}"


def _wrapped(words: Sequence[str], room: int, scale: float) -> list[str]:
    """Lines at most ``room`` pixels wide, broken between ``words``, or within one that is wider by itself."""
    lines, line = list[str](), ""
    for word in words:
        if line and _width(line + word.rstrip(), scale) > room:
            lines.append(line.rstrip())
            line = ""
        line += word
        while len(line) > 1 and _width(line.rstrip(), scale) > room:
            fits = max((end for end in range(1, len(line)) if _width(line[:end], scale) <= room), default=1)
            lines.append(line[:fits])
            line = line[fits:]
    return [*lines, line.rstrip()] if line.strip() else lines


def _width(text: str, scale: float) -> int:
    width: int = cv2.getTextSize(text, FONT, scale, 1)[0][0]
    return width


def _scale(picture: Pixels) -> float:
    """Of the font: readable on a small picture, not larger than needed on a large one."""
    shorter: int = min(picture.shape[:2])
    return max(shorter / 800, LEGIBLE)


def _shade(picture: Pixels, top: int, bottom: int, left: int, right: int) -> None:
    behind = picture[max(top, 0) : bottom, left:right]
    cv2.convertScaleAbs(behind, behind, alpha=SHADE)


def _write(picture: Pixels, text: str, left: int, baseline: int, scale: float) -> None:
    cv2.putText(picture, text, (left, baseline), FONT, scale, WHITE, 1, cv2.LINE_AA)
