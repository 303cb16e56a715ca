"""How much of a style fits into its vectors? The bound of a predictor that predicts them alone.

    python benchmarks/experiments/upper_bound.py PAINTING ... --content PHOTOS [--steps 300] [--clips FILE ...]

Trains each painting twice from the mean of the bundled styles, with the same seed, photos and steps: the style vectors
alone, on frozen convolutions, and the whole network. Then both stylize the clips with ``--stability none`` and are
measured as by `flowbrush evaluate`. If the style score of the vectors is more than 1.6 times that of the whole network,
a predictor must change the convolutions as well.
"""

import argparse
import sys
from pathlib import Path
from statistics import geometric_mean

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.command import machine, machine_line, verdict
from benchmarks.scoring import add_scoring, score_line, stylized_scores, train_aloud
from pipeline.config import StylizeConfig
from pipeline.errors import PipelineError
from pipeline.evaluate.scores import Scores
from pipeline.train.config import TrainConfig

LARGEST_RATIO = 1.6
KINDS = {"vectors": (1.0, 0.0), "network": (0.0, 1.0)}
"""``vectors_first`` and ``network_rate`` of each training."""


def main() -> int:
    arguments = _arguments()
    print(machine_line(machine()))
    ratios = []
    try:
        arguments.folder.mkdir(parents=True, exist_ok=True)
        for painting in arguments.paintings:
            vectors, network = (_styles(kind, painting, arguments) for kind in KINDS)
            ratios += [a.style / b.style for a, b in zip(vectors, network, strict=True) if a.style and b.style]
    except (PipelineError, OSError) as error:
        print(f"NOT MEASURED: {error}")
        return 1
    ratio = geometric_mean(ratios)
    print(
        verdict(ratio <= LARGEST_RATIO, f"style of vectors {ratio:.2f} times the network's", f"at most {LARGEST_RATIO}")
    )
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("paintings", type=Path, nargs="+")
    add("--content", type=Path, nargs="+", required=True, metavar="FOLDER", help="photos to train on")
    add("--train-with", type=Path, action="append", default=[], metavar="FILE", help="loss network; may be repeated")
    add("--folder", type=Path, default=Path("upper_bound"), help="for the weight files; what is there is used again")
    add("--steps", type=int, default=300)
    add("--picture-px", type=int, default=400)
    add("--content-weight", type=float, default=1.0)
    add("--output-weight", type=float, default=600.0)
    add_scoring(parser, frames=0)
    return parser.parse_args()


def _styles(kind: str, painting: Path, arguments: argparse.Namespace) -> list[Scores]:
    vectors_first, network_rate = KINDS[kind]
    weights = arguments.folder / f"{painting.stem}-{kind}.safetensors"
    if not weights.exists():
        config = TrainConfig(
            paintings={painting.stem: painting},
            content=arguments.content,
            output=weights,
            loss_weights=arguments.train_with,
            steps=arguments.steps,
            vectors_first=vectors_first,
            network_rate=network_rate,
            plateau=0,
            batch=1,
            validate_every=arguments.steps,
            painting_px=arguments.picture_px,
            style_weight=20.0,
            content_weight=arguments.content_weight,
            output_weight=arguments.output_weight,
            feature_weight=1.0,
        )
        train_aloud(config)
    return [_measured(clip, painting, weights, arguments) for clip in arguments.clips]


def _measured(clip: Path, painting: Path, weights: Path, arguments: argparse.Namespace) -> Scores:
    scores = stylized_scores(
        clip,
        weights.with_name(f"{weights.stem}-{clip.stem}.mkv"),
        StylizeConfig(style=str(weights), stability="none", engine="eager"),
        painting=painting,
        loss_weights=arguments.loss_weights,
        frames=arguments.frames,
        structure_weights=arguments.structure_weights,
    )
    print(f"{weights.stem} {clip.stem}: {score_line(scores)}", flush=True)
    return scores


if __name__ == "__main__":
    sys.exit(main())
