"""Flicker over time as a picture: a curve for the original, a curve for the painting, a line at each scene cut."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipeline.evaluate.scores import Pair, Scores
from pipeline.frames import Pixels
from pipeline.media.stills import check_image_target, write_image

ENDINGS = (".png", ".jpg", ".webp")

SIZE = (1200, 480)
LEFT, RIGHT, TOP, BOTTOM = 72, 24, 56, 52
FINENESS = 2
"""Everything is drawn so many times larger and shrunk, as Pillow's lines have hard edges."""

PAPER, INK, GRID, CUT = "#ffffff", "#333333", "#e4e4e4", "#b0413e"
ORIGINAL, STYLIZED = "#8a8a8a", "#1f5fa8"

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Axes:
    """What part of time and of flicker the picture shows.

    Attributes:
        seconds: from the first to the last.
        highest: value at the upper end; the lower end is 0.
    """

    seconds: tuple[float, float]
    highest: float

    def place(self, seconds: float, value: float) -> Point:
        """Where a value lies, in pixels of the large picture."""
        first, last = self.seconds
        right = (seconds - first) / max(last - first, 1e-9)
        x = LEFT + right * (SIZE[0] - LEFT - RIGHT)
        y = SIZE[1] - BOTTOM - value / self.highest * (SIZE[1] - TOP - BOTTOM)
        return x * FINENESS, y * FINENESS


def check_plot(path: Path, *, overwrite: bool) -> None:
    """Find out before anything is measured whether the picture can be written.

    Raises:
        OutputError: it cannot.
    """
    check_image_target(path, overwrite=overwrite, what="plot", endings=ENDINGS)


def write_plot(path: Path, scores: Scores) -> None:
    """Draw the curve of ``scores`` into a file.

    Raises:
        OutputError: it cannot be written.
    """
    write_image(path, draw_plot(scores.curve))


def draw_plot(pairs: Sequence[Pair]) -> Pixels:
    """Draw `Pair` by `Pair` the root of the warping error over time: ``(480, 1200, 3)`` uint8 RGB.

    A pair that is not counted breaks the curves, and is marked as a cut.
    """
    canvas = Image.new("RGB", (SIZE[0] * FINENESS, SIZE[1] * FINENESS), PAPER)
    draw = ImageDraw.Draw(canvas)
    axes = _axes(pairs)
    _draw_grid(draw, axes)
    for pair in pairs:
        if pair.stylized is None:
            _draw_cut(draw, axes, pair.seconds)
    for color, name in ((ORIGINAL, "original"), (STYLIZED, "stylized")):
        for run in _runs(pairs, name):
            _draw_curve(draw, [axes.place(*point) for point in run], color)
    _draw_legend(draw, pairs)
    return np.asarray(canvas.resize(SIZE, Image.Resampling.LANCZOS), np.uint8)


def _axes(pairs: Sequence[Pair]) -> Axes:
    values = [value for pair in pairs for value in (pair.original, pair.stylized) if value is not None]
    times = [pair.seconds for pair in pairs] or [1.0]
    return Axes((0.0, max(times)), max(1.1 * math.sqrt(max(values, default=0.0)), 1e-3))


def _runs(pairs: Sequence[Pair], name: str) -> Iterator[list[Point]]:
    """Stretches of a curve between the pairs that are not counted."""
    run: list[Point] = []
    for pair in pairs:
        error = getattr(pair, name)
        if error is not None:
            run.append((pair.seconds, math.sqrt(error)))
        elif run:
            yield run
            run = []
    if run:
        yield run


def ticks(first: float, last: float, most: int = 8) -> list[float]:
    """Round numbers from ``first`` to ``last``: multiples of 1, 2 or 5 times a power of ten, ``most`` at most."""
    rough = max(last - first, 1e-9) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    return [step * number for number in range(math.ceil(first / step - 1e-9), math.floor(last / step + 1e-9) + 1)]


def _draw_grid(draw: ImageDraw.ImageDraw, axes: Axes) -> None:
    first, last = axes.seconds
    for value in ticks(0, axes.highest, 6):
        left, right = axes.place(first, value), axes.place(last, value)
        draw.line((left, right), fill=GRID, width=FINENESS)
        _write(draw, (left[0] - 8 * FINENESS, left[1]), f"{value:.12g}", "rm")
    for seconds in ticks(first, last):
        foot = axes.place(seconds, 0)
        draw.line((foot, (foot[0], foot[1] + 5 * FINENESS)), fill=INK, width=FINENESS)
        _write(draw, (foot[0], foot[1] + 9 * FINENESS), f"{seconds:.12g}", "mt")
    draw.line((axes.place(first, 0), axes.place(last, 0)), fill=INK, width=FINENESS)
    _write(draw, (SIZE[0] // 2 * FINENESS, (SIZE[1] - 8) * FINENESS), "seconds", "mb")
    _write(draw, (LEFT * FINENESS, 20 * FINENESS), "e_stab of neighbouring frames", "lm", size=18)


def _draw_cut(draw: ImageDraw.ImageDraw, axes: Axes, seconds: float) -> None:
    foot, top = axes.place(seconds, 0), axes.place(seconds, axes.highest)
    dash = 6 * FINENESS
    for y in range(int(top[1]), int(foot[1]), 2 * dash):
        draw.line(((foot[0], y), (foot[0], min(y + dash, foot[1]))), fill=CUT, width=FINENESS)
    _write(draw, (top[0], top[1] - 4 * FINENESS), "cut", "mb", color=CUT)


def _draw_curve(draw: ImageDraw.ImageDraw, points: list[Point], color: str) -> None:
    if len(points) > 1:
        draw.line(points, fill=color, width=2 * FINENESS, joint="curve")
        return
    (x, y), radius = points[0], 2 * FINENESS
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)


def _draw_legend(draw: ImageDraw.ImageDraw, pairs: Sequence[Pair]) -> None:
    x = float((SIZE[0] - RIGHT) * FINENESS)
    entries = [(ORIGINAL, "original"), (STYLIZED, "painted")]
    if any(pair.stylized is None for pair in pairs):
        entries.append((CUT, "another scene: not counted"))
    for color, name in reversed(entries):
        _write(draw, (x, 20 * FINENESS), name, "rm")
        x -= draw.textlength(name, font=_font(15)) + 8 * FINENESS
        draw.line(((x - 28 * FINENESS, 20 * FINENESS), (x, 20 * FINENESS)), fill=color, width=3 * FINENESS)
        x -= 52 * FINENESS


def _write(draw: ImageDraw.ImageDraw, at: Point, text: str, anchor: str, *, color: str = INK, size: int = 15) -> None:
    draw.text(at, text, fill=color, font=_font(size), anchor=anchor)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size * FINENESS)
