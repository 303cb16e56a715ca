"""Stylize a clip, measure it, keep the figures: what several benchmarks share."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from models.registry import find, with_styles
from pipeline.config import EncodeConfig, StylizeConfig, VideoConfig
from pipeline.evaluate.config import EvaluateConfig
from pipeline.evaluate.evaluate import evaluate
from pipeline.evaluate.scores import Scores
from pipeline.frames import Pixels
from pipeline.notices import Notify
from pipeline.run import stylize_video
from pipeline.system.files.atomic import write_atomically
from pipeline.train.config import TrainConfig
from pipeline.train.train import train
from sample_videos import CLIPS, clip

CELL_WIDTH = 320


def add_scoring(parser: argparse.ArgumentParser, *, frames: int) -> None:
    """The options of what is measured, and by what; ``frames`` is the default of ``--frames``."""
    add = parser.add_argument
    add("--clips", type=Path, nargs="+", default=[clip(name) for name in CLIPS], help="default: the sample videos")
    add("--loss-weights", type=Path, metavar="FILE", help="default: torchvision's VGG-19, downloaded once")
    add("--structure-weights", type=Path, metavar="FILE", help="of a loss network with relu4_1, for the structure")
    add("--frames", type=int, default=frames, metavar="N", help=f"compare about N pairs; 0 all; default: {frames}")


def score_line(scores: Scores) -> str:
    """Stability, style and content of one stylized clip."""
    return f"e_stab {scores.e_stab:.4f}  style {scores.style or 0:.3f}  content {scores.content or 0:.2f}"


def store_figures(style: str, figures: Mapping[str, float]) -> None:
    """Put the figures into the metadata of a style, in its weight file."""
    catalog, found = find(style)
    changed = dict(catalog.styles) | {found.name: replace(found, figures={**found.figures, **figures})}
    write_atomically(str(catalog.path), with_styles(catalog.path, list(changed.values())))


def train_aloud(config: TrainConfig) -> None:
    """Train, and print notices, steps and seconds."""
    done = train(config, notify=lambda line: print(f"note: {line}", file=sys.stderr))
    print(f"{config.output.stem}: {done.steps} steps in {done.seconds:.0f} s", flush=True)


def stylized_scores(
    path: Path,
    stylized: Path,
    settings: StylizeConfig,
    *,
    painting: Path | None,
    loss_weights: Path | None,
    frames: int,
    structure_weights: Path | None = None,
    among: Sequence[Path] = (),
    notify: Notify = lambda line: None,
) -> Scores:
    """Stylize the clip at ``path`` losslessly into ``stylized``, and measure it."""
    stylize_video(
        VideoConfig(source=str(path), target=str(stylized), stylize=settings, encode=EncodeConfig(codec="ffv1")),
        notify=notify,
    )
    return evaluate(
        EvaluateConfig(
            original=str(path),
            stylized=str(stylized),
            painting=painting,
            loss_weights=loss_weights,
            structure_weights=structure_weights,
            among=among,
            frames=frames,
        ),
        notify=notify,
    )


def cell(pixels: Pixels) -> Pixels:
    """A image ``(height, width, 3)`` at the width of a contact sheet's cell."""
    height = round(CELL_WIDTH * pixels.shape[0] / pixels.shape[1])
    return np.asarray(Image.fromarray(pixels).resize((CELL_WIDTH, height), Image.Resampling.LANCZOS), np.uint8)
