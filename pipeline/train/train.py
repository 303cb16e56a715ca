"""From paintings, photos and clips on disk to a weight file: reads, trains, keeps checkpoints, writes."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.registry import StyleMetadata, save
from pipeline.errors import InputError, OutputError, StyleError
from pipeline.media.stills import write_image
from pipeline.train.checkpoint import go_on, read_checkpoint, write_checkpoint
from pipeline.train.config import TrainConfig
from pipeline.train.setup import set_up
from pipeline.train.style_metadata import cards_of

if TYPE_CHECKING:
    from models.training.trainer import Trainer, TrainingReport

__all__ = ["Notify", "Progress", "TrainConfig", "Trained", "train"]


@dataclass(slots=True)
class Trained:
    """What a run came to.

    Attributes:
        output: the weight file.
        steps: that were run, earlier runs included.
        seconds: of training, earlier runs included, downloads not.
        ended: why: ``steps`` or ``minutes`` were used up, validation had reached a ``plateau``, or had grown ``worse``.
        validation: the weighted losses on held-out photos of the weights that were kept.
        loss_networks: names of the networks that judged.
    """

    output: Path
    steps: int = 0
    seconds: float = 0.0
    ended: str = "steps"
    validation: Mapping[str, float] = field(default_factory=dict)
    loss_networks: Sequence[str] = ()


Progress = Callable[["TrainingReport"], None]
Notify = Callable[[str], None]


def train(
    config: TrainConfig, progress: Progress = lambda report: None, *, notify: Notify = lambda line: None
) -> Trained:
    """Train a network on the paintings and write it; the output always holds the best weights so far.

    Args:
        config: what to learn, from what.
        progress: called after each step.
        notify: called with each thing that the user should know, one line.

    Raises:
        InputError: a painting, the content, a loss network, the cards or the checkpoint cannot be read.
        OutputError: the output exists, or cannot be written.
        StyleError: the checkpoint is of a run with other settings, ``start`` cannot be used, or training ran away.
        DeviceError: the device is not there.
    """
    _check_output(config)
    state = read_checkpoint(config.checkpoint) if config.resume else None
    if state is not None:
        config = config.following(state["config"])
    cards = cards_of(config)
    trainer, recipe = set_up(config, cards, notify)
    if state is not None:
        prepared = trainer.schedule.elapsed
        go_on(trainer, recipe, state, config.checkpoint)
        trainer.schedule.elapsed += prepared
        if not config.output.exists():
            trainer.forget_best()
    _learn(config, trainer, cards, recipe, progress)
    names = [source["network"] for source in recipe["loss_networks"]]
    return Trained(config.output, trainer.step, trainer.schedule.elapsed, trainer.ended, trainer.best, names)


def _learn(
    config: TrainConfig, trainer: "Trainer", cards: Sequence[StyleMetadata], recipe: dict[str, Any], progress: Progress
) -> None:
    """Train to the end; keep the best weights, a preview, and a checkpoint until then."""
    try:
        for report in _reports(trainer):
            if report.validation is not None:
                _write_preview(trainer, config.preview)
                if report.best:
                    reached = recipe | {"steps_run": report.step, "validation": dict(report.validation)}
                    _save(config.output, trainer, cards, reached)
                trainer.accept(report)
                write_checkpoint(trainer, recipe, config.checkpoint)
            progress(report)
    except KeyboardInterrupt:
        write_checkpoint(trainer, recipe, config.checkpoint)
        raise
    if not config.output.exists():
        raise OutputError(config.output, "was removed while training; --resume writes it again")
    config.checkpoint.unlink(missing_ok=True)


def _reports(trainer: "Trainer") -> Iterator["TrainingReport"]:
    from models.training.trainer import DivergedError

    try:
        yield from trainer.run()
    except DivergedError as error:
        raise StyleError(f"training ran away, {error}; lower the loss weights or look at the pictures") from error


def _check_output(config: TrainConfig) -> None:
    if not config.output.parent.is_dir():
        raise OutputError(config.output, f"the folder {config.output.parent} does not exist; create it first")
    if config.output.is_dir() or not os.access(config.output.parent, os.W_OK):
        raise OutputError(config.output, "no file can be written there; choose another place")
    if config.start_file is not None and config.output.exists() and config.output.samefile(config.start_file):
        raise OutputError(config.output, "is the file that training starts from; choose another name")
    if config.output.exists() and not (config.overwrite or config.resume):
        raise OutputError(config.output, "exists already; use --overwrite to replace it")
    if config.checkpoint.exists() and not (config.overwrite or config.resume):
        reason = "an interrupted run left it; use --resume to go on or --overwrite to begin anew"
        raise OutputError(config.checkpoint, reason)
    if config.resume and not config.checkpoint.exists():
        raise InputError(config.checkpoint, "no checkpoint to go on from; leave --resume away")


def _save(path: Path, trainer: "Trainer", cards: Sequence[StyleMetadata], recipe: Mapping[str, Any]) -> None:
    validation = {f"validation_{name}": round(value, 4) for name, value in recipe["validation"].items()}
    scored = [replace(card, figures={**card.figures, **validation}) for card in cards]
    try:
        save(path, trainer.network, trainer.styles(), scored, recipe)
    except OSError as error:
        raise OutputError(path, f"cannot be written ({error.strerror})") from error


def _write_preview(trainer: "Trainer", path: Path) -> None:
    """Photos in the first row, then a row for each style."""
    rows = [np.concatenate(list(row.permute(0, 2, 3, 1).cpu().numpy()), axis=1) for row in trainer.preview()]
    write_image(path, (np.concatenate(rows) * 255).round().astype(np.uint8))
