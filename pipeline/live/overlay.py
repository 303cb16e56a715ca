"""What the window writes over the picture: a discreet line of readings, a passing message, the help."""

from collections import deque
from collections.abc import Sequence

import cv2
import numpy as np

from pipeline.frames import Pixels
from pipeline.live.controls import BINDINGS, Snapshot

FONT = cv2.FONT_HERSHEY_SIMPLEX
WHITE, RED = (255, 255, 255), (60, 60, 255)  # BGR, as OpenCV shows it
SHADE = 0.45  # what is left of the picture behind text


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
    parts = ["original" if snapshot.show_original else names[snapshot.style]]
    if snapshot.strength < 1:
        parts.append(f"{snapshot.strength:.0%}")
    if snapshot.keep_colors:
        parts.append("own colours")
    if snapshot.mirror:
        parts.append("mirrored")
    return "   ".join([*parts, f"{meter.fps:.0f} fps", f"{meter.latency_ms:.0f} ms"])


def draw_readings(picture: Pixels, text: str, *, message: str = "", recording: bool = False) -> None:
    """Write ``text`` at the lower left of ``picture``, ``(H, W, 3)`` BGR, in place; a message above, a dot first."""
    scale = _scale(picture)
    bottom = picture.shape[0]
    for line, is_last in ((text, True), (message, False)):
        if not line:
            continue
        (_, height), below = cv2.getTextSize(line, FONT, scale, 1)
        top, pad = bottom - height - below - round(12 * scale), round(8 * scale)
        dot = round(height * 0.5) if is_last and recording else 0
        left = pad + (3 * dot if dot else 0)
        width = left + cv2.getTextSize(line, FONT, scale, 1)[0][0] + pad
        _shade(picture, top, bottom, 0, width)
        if dot:
            cv2.circle(picture, (pad + dot, (top + bottom) // 2), dot, RED, -1, cv2.LINE_AA)
        _write(picture, line, left, bottom - below - round(6 * scale), scale)
        bottom = top


def draw_help(picture: Pixels, names: Sequence[str]) -> None:
    """Write the keys, and the styles by number, over ``picture``, ``(H, W, 3)`` BGR, in place."""
    keys = [(binding.label, binding.text) for binding in BINDINGS]
    styles = [(str((index + 1) % 10) if index < 10 else "", name) for index, name in enumerate(names)]
    rows = max(len(keys), len(styles)) + 1
    height, width, _ = picture.shape
    line = height / (rows + 1)
    scale = min(_scale(picture), line / 26)
    _shade(picture, 0, height, 0, width)
    for column, left in ((keys, 0.06), (styles, 0.6)):
        key_width = max(cv2.getTextSize(key, FONT, scale, 1)[0][0] for key, _ in column) + round(20 * scale)
        for row, (key, text) in enumerate(column):
            baseline = round((row + 1.5) * line)
            _write(picture, key, round(left * width), baseline, scale)
            _write(picture, text, round(left * width) + key_width, baseline, scale)


def _scale(picture: Pixels) -> float:
    """Of the font: readable on a small picture, not larger than needed on a large one."""
    height: int = picture.shape[0]
    return max(height / 800, 0.4)


def _shade(picture: Pixels, top: int, bottom: int, left: int, right: int) -> None:
    behind = picture[max(top, 0) : bottom, left:right]
    cv2.convertScaleAbs(behind, behind, alpha=SHADE)


def _write(picture: Pixels, text: str, left: int, baseline: int, scale: float) -> None:
    cv2.putText(picture, text, (left, baseline), FONT, scale, WHITE, 1, cv2.LINE_AA)
