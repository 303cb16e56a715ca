"""How much paint for how much stillness? One style at several settings, as a picture: stillness against likeness.

    python benchmarks/frontier.py OUT.png --painting IMAGE [--style NAME|FILE] [--clips FILE ...] [--target E,S ...]

Paints each clip with every ``--stability`` at each of ``--strengths``, measures it as `flowbrush evaluate` does, prints
a line a point and draws them: a panel for each clip, down and left is better. ``--target`` draws a corner to stay
within, one for each clip.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.pop(0)  # this folder: its cuda.py would hide the package of that name, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.scoring import add_scoring, painted_scores
from pipeline.config import StylizeConfig
from pipeline.errors import PipelineError
from pipeline.evaluate.evaluate import READ_TOGETHER
from pipeline.evaluate.plot import ticks
from pipeline.frames import Pixels
from pipeline.media.stills import write_image

MODES = {"none": "#8a8a8a", "smooth": "#1f5fa8", "flow": "#2f8f4e"}
PANEL, MARGIN, DOT = 560, 80, 7
TARGET = "#b0413e"


@dataclass(frozen=True, slots=True)
class Point:
    """One setting, measured."""

    stability: str
    strength: float
    e_stab: float
    style: float
    content: float


def main() -> int:
    arguments = _arguments()
    try:
        found = {path: _points(path, arguments) for path in arguments.clips}
        write_image(arguments.output, draw(found, arguments.target, arguments.style))
    except (PipelineError, ValueError) as error:
        print(f"NOT MEASURED: {error}")
        return 1
    print(READ_TOGETHER)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("output", type=Path, metavar="OUT.png")
    add("--style", default="great-wave", metavar="NAME|FILE")
    add("--painting", type=Path, required=True)
    add_scoring(parser, frames=60)
    add("--strengths", type=float, nargs="+", default=[0.7, 0.85, 1.0])
    add("--target", type=_corner, action="append", default=[], metavar="E_STAB,STYLE", help="in the order of the clips")
    return parser.parse_args()


def _corner(text: str) -> tuple[float, float]:
    e_stab, style = map(float, text.split(","))
    return e_stab, style


def _points(path: Path, arguments: argparse.Namespace) -> list[Point]:
    points = []
    with tempfile.TemporaryDirectory() as folder:
        for stability in MODES:
            for strength in arguments.strengths:
                stylized = Path(folder) / f"{stability}{strength}.mkv"
                look = StylizeConfig(style=arguments.style, strength=strength, stability=stability)
                scores = painted_scores(
                    path,
                    stylized,
                    look,
                    painting=arguments.painting,
                    loss_weights=arguments.loss_weights,
                    frames=arguments.frames,
                )
                if scores.e_stab is None or scores.style is None or scores.content is None:
                    raise ValueError(f"{path}: no style score; name a loss network with --loss-weights")
                points.append(Point(stability, strength, scores.e_stab, scores.style, scores.content))
                print(f"{path.stem} {_told(points[-1])}", flush=True)
    return points


def _told(point: Point) -> str:
    return (
        f"{point.stability} {point.strength:g}: e_stab {point.e_stab:.4f}  style {point.style:.4f}  "
        f"content {point.content:.3f}"
    )


def draw(found: Mapping[Path, Sequence[Point]], targets: Sequence[tuple[float, float]], style: str) -> Pixels:
    """The panels side by side, ``(PANEL, PANEL * clips, 3)`` uint8 RGB."""
    canvas = Image.new("RGB", (PANEL * len(found), PANEL), "white")
    for number, (path, points) in enumerate(found.items()):
        corner = targets[number] if number < len(targets) else None
        _draw_panel(ImageDraw.Draw(canvas), number * PANEL, f"{Path(style).stem}, {path.stem}", points, corner)
    return np.asarray(canvas, np.uint8)


def _draw_panel(
    pen: ImageDraw.ImageDraw, left: int, title: str, points: Sequence[Point], corner: tuple[float, float] | None
) -> None:
    highest_x = 1.15 * max([p.e_stab for p in points] + ([corner[0]] if corner else []))
    highest_y = 1.15 * max([p.style for p in points] + ([corner[1]] if corner else []))
    side = PANEL - 2 * MARGIN

    def place(e_stab: float, likeness: float) -> tuple[float, float]:
        return left + MARGIN + e_stab / highest_x * side, PANEL - MARGIN - likeness / highest_y * side

    small, large = ImageFont.load_default(13), ImageFont.load_default(17)
    pen.text((left + PANEL / 2, MARGIN / 2), title, "#333333", font=large, anchor="mm")
    below = (left + PANEL / 2, PANEL - MARGIN / 3)
    pen.text(below, "e_stab (more stable to the left)", "#333333", font=small, anchor="mm")
    pen.text((left + 6, MARGIN - 14), "style (closer to the style image below)", "#333333", font=small, anchor="lm")
    pen.line((place(0, 0), place(highest_x, 0)), "#333333")
    pen.line((place(0, 0), place(0, highest_y)), "#333333")
    for value in ticks(0, highest_x, 6):
        pen.text((place(value, 0)[0], PANEL - MARGIN + 12), f"{value:.3g}", "#333333", font=small, anchor="mm")
    for value in ticks(0, highest_y, 6):
        pen.text((left + MARGIN - 6, place(0, value)[1]), f"{value:.3g}", "#333333", font=small, anchor="rm")
    if corner:
        pen.line((place(corner[0], 0), place(*corner), place(0, corner[1])), TARGET, 2)
    for stability, color in MODES.items():
        along = [place(p.e_stab, p.style) for p in points if p.stability == stability]
        pen.line(along, color, 2)
        for (x, y), point in zip(along, (p for p in points if p.stability == stability), strict=True):
            pen.ellipse((x - DOT, y - DOT, x + DOT, y + DOT), color)
            pen.text((x + DOT + 4, y - 8), f"{stability} {point.strength:g}", color, font=small, anchor="lm")


if __name__ == "__main__":
    sys.exit(main())
