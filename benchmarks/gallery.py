"""How good is each style? Stylizes clips in every style, measures them, and shows them side by side.

    python benchmarks/gallery.py --painting great-wave=great_wave.jpg [--sheet gallery.png] [--set stability=none]

Prints a line a figure: e_stab, e_stab10, style, content and brushwork as `flowbrush evaluate` measures them
(docs/measures.md), with input_e_stab, the clip's own; then a table of all styles, mean over the clips, with the worst
rank. Read them together: a weaker style is always more stable.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

sys.path.pop(0)  # this folder: its cuda.py would hide the package of that name, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.scoring import CELL_WIDTH, add_scoring, cell, store_figures, stylized_scores
from models.registry import bundled, read_catalog
from pipeline.config import StylizeConfig
from pipeline.decode.decoder import decode
from pipeline.decode.source import open_source
from pipeline.errors import PipelineError
from pipeline.evaluate.brushwork import SCALES
from pipeline.evaluate.evaluate import READ_TOGETHER
from pipeline.evaluate.scores import Scores
from pipeline.frames import Pixels
from pipeline.media.stills import write_image
from pipeline.system.files.atomic import write_atomically

FIGURES = ("e_stab", "e_stab10", "style", "content", "input_e_stab")
# Columns of the table: figures with their number of digits, and groups of a figure for each size of strokes.
COLUMNS = {"e_stab": 4, "style": 3, "content": 3, "structure": 3, "rank": 0}
GROUPS = ("strokes", "share")
MOMENTS = (0.25, 0.75)
NAME_WIDTH, MARGIN, TEXT = 220, 6, 22


def main() -> int:
    arguments = _arguments()
    rows: dict[str, list[Pixels]] = {}
    measured: dict[str, dict[str, float]] = {}
    network = None
    try:
        for name, style in _chosen(arguments.weights, arguments.styles).items():
            figures, rows[name], network = _measure(name, style, arguments)
            measured[name] = figures
            for key, value in figures.items():
                print(f"{name:20} {key:32} {value:.4f}", flush=True)
            rounded = {key: round(value, 4) for key, value in figures.items()}
            if arguments.cards:
                write_figures(arguments.cards, name, rounded)
            if arguments.store:
                store_figures(style, rounded)
        if arguments.sheet:
            originals = [image for path in arguments.clips for image in _moments(path)]
            write_image(arguments.sheet, contact_sheet({"original": originals} | rows))
    except (PipelineError, ValueError) as error:
        print(f"NOT MEASURED: {error}")
        return 1
    print("\n".join(table(measured)))
    print(f"style, content and brushwork by {network or 'no network'}; {READ_TOGETHER}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add_scoring(parser, frames=60)
    add("--weights", type=Path, metavar="FILE", help="default: the bundled styles")
    add("--styles", default="", metavar="A,B", help="of these; default: all of the file")
    add("--set", type=_setting, action="append", default=[], metavar="FIELD=VALUE", help="of pipeline's StylizeConfig")
    add("--painting", action="append", default=[], metavar="STYLE=FILE", help="the style image of a style")
    add("--paintings", type=Path, default=Path(), metavar="FOLDER", help="folder of the files of --painting")
    add("--cards", type=Path, metavar="FILE.json", help="write the figures into the cards of `flowbrush train`")
    add("--store", action="store_true", help="write the figures into the metadata of the weight files")
    add("--sheet", type=Path, metavar="FILE.png", help="draw a row of images for each style")
    return parser.parse_args()


def _setting(text: str) -> tuple[str, Any]:
    """``FIELD=VALUE`` of `StylizeConfig`, in the type of the field's default."""
    name, _, value = text.partition("=")
    defaults = {field.name: field.default for field in fields(StylizeConfig) if field.name != "style"}
    if name not in defaults:
        raise argparse.ArgumentTypeError(f"{name!r} cannot be set; there are {', '.join(defaults)}")
    if isinstance(defaults[name], bool):
        return name, {"true": True, "false": False}[value.lower()]
    return name, type(defaults[name])(value) if isinstance(defaults[name], int | float) else value


def _chosen(weights: Path | None, styles: str) -> dict[str, str]:
    """What ``--style`` accepts, by name of the style."""
    known = (
        {name: f"{weights}#{name}" for name in read_catalog(weights).styles} if weights else {n: n for n in bundled()}
    )
    chosen = styles.split(",") if styles else list(known)
    if unknown := [name for name in chosen if name not in known]:
        raise ValueError(f"there is no style {unknown[0]!r}; there are {', '.join(known)}")
    return {name: known[name] for name in chosen}


def _measure(name: str, style: str, arguments: argparse.Namespace) -> tuple[dict[str, float], list[Pixels], str | None]:
    """Stylize each clip: figures by clip and measure, images for the sheet, and the network that judged."""
    files = dict(text.split("=", 1) for text in arguments.painting)
    painting = arguments.paintings / files[name] if name in files else None
    others = [arguments.paintings / file for other, file in files.items() if other != name] if painting else []
    figures: dict[str, float] = {}
    images: list[Pixels] = []
    network = None
    with tempfile.TemporaryDirectory() as folder:
        for path in arguments.clips:
            stylized = Path(folder) / f"{path.stem}.mkv"
            config = StylizeConfig(style=style, **dict(arguments.set))
            scores = stylized_scores(
                path,
                stylized,
                config,
                painting=painting,
                loss_weights=arguments.loss_weights,
                structure_weights=arguments.structure_weights,
                among=others,
                frames=arguments.frames,
                notify=_note,
            )
            figures |= {f"{path.stem}_{name}": value for name, value in _figures(scores).items()}
            network = scores.loss_network
            images += _moments(stylized)
            stylized.unlink()
    return figures, images, network


def _figures(scores: Scores) -> dict[str, float]:
    """What was measured of one clip, by name."""
    figures = {name: getattr(scores, name) for name in FIGURES}
    if scores.brushwork is not None:
        brushwork = scores.brushwork
        figures |= {f"strokes_{size}": value for size, value in brushwork.distance.items()}
        figures |= {f"share_{size}": value for size, value in brushwork.share.items()}
        figures |= {"structure": brushwork.structure, "rank": brushwork.rank if brushwork.among > 1 else None}
    return {name: value for name, value in figures.items() if value is not None}


def table(measured: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """One line for each style, in Markdown; a dash for what was not measured.

    Args:
        measured: for each style its figures, named ``CLIP_FIGURE``.
    """
    sizes = ", ".join(SCALES)
    head = (*COLUMNS, *(f"{group}: {sizes}" for group in GROUPS))
    yield f"| style | {' | '.join(head)} |"
    yield "|---" * (1 + len(head)) + "|"
    for style, figures in measured.items():
        cells = [_over_clips(figures, name, digits) for name, digits in COLUMNS.items()]
        cells += [" / ".join(_over_clips(figures, f"{group}_{size}", 2) for size in SCALES) for group in GROUPS]
        yield f"| {style} | {' | '.join(cells)} |"


def _over_clips(figures: Mapping[str, float], name: str, digits: int) -> str:
    """The mean over the clips, as text; of ranks the worst."""
    values = [value for key, value in figures.items() if key.endswith(f"_{name}") and not key.endswith(f"input_{name}")]
    if not values:
        return "-"
    return f"{max(values) if name == 'rank' else np.mean(values):.{digits}f}"


def _note(line: str) -> None:
    print(f"note: {line}", file=sys.stderr, flush=True)


def _moments(path: Path) -> list[Pixels]:
    """The images at `MOMENTS` of a clip, at the width of the sheet."""
    with open_source(path) as source:
        count = sum(1 for _ in decode(source))
    wanted = {int(moment * count) for moment in MOMENTS}
    with open_source(path) as source:
        chosen = [frame.pixels for index, frame in enumerate(decode(source)) if index in wanted]
    return [cell(pixels) for pixels in chosen]


def contact_sheet(rows: Mapping[str, Sequence[Pixels]]) -> Pixels:
    """One row for each name: the name, then its images; ``(height, width, 3)`` uint8 RGB."""
    height = max(image.shape[0] for images in rows.values() for image in images) + MARGIN
    columns = max(map(len, rows.values()))
    sheet = Image.new("RGB", (NAME_WIDTH + columns * (CELL_WIDTH + MARGIN), len(rows) * height + MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (name, images) in enumerate(rows.items()):
        top = MARGIN + row * height
        draw.text((NAME_WIDTH - 14, top + height // 2), name, "#222222", font=_font(name), anchor="rm")
        for column, image in enumerate(images):
            sheet.paste(Image.fromarray(image), (NAME_WIDTH + column * (CELL_WIDTH + MARGIN), top))
    return np.asarray(sheet, np.uint8)


def _font(name: str) -> Any:
    """The largest font in which the name fits its column."""
    sizes: Iterator[Any] = (ImageFont.load_default(size) for size in range(TEXT, 8, -1))
    return next((font for font in sizes if font.getlength(name) <= NAME_WIDTH - 24), ImageFont.load_default(8))


def write_figures(cards: Path, style: str, figures: Mapping[str, float]) -> None:
    """Put the figures into the card of a style, beside those of other clips.

    Raises:
        ValueError: the file holds no card of that name.
    """
    known = json.loads(cards.read_text(encoding="utf-8"))
    if style not in known:
        raise ValueError(f"{cards}: contains no entry of {style!r}; known: {', '.join(known)}")
    known[style]["figures"] = known[style].get("figures", {}) | dict(figures)
    write_atomically(str(cards), (json.dumps(known, indent=2, ensure_ascii=False) + "\n").encode())


if __name__ == "__main__":
    sys.exit(main())
