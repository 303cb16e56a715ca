"""How many steps does `flowbrush train` save by starting from the predicted style?

    python benchmarks/experiments/prediction_start.py PICTURE [--clip FILE] [--steps N] [--loss-weights FILE ...]

Trains the same picture twice with the same crops, from its prediction and from the mean of the bundled styles, and
prints the weighted losses on held-out frames at each validation, then after how many steps each run reaches what the
other one starts with and ends with.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

sys.path.pop(0)  # this folder
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import models.predictor
import sample_videos
from pipeline.train.config import TrainConfig
from pipeline.train.setup import build_trainer
from pipeline.train.style_metadata import metadata_of

Curve = list[tuple[int, float]]
"""Steps, and the loss after them."""


def main() -> int:
    arguments = _arguments()
    prediction = _curve(arguments, "prediction", models.predictor.BUNDLED)
    mean = _curve(arguments, "mean of the styles", Path("none"))
    for name, curve, other in (("prediction", prediction, mean), ("mean", mean, prediction)):
        for when, loss in (("starts", other[0][1]), ("ends", other[-1][1])):
            step = next((str(step) for step, value in curve if value <= loss), f"more than {curve[-1][0]}")
            print(f"from the {name}: {step} steps to the loss with which the other one {when}, {loss:.2f}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("picture", type=Path)
    add("--clip", type=Path, default=sample_videos.clip("harbor"))
    add("--steps", type=int, default=200)
    add("--every", type=int, default=20, help="steps between validations")
    add("--loss-weights", type=Path, nargs="*", default=[])
    return parser.parse_args()


def _curve(arguments: argparse.Namespace, name: str, predictor: Path) -> Curve:
    with tempfile.TemporaryDirectory() as folder, patch("models.predictor.BUNDLED", predictor):
        config = TrainConfig(
            paintings={"picture": arguments.picture},
            output=Path(folder) / "out.safetensors",
            content=[arguments.clip],
            steps=arguments.steps,
            validate_every=arguments.every,
            loss_weights=arguments.loss_weights,
            early_end=False,
            compile=False,
        )
        trainer, _ = build_trainer(config, metadata_of(config), lambda line: None)
    curve = [(0, sum(trainer.validate().values()))]
    print(f"from the {name}: step 0 {curve[0][1]:.2f}", flush=True)
    for report in trainer.run():
        if report.validation is not None:
            curve.append((report.step, sum(report.validation.values())))
            parts = "  ".join(f"{part} {value:.2f}" for part, value in report.validation.items())
            print(f"from the {name}: step {report.step} {curve[-1][1]:.2f}  ({parts})", flush=True)
    return curve


if __name__ == "__main__":
    sys.exit(main())
