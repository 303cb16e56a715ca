"""What the window draws over the frame: the status line, a short message, the help."""

import re
from collections import deque
from collections.abc import Sequence
from pathlib import PurePath
from typing import cast

import cv2
import numpy as np

from pipeline.config.style_spec import is_picture
from pipeline.frames import Pixels
from pipeline.live.controls import Snapshot
from pipeline.live.keys import BINDINGS

FONT = cv2.FONT_HERSHEY_SIMPLEX
WHITE, RED = (255, 255, 255), (60, 60, 255)  # BGR, as OpenCV shows it
SHADE = 0.45  # brightness that remains under text
MIN_SCALE = 0.4  # smallest readable font scale
# Of the help, in pixels at font scale 1: the height of a line, and the space between texts.
LINE, GAP = 26, 20
MAX_NAME_CHARACTERS = 28
# Where lines may break: messages between words, the status between figures (three spaces apart).
WORD, FIGURE = re.compile(r"\S+\s*"), re.compile(r"\S+(?: \S+)*\s*")


class FrameMeter:
    """Frame rate and latency of the last frames, as the window shows them.

    Args:
        count: number of frames that are averaged.
    """

    def __init__(self, count: int = 30) -> None:
        self._shown_at: deque[float] = deque(maxlen=count)
        self._latencies: deque[float] = deque(maxlen=count)

    def count(self, captured_at: float, shown_at: float) -> None:
        """Count a frame; both times in seconds of `time.monotonic`."""
        self._shown_at.append(shown_at)
        self._latencies.append(shown_at - captured_at)

    @property
    def fps(self) -> float:
        """Frames per second; 0 before the second frame."""
        seconds = self._shown_at[-1] - self._shown_at[0] if self._shown_at else 0.0
        return (len(self._shown_at) - 1) / seconds if seconds > 0 else 0.0

    @property
    def latency_ms(self) -> float:
        """Median time from capture to display in milliseconds; 0 before the first frame."""
        return 1000 * float(np.median(self._latencies)) if self._latencies else 0.0


def status_line(snapshot: Snapshot, names: Sequence[str], meter: FrameMeter) -> str:
    """Return style, settings that differ from the default, frame rate and latency."""
    if snapshot.show_original:
        figures = ["original"]
    else:
        figures = [_label(names[snapshot.style])]
        if snapshot.strength < 1:
            figures.append(f"{snapshot.strength:.0%}")
        if snapshot.keep_colors:
            figures.append("own colors")
    if snapshot.mirror:
        figures.append("mirrored")
    return "   ".join([*figures, f"{meter.fps:.0f} fps", f"{meter.latency_ms:.0f} ms"])


def draw_status(image: Pixels, text: str, *, message: str = "", recording: bool = False) -> None:
    """Draw ``text`` at the lower left of ``image``, ``(H, W, 3)`` BGR, in place; the message above, a dot to record.

    Text wider than the image is wrapped.
    """
    scale = _font_scale(image)
    (_, height), below = cv2.getTextSize("Ay", FONT, scale, 1)
    pad, dot = round(8 * scale), round(height * 0.5) if recording else 0
    indent = pad + 3 * dot
    line_height = height + below + round(12 * scale)
    status = [(line, indent) for line in _wrap(FIGURE.findall(text), image.shape[1] - indent - pad, scale)]
    above = [(line, pad) for line in _wrap(WORD.findall(message), image.shape[1] - 2 * pad, scale)]
    lines = above[: max(image.shape[0] // line_height - len(status), 1)] + status
    top = image.shape[0] - len(lines) * line_height
    for line, left in lines:
        _darken(image, top, top + line_height, 0, left + _width(line, scale) + pad)
        _draw_text(image, line, left, top + line_height - below - round(6 * scale), scale)
        top += line_height
    if dot:
        cv2.circle(image, (pad + dot, top - line_height // 2), dot, RED, -1, cv2.LINE_AA)


def draw_help(image: Pixels, names: Sequence[str]) -> Pixels:
    """Return ``image``, ``(H, W, 3)`` BGR, with the keys and the numbered styles.

    Drawn in place, or on an enlarged copy if the image is too small for readable text.
    """
    keys = [(binding.label, binding.text) for binding in BINDINGS]
    styles = [(str((index + 1) % 10) if index < 10 else "", _shorten(_label(name))) for index, name in enumerate(names)]
    rows = max(len(keys), len(styles)) + 2
    # Widths of the two cells of each column at font scale 1.
    widths = [[max(_width(row[cell], 1.0) for row in column) for cell in (0, 1)] for column in (keys, styles)]
    total = sum(key + text + 2 * GAP for key, text in widths) + GAP
    height, width, _ = image.shape
    scale = min(_font_scale(image), width / total, height / (rows * LINE))
    if scale < MIN_SCALE:
        width, height = round(width * MIN_SCALE / scale), round(height * MIN_SCALE / scale)
        image = cast("Pixels", cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR))
        scale = MIN_SCALE
    _darken(image, 0, height, 0, width)
    left = margin = (width - (total - 3 * GAP) * scale) / 3
    for (key_width, text_width), column in zip(widths, (keys, styles), strict=True):
        for row, (key, text) in enumerate(column):
            baseline = round((row + 1.5) * height / rows)
            _draw_text(image, key, round(left), baseline, scale)
            _draw_text(image, text, round(left + (key_width + GAP) * scale), baseline, scale)
        left += (key_width + GAP + text_width) * scale + margin
    return image


def _label(name: str) -> str:
    """Return the name of a style; of a picture, without its folder."""
    return PurePath(name).name if is_picture(name) else name


def _shorten(name: str) -> str:
    """Return the end of a long name: which matters most in a path."""
    return name if len(name) <= MAX_NAME_CHARACTERS else f"...{name[3 - MAX_NAME_CHARACTERS :]}"


def _wrap(words: Sequence[str], max_width: int, scale: float) -> list[str]:
    """Return lines of at most ``max_width`` pixels, broken between words, or within a word that is wider."""
    lines, line = list[str](), ""
    for word in words:
        if line and _width(line + word.rstrip(), scale) > max_width:
            lines.append(line.rstrip())
            line = ""
        line += word
        while len(line) > 1 and _width(line.rstrip(), scale) > max_width:
            fits = max((end for end in range(1, len(line)) if _width(line[:end], scale) <= max_width), default=1)
            lines.append(line[:fits])
            line = line[fits:]
    return [*lines, line.rstrip()] if line.strip() else lines


def _width(text: str, scale: float) -> int:
    width: int = cv2.getTextSize(text, FONT, scale, 1)[0][0]
    return width


def _font_scale(image: Pixels) -> float:
    shorter_side: int = min(image.shape[:2])
    return max(shorter_side / 800, MIN_SCALE)


def _darken(image: Pixels, top: int, bottom: int, left: int, right: int) -> None:
    region = image[max(top, 0) : bottom, left:right]
    cv2.convertScaleAbs(region, region, alpha=SHADE)


def _draw_text(image: Pixels, text: str, left: int, baseline: int, scale: float) -> None:
    cv2.putText(image, text, (left, baseline), FONT, scale, WHITE, 1, cv2.LINE_AA)
