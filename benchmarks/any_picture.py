"""How good is the style of a picture that nothing was trained for?

    python benchmarks/any_picture.py PICTURE ... [--predictor FILE] [--clips FILE ...] [--trained NAME=FILE ...]

Predicts a style from each picture, stylizes the clips with ``--stability none``, and prints e_stab, style, content and
brushwork as `flowbrush evaluate` measures them (docs/measures.md), with the rank of the picture among all given ones.
``--trained`` adds weight files of styles trained for a picture, by the stem of its file. ``--sheet`` draws the pictures
and a frame of each clip in their style. Nothing is left out: failures show as well.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.pop(0)  # this folder: its cuda.py would hide the package of that name, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from PIL import Image

from benchmarks.scoring import CELL_WIDTH, add_scoring, cell, score_line, stylized_scores
from models.registry import to_bytes
from pipeline.config import StylizeConfig
from pipeline.config.style_spec import Dials
from pipeline.decode.decoder import decode
from pipeline.decode.source import open_source
from pipeline.errors import PipelineError
from pipeline.evaluate.scores import Scores
from pipeline.frames import Pixels
from pipeline.media.stills import read_image, write_image
from pipeline.stylize.picture_style import predict_style
from pipeline.system.files.atomic import write_atomically


def main() -> int:
    arguments = _arguments()
    trained = dict(text.split("=", 1) for text in arguments.trained)
    rows: list[list[Pixels]] = []
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for picture in arguments.pictures:
                weights = {"predicted": str(_predicted(picture, arguments, folder))}
                if picture.stem in trained:
                    weights["trained"] = trained[picture.stem]
                for kind, style in weights.items():
                    rows.append([cell(read_image(picture, CELL_WIDTH))])
                    for clip in arguments.clips:
                        target = folder / f"{picture.stem}-{kind}-{clip.stem}.mkv"
                        scores = _measured(clip, target, style, picture, arguments)
                        print(f"{picture.stem} {kind} {clip.stem}: {line(scores)}", flush=True)
                        rows[-1].append(cell(_middle_frame(target, scores.frames)))
                        target.unlink()
    except (PipelineError, ValueError, OSError) as error:
        print(f"NOT MEASURED: {error}")
        return 1
    if arguments.sheet:
        write_image(arguments.sheet, sheet(rows))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("pictures", type=Path, nargs="+")
    add_scoring(parser, frames=0)
    add("--predictor", type=Path, metavar="FILE", help="default: the bundled one")
    add("--paint", type=float, default=1.0)
    add("--stillness", type=float, default=1.0)
    add("--trained", action="append", default=[], metavar="STEM=FILE", help="a style trained for a picture")
    add("--sheet", type=Path, metavar="FILE.png", help="draw a row of images for each style")
    return parser.parse_args()


def _predicted(picture: Path, arguments: argparse.Namespace, folder: Path) -> Path:
    """Return the weight file of the predicted style."""
    style = predict_style(picture, Dials(arguments.paint, arguments.stillness), arguments.predictor)
    file = folder / f"{picture.stem}.safetensors"
    write_atomically(str(file), to_bytes(style.network, [style.style], [style.metadata], {}))
    return file


def _measured(clip: Path, target: Path, style: str, picture: Path, arguments: argparse.Namespace) -> Scores:
    return stylized_scores(
        clip,
        target,
        StylizeConfig(style=style, stability="none", engine="eager"),
        painting=picture,
        loss_weights=arguments.loss_weights,
        structure_weights=arguments.structure_weights,
        among=arguments.pictures,
        frames=arguments.frames,
    )


def line(scores: Scores) -> str:
    """The scores of one stylized clip."""
    text = score_line(scores)
    if scores.brushwork is None:
        return text
    work = scores.brushwork
    distances = " / ".join(f"{value:.3f}" for value in work.distance.values())
    return f"{text}  d {distances}  rank {work.rank}"


def _middle_frame(path: Path, count: int) -> Pixels:
    with open_source(str(path)) as source:
        for number, frame in enumerate(decode(source)):
            if number == count // 2:
                return frame.pixels
    raise PipelineError(f"{path}: has no middle frame")


def sheet(rows: list[list[Pixels]]) -> Pixels:
    """Rows of images below each other, of the height of the highest."""
    bands = []
    for row in rows:
        height = max(image.shape[0] for image in row[1:])
        first = np.asarray(Image.fromarray(row[0]).resize((CELL_WIDTH, height)))
        bands.append(np.concatenate([first, *row[1:]], axis=1))
    return np.concatenate(bands)


if __name__ == "__main__":
    sys.exit(main())
