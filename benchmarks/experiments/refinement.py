"""What does `--refine` gain, after how many steps, and at which learning rate?

    python benchmarks/experiments/refinement.py PICTURE ... [--clip FILE] [--steps N] [--rates R ...] [--loss-weights F]

Refines the predicted style of each picture on the clip, for a number of steps in place of seconds, so that the result
does not depend on the machine; prints the weighted losses on held-out frames before, and at each validation.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import patch

sys.path.pop(0)  # this folder
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import sample_videos
from models.training.report import TrainingReport
from models.training.trainer import Trainer
from pipeline.config import RefineConfig, StylizeConfig, VideoConfig
from pipeline.train.refine import LEARNING_RATE, refine_picture

LONG_SECONDS = 80_000
"""More than all steps take."""


def main() -> int:
    arguments = _arguments()
    for picture in arguments.pictures:
        for rate in arguments.rates:
            _refine(arguments, picture, rate)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("pictures", type=Path, nargs="+")
    add("--clip", type=Path, default=sample_videos.clip("harbor"))
    add("--steps", type=int, default=60)
    add("--rates", type=float, nargs="*", default=[LEARNING_RATE], help="learning rates")
    add("--loss-weights", type=Path, nargs="*", default=[])
    return parser.parse_args()


def _refine(arguments: argparse.Namespace, picture: Path, rate: float) -> None:
    def show(step: int, losses: Mapping[str, float]) -> None:
        parts = "  ".join(f"{name} {value:.2f}" for name, value in losses.items())
        print(f"{picture.stem} rate {rate:g} step {step}: {sum(losses.values()):.2f}  ({parts})", flush=True)

    def report(each: TrainingReport) -> None:
        if each.validation is not None:
            show(each.step, each.validation)

    class ShowingTrainer(Trainer):
        """Shows the losses before the first step."""

        def validate(self) -> dict[str, float]:
            losses = super().validate()
            if self.step == 0:
                show(0, losses)
            return losses

    config = VideoConfig(
        source=str(arguments.clip),
        target="out.mp4",  # is not written
        stylize=StylizeConfig(style_image=str(picture)),
        refine=RefineConfig(seconds=LONG_SECONDS, loss_weights=tuple(arguments.loss_weights)),
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        patch("models.training.trainer.Trainer", ShowingTrainer),
        patch("pipeline.train.config.UNLIMITED_STEPS", arguments.steps),
        patch("pipeline.train.shared_options.SHORTEST_COMPILED_MINUTES", LONG_SECONDS),
        patch("pipeline.train.refine.LEARNING_RATE", rate),
    ):
        refine_picture(config, picture, Path(folder) / "preview.png", report=report, notify=lambda line: None)


if __name__ == "__main__":
    sys.exit(main())
