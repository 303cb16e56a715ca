"""A plot of the flicker over time: a curve of the original, a curve of the stylized clip, a line at each scene cut."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import OutputError
from pipeline.evaluate.brushwork import Brushwork
from pipeline.evaluate.scores import Pair, Scores
from pipeline.frames import Pixels
from pipeline.media.stills import check_image_target, write_image

SUFFIXES = (".png", ".jpg", ".webp")
SIZE_INCHES, DPI = (12.0, 4.8), 100
CURVES = {"original": "#8a8a8a", "stylized": "#1f5fa8"}
CUT = "#b0413e"


def check_plot(path: Path, *, overwrite: bool) -> None:
    """Check that a plot can be drawn and written, before anything is measured.

    Raises:
        OutputError: it cannot be written, or matplotlib is not installed.
    """
    check_image_target(path, overwrite=overwrite, what="plot", endings=SUFFIXES)
    try:
        _load_matplotlib()
    except ImportError as error:
        reason = f"the plot needs matplotlib, which cannot be loaded ({error}); pip install 'flowbrush[plot]'"
        raise OutputError(path, reason) from error


def write_plot(path: Path, scores: Scores) -> None:
    """Draw the curve of ``scores`` into a file.

    Raises:
        OutputError: it cannot be written.
    """
    write_image(path, draw_plot(scores.curve, scores.brushwork))


def draw_plot(pairs: Sequence[Pair], brushwork: Brushwork | None = None) -> Pixels:
    """Draw the root of the warping error of each pair over time: ``(480, 1200, 3)`` uint8 RGB.

    A pair across a scene cut interrupts the curves and is marked by a line. Beside it, if it was measured, the share of
    the brushwork.
    """
    _load_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(SIZE_INCHES, DPI, layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)
    if brushwork is None:
        axes = figure.subplots()
    else:
        axes, bars = figure.subplots(1, 2, width_ratios=(4, 1))
        _draw_brushwork(bars, brushwork)
    for name, color in CURVES.items():
        seconds, roots = [pair.seconds for pair in pairs], [_root(getattr(pair, name)) for pair in pairs]
        axes.plot(seconds, roots, color=color, label=name)
        alone = _without_neighbors(roots)  # which a line does not show
        axes.plot([seconds[i] for i in alone], [roots[i] for i in alone], "o", color=color, markersize=4)
    for number, cut in enumerate(pair.seconds for pair in pairs if pair.stylized is None):
        label = None if number else "scene cut, not compared"
        axes.axvline(cut, color=CUT, linestyle="--", linewidth=1, label=label)
    axes.set_title("Flicker: e_stab of neighboring frames", loc="left")
    axes.set_xlabel("time (s)")
    axes.set_ylabel("e_stab (pixel values, 0 to 1)")
    axes.set_xlim(0, 1.01 * max((pair.seconds for pair in pairs), default=1.0))
    highest = max((error for pair in pairs for error in (pair.original, pair.stylized) if error), default=1.0)
    axes.set_ylim(0, 1.1 * math.sqrt(highest))
    axes.grid(color="#e4e4e4")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2, ncols=3, frameon=False)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw_brushwork(axes: Any, brushwork: Brushwork) -> None:
    """Draw a bar for each stroke size, from 0, the original, to 1, the style image."""
    values = list(brushwork.share.values())
    axes.bar(list(brushwork.share), values, color=CURVES["stylized"])
    axes.axhline(0, color="#222222", linewidth=0.8)
    axes.set_ylim(min(-0.1, *values), 1)
    axes.set_title("Brushwork: share", loc="left")
    axes.set_xlabel("strokes")
    axes.grid(color="#e4e4e4", axis="y")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _load_matplotlib() -> None:
    """Import matplotlib from another working folder: it evaluates expressions in the file ``matplotlibrc`` there."""
    before = os.getcwd()
    os.chdir(Path(__file__).parent)
    try:
        import matplotlib.figure  # noqa: F401
    finally:
        os.chdir(before)


def _root(error: float | None) -> float:
    return math.nan if error is None else math.sqrt(error)


def _without_neighbors(values: Sequence[float]) -> list[int]:
    """Return the indices of the numbers between two NaNs, or between a NaN and an end."""
    is_nan = [True, *map(math.isnan, values), True]
    return [i for i in range(len(values)) if is_nan[i : i + 3] == [True, False, True]]
