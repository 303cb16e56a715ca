"""What the temporal losses are worth: one recipe, trained with them and without, the network alone measured.

    python benchmarks/experiments/temporal.py PAINTING --content PHOTOS [--steps 800] [--loss-weights FILE]

Trains a style from scratch twice with the same seed, photos and steps; the second time the weights of the temporal
losses are 0. Then both stylize the clips with ``--stability none`` and are measured as by `flowbrush evaluate`. A
weaker style is always more stable, and without temporal losses a style is learnt sooner: ``--plain-steps``,
``--plain-style-weight`` and ``--plain-content-weight`` bring that run to the style and content scores of the other. The
ratio of ``e_stab`` counts where these agree within 10 %.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.command import CommandError, machine, machine_line, stylize, verdict
from pipeline.errors import PipelineError
from pipeline.evaluate.config import EvaluateConfig
from pipeline.evaluate.evaluate import evaluate
from pipeline.evaluate.scores import Scores
from pipeline.train.config import TrainConfig
from pipeline.train.train import train
from sample_videos import CLIPS, clip

WANTED, NEAR = 0.7, 0.1


def main() -> int:
    arguments = _arguments()
    print(machine_line(machine()))
    try:
        arguments.folder.mkdir(parents=True, exist_ok=True)
        found = {name: _trained_and_measured(name, arguments) for name in ("temporal", "plain")}
    except (CommandError, PipelineError, OSError) as error:
        print(f"NOT MEASURED: {error}")
        return 1
    for path in arguments.clips:
        _hold_against(path, found["temporal"][path], found["plain"][path])
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("painting", type=Path)
    add("--content", type=Path, nargs="+", required=True, metavar="FOLDER", help="photos to train on")
    add("--clips", type=Path, nargs="+", default=[clip(name) for name in CLIPS], help="default: the sample videos")
    add("--folder", type=Path, default=Path("temporal"), help="for both weight files; what is there is used again")
    add("--steps", type=int, default=800)
    add("--crop-px", type=int, default=192)
    add("--style-weight", type=float, default=14.0)
    add("--content-weight", type=float, default=0.7)
    add("--output-weight", type=float, default=250.0)
    add("--feature-weight", type=float, default=0.5)
    add("--plain-steps", type=int, help="without temporal losses; default: --steps")
    add("--plain-style-weight", type=float, help="without temporal losses; default: --style-weight")
    add("--plain-content-weight", type=float, help="without temporal losses; default: --content-weight")
    add("--loss-weights", type=Path, action="append", default=[], metavar="FILE", help="the first one measures, too")
    add("--device", default="auto")
    return parser.parse_args()


def _trained_and_measured(name: str, arguments: argparse.Namespace) -> dict[Path, Scores]:
    output = arguments.folder / f"{name}.safetensors"
    if not output.exists():
        done = train(_config(name, output, arguments), notify=lambda line: print(f"note: {line}", file=sys.stderr))
        print(f"{name}: {done.steps} steps in {done.seconds:.0f} s", flush=True)
    return {path: _measured(path, output, arguments) for path in arguments.clips}


def _config(name: str, output: Path, arguments: argparse.Namespace) -> TrainConfig:
    plain = name == "plain"
    style, content = arguments.style_weight, arguments.content_weight
    return TrainConfig(
        paintings={"style": arguments.painting},
        content=arguments.content,
        output=output,
        loss_weights=arguments.loss_weights,
        start=None,
        steps=(arguments.plain_steps or arguments.steps) if plain else arguments.steps,
        plateau=0,
        validate_every=200,
        crop_px=arguments.crop_px,
        style_weight=(arguments.plain_style_weight or style) if plain else style,
        content_weight=(arguments.plain_content_weight or content) if plain else content,
        output_weight=0.0 if plain else arguments.output_weight,
        feature_weight=0.0 if plain else arguments.feature_weight,
        device=arguments.device,
    )


def _measured(path: Path, weights: Path, arguments: argparse.Namespace) -> Scores:
    target = weights.with_name(f"{weights.stem}-{path.stem}.mkv")
    stylize(path, target, "--style", str(weights), "--stability", "none", "--codec", "ffv1")
    judge = arguments.loss_weights[0] if arguments.loss_weights else None
    scores = evaluate(
        EvaluateConfig(
            original=str(path), stylized=str(target), painting=arguments.painting, loss_weights=judge, frames=0
        )
    )
    print(
        f"{weights.stem} {path.stem}: e_stab {scores.e_stab:.4f}  e_stab10 {scores.e_stab10:.4f}  "
        f"style {scores.style:.4f}  content {scores.content:.3f}",
        flush=True,
    )
    return scores


def _hold_against(path: Path, temporal: Scores, plain: Scores) -> None:
    for name in ("e_stab", "e_stab10"):
        ratio = getattr(temporal, name) / getattr(plain, name)
        print(verdict(ratio <= WANTED, f"{path.stem} {name} {ratio:.2f} times that without", f"at most {WANTED}"))
    for name in ("style", "content"):
        ratio = getattr(temporal, name) / getattr(plain, name)
        print(verdict(abs(ratio - 1) <= NEAR, f"{path.stem} {name} {ratio:.2f} times that without", "within 10 %"))


if __name__ == "__main__":
    sys.exit(main())
