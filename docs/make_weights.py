"""Write the tables of models/weights/README.md from the metadata of the bundled weight files.

python docs/make_weights.py

`benchmarks/gallery.py --store` measures the figures and writes them into the metadata; `benchmarks/optimize.py --store`
adds how far a style is from the optimum. Styles without it are named.
"""

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from models.registry import BUNDLED, StyleMetadata, bundled, find

PAGE = BUNDLED / "README.md"
SIZES = "fine", "middle", "large"
SAMPLES, EXCERPTS = ("harbor", "street"), ("pan", "walk")
DISTANCE = "times_optimum"
Figures = Mapping[str, float]


def main() -> None:
    """Replace the tables of the page."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print("\n".join(_distances()))
    if missing := [name for name, style in _styles() if DISTANCE not in style.figures]:
        print(f"{DISTANCE} is missing in {', '.join(missing)}; run benchmarks/optimize.py --only gallery --store")


def page(text: str) -> str:
    """Return the text with its tables written again; each stands below a line ``<!-- table: NAME -->``."""
    for name, rows in TABLES.items():
        table = "\n".join(rows())
        text = re.sub(rf"(<!-- table: {name} -->\n\n)(\|.*\n)+", lambda found, t=table: f"{found[1]}{t}\n", text)  # type: ignore[misc]
    return text


def _weights() -> Iterable[str]:
    yield from _head("style", "shown at, px", "style / strokes / distribution / content / output weight")
    for name, style in _styles():
        names = ("style", "strokes", "distribution", "content", "output")
        weights = " / ".join(f"{style.weights.get(each, 0.0):.4g}" for each in names)
        yield f"| `{name}` | {style.painting_px} | {weights} |"


def _scores(clips: Sequence[str]) -> Iterable[str]:
    yield from _head("style", *clips)
    for name, figures in _measured(clips):
        yield f"| `{name}` | {' | '.join(_stability(figures, clip) for clip in clips)} |"


def _brushwork(clips: Sequence[str]) -> Iterable[str]:
    yield from _head("style", *clips)
    for name, figures in _measured(clips):
        yield f"| `{name}` | {' | '.join(_strokes(figures, clip) for clip in clips)} |"


def _mean_shares() -> Iterable[str]:
    yield from _head("style", *SIZES)
    clips = SAMPLES + EXCERPTS
    for name, figures in _measured(clips):
        means = (sum(figures[f"{clip}_share_{size}"] for clip in clips) / len(clips) for size in SIZES)
        yield f"| `{name}` | {' | '.join(_short(mean, 2) for mean in means)} |"


def _distances() -> Iterable[str]:
    yield from _head("style", "times the optimum's loss")
    for name, style in _styles():
        distance = style.figures.get(DISTANCE)
        yield f"| `{name}` | {'not measured' if distance is None else f'{distance:.1f}'} |"


TABLES: Mapping[str, Callable[[], Iterable[str]]] = {
    "weights": _weights,
    "scores of the sample clips": lambda: _scores(SAMPLES),
    "brushwork of the sample clips": lambda: _brushwork(SAMPLES),
    "scores of the excerpts": lambda: _scores(EXCERPTS),
    "brushwork of the excerpts": lambda: _brushwork(EXCERPTS),
    "mean shares": _mean_shares,
    "distance from the optimum": _distances,
}


def _styles() -> Iterable[tuple[str, StyleMetadata]]:
    return ((name, find(name)[1]) for name in bundled())


def _measured(clips: Sequence[str]) -> Iterable[tuple[str, Figures]]:
    """Yield the figures of each style that was measured on all of the clips."""
    for name, style in _styles():
        if all(f"{clip}_rank" in style.figures for clip in clips):
            yield name, style.figures


def _head(*columns: str) -> Iterable[str]:
    return (f"| {' | '.join(columns)} |", "|---" * len(columns) + "|")


def _stability(figures: Figures, clip: str) -> str:
    digits = {"e_stab": 4, "e_stab10": 4, "style": 3, "content": 2}
    return " / ".join(_short(figures[f"{clip}_{name}"], count) for name, count in digits.items())


def _strokes(figures: Figures, clip: str) -> str:
    distance, share = (
        " / ".join(_short(figures[f"{clip}_{group}_{size}"], digits) for size in SIZES)
        for group, digits in (("strokes", 3), ("share", 2))
    )
    return f"{distance}; {share}; {_short(figures[f'{clip}_structure'], 3)}; {figures[f'{clip}_rank']:.0f}"


def _short(value: float, digits: int) -> str:
    """Return a number without the zero before its point, as the other pages write it."""
    text = f"{value:.{digits}f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


if __name__ == "__main__":
    main()
