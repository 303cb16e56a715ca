"""Style and strokes against stability: one style at several settings, as a plot.

    python benchmarks/experiments/frontier.py OUT.png --painting IMAGE [--style STYLE] [--clips FILE ...]

Stylizes each clip with every ``--stability`` at each of ``--strengths``, measures it as `flowbrush evaluate` does,
prints one line per point and draws them: two panels for each clip, the style score above and the share of the strokes
below, both against e_stab. ``--target`` draws a limit of the style score, one for each clip. Needs matplotlib.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.scoring import add_scoring, stylized_scores
from pipeline.config import StylizeConfig
from pipeline.errors import PipelineError
from pipeline.evaluate.evaluate import READ_TOGETHER
from pipeline.evaluate.scores import Scores
from pipeline.frames import Pixels
from pipeline.media.stills import write_image

MODES = {"none": "#8a8a8a", "smooth": "#1f5fa8", "flow": "#2f8f4e"}
TARGET = "#b0413e"


@dataclass(frozen=True, slots=True)
class Point:
    """One setting, measured.

    Attributes:
        share: how much of the way from the strokes of the scene to those of the style image is gone, mean over the
            sizes of strokes; 1 is all.
    """

    stability: str
    strength: float
    e_stab: float
    style: float
    content: float
    share: float


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
                settings = StylizeConfig(style=arguments.style, strength=strength, stability=stability)
                scores = stylized_scores(
                    path,
                    stylized,
                    settings,
                    painting=arguments.painting,
                    loss_weights=arguments.loss_weights,
                    frames=arguments.frames,
                )
                points.append(_point(path, stability, strength, scores))
                print(f"{path.stem} {_told(points[-1])}", flush=True)
    return points


def _point(path: Path, stability: str, strength: float, scores: Scores) -> Point:
    if scores.e_stab is None or scores.style is None or scores.content is None or scores.brushwork is None:
        raise ValueError(f"{path}: no style score; name a loss network with --loss-weights")
    share = float(np.mean(list(scores.brushwork.share.values())))
    return Point(stability, strength, scores.e_stab, scores.style, scores.content, share)


def _told(point: Point) -> str:
    return (
        f"{point.stability} {point.strength:g}: e_stab {point.e_stab:.4f}  style {point.style:.4f}  "
        f"content {point.content:.3f}  share of strokes {point.share:.3f}"
    )


def draw(found: Mapping[Path, Sequence[Point]], targets: Sequence[tuple[float, float]], style: str) -> Pixels:
    """Draw a column of two panels for each clip, ``(1000, 560 * clips, 3)`` uint8 RGB."""
    figure = Figure((5.6 * len(found), 10), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for number, (path, points) in enumerate(found.items()):
        above = figure.add_subplot(2, len(found), number + 1)
        above.set_title(f"{Path(style).stem}, {path.stem}")
        above.set_ylabel("style (closer to the style image below)")
        if number < len(targets):
            e_stab, style_score = targets[number]
            above.plot([e_stab, e_stab, 0], [0, style_score, style_score], color=TARGET)
        _draw_curves(above, points, [point.style for point in points])
        below = figure.add_subplot(2, len(found), len(found) + number + 1)
        below.set_ylabel("share of the strokes (1 is the style image's)")
        _draw_curves(below, points, [point.share for point in points])
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw_curves(axes: Axes, points: Sequence[Point], values: Sequence[float]) -> None:
    """Draw a curve for each ``--stability``: ``values`` of the points against their e_stab."""
    axes.set_xlabel("e_stab (more stable to the left)")
    for stability, color in MODES.items():
        of_mode = [(point, value) for point, value in zip(points, values, strict=True) if point.stability == stability]
        axes.plot([point.e_stab for point, _ in of_mode], [value for _, value in of_mode], "o-", color=color)
        for point, value in of_mode:
            text = f"{stability} {point.strength:g}"
            axes.annotate(text, (point.e_stab, value), (6, 4), textcoords="offset points", color=color)
    axes.set_xlim(0, 1.15 * axes.get_xlim()[1])
    axes.set_ylim(min(0, axes.get_ylim()[0]), 1.15 * axes.get_ylim()[1])


if __name__ == "__main__":
    sys.exit(main())
