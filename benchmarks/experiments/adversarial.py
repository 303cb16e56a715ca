"""What does the adversarial loss gain, and what does it cost? Trains paintings with and without it.

    python benchmarks/experiments/adversarial.py PAINTING ... --content PHOTOS [--weights 0 0.1 0.3 1] [--steps 400]

Trains each painting once for each weight, from the same start, with the same seed, photos and steps. Then each result
stylizes the clips with ``--stability none`` and is measured as by `flowbrush evaluate`: stability, style, content, and
the share of the painting's strokes. The sheet has a row for each painting and weight. Read the scores together with it:
brushwork that Gram matrices miss is what the loss is for, and they do not measure that.
"""

import argparse
import sys
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import av
from PIL import Image

from benchmarks.command import machine, machine_line
from benchmarks.gallery import contact_sheet
from benchmarks.scoring import add_scoring, cell, score_line, stylized_scores, train_aloud
from pipeline.config import StylizeConfig
from pipeline.errors import PipelineError
from pipeline.frames import Pixels
from pipeline.train.config import TrainConfig

MOMENT = 0.5
"""Of each clip, for the sheet."""


def main() -> int:
    arguments = _arguments()
    print(machine_line(machine()))
    rows: dict[str, list[Pixels]] = {}
    try:
        arguments.folder.mkdir(parents=True, exist_ok=True)
        for painting in arguments.paintings:
            for weight in arguments.weights:
                file = _trained(painting, weight, arguments)
                rows[f"{painting.stem} {weight:g}"] = [
                    _measured(each, painting, file, arguments) for each in arguments.clips
                ]
    except (PipelineError, OSError) as error:
        print(f"NOT MEASURED: {error}")
        return 1
    Image.fromarray(contact_sheet(rows)).save(arguments.folder / "sheet.png")
    print(f"{arguments.folder / 'sheet.png'}: look at it")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("paintings", type=Path, nargs="+")
    add("--content", type=Path, nargs="+", required=True, metavar="FOLDER", help="photos to train on")
    add("--train-with", type=Path, action="append", default=[], metavar="FILE", help="loss network; may be repeated")
    add("--start", type=Path, metavar="FILE", help="weight file to start from")
    add("--folder", type=Path, default=Path("adversarial"), help="for the weight files; what is there is used again")
    add("--weights", type=float, nargs="+", default=[0.0, 0.1, 0.3, 1.0])
    add("--steps", type=int, default=400)
    add_scoring(parser, frames=24)
    return parser.parse_args()


def _trained(painting: Path, weight: float, arguments: argparse.Namespace) -> Path:
    """Return the weight file of a training; what an earlier run has finished is used again."""
    file: Path = arguments.folder / f"{painting.stem}-{weight:g}.safetensors"
    checkpoint = file.with_suffix(".checkpoint")
    if not file.exists() or checkpoint.exists():
        config = TrainConfig(
            paintings={painting.stem: painting},
            content=arguments.content,
            output=file,
            loss_weights=arguments.train_with,
            start=arguments.start,
            adversarial=weight,
            steps=arguments.steps,
            early_end=False,
            resume=checkpoint.exists(),
        )
        train_aloud(config)
    return file


def _measured(clip: Path, painting: Path, file: Path, arguments: argparse.Namespace) -> Pixels:
    """Print the scores of a clip in the style of a weight file; return a frame for the sheet."""
    stylized = file.with_name(f"{file.stem}-{clip.stem}.mkv")
    stylized.unlink(missing_ok=True)
    scores = stylized_scores(
        clip,
        stylized,
        StylizeConfig(style=str(file), stability="none", engine="eager"),
        painting=painting,
        loss_weights=arguments.loss_weights,
        frames=arguments.frames,
        structure_weights=arguments.structure_weights,
    )
    figures = score_line(scores)
    if scores.brushwork is not None:
        figures += f"  share of strokes {' '.join(f'{share:.2f}' for share in scores.brushwork.share.values())}"
    print(f"{file.stem} {clip.stem}: {figures}", flush=True)
    with av.open(str(stylized)) as container:
        frame = next(islice(container.decode(video=0), int(MOMENT * scores.frames), None))
        return cell(frame.to_ndarray(format="rgb24"))


if __name__ == "__main__":
    sys.exit(main())
