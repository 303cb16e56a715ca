"""Train styles: check the output, build the trainer, train, save the best weights, checkpoints and previews."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.registry import StyleMetadata, to_bytes
from pipeline.notices import Notify
from pipeline.train.checkpoint import read_checkpoint
from pipeline.train.config import TrainConfig
from pipeline.train.run_loop import Progress, check_folder, check_output, locked, resume, run_to_end
from pipeline.train.setup import build_trainer
from pipeline.train.shared_options import checkpoint_of
from pipeline.train.style_metadata import metadata_of

if TYPE_CHECKING:
    from models.training.trainer import Trainer


@dataclass(frozen=True, slots=True)
class TrainSummary:
    """The result of a training run.

    Attributes:
        output: the weight file.
        steps: number of steps, earlier runs included.
        seconds: training time, earlier runs included, downloads excluded.
        ended: why it ended: ``steps`` or ``minutes`` are used up, validation reached a ``plateau`` or grew ``worse``.
        validation: weighted losses of the saved weights on held-out photos, by name.
        loss_networks: names of the loss networks.
    """

    output: Path
    steps: int
    seconds: float
    ended: str
    validation: Mapping[str, float]
    loss_networks: Sequence[str]


def train(
    config: TrainConfig, progress: Progress = lambda report: None, *, notify: Notify = lambda line: None
) -> TrainSummary:
    """Train a network on style images and write a weight file, which always contains the best weights so far.

    Args:
        config: what to train.
        progress: called after each step.
        notify: called with each notice for the user, one line.

    Raises:
        InputError: a style image, the content, a loss network, the metadata or the checkpoint cannot be read.
        OutputError: the output exists, cannot be written, or is written by another training.
        StyleError: the checkpoint comes from a run with other settings, ``start`` cannot be used, or training diverged.
        DeviceError: the device is not available.
    """
    check_folder(config.output)
    with locked(config.output):
        return _train(config, progress, notify)


def _train(config: TrainConfig, progress: Progress, notify: Notify) -> TrainSummary:
    check_output(config)
    state = read_checkpoint(checkpoint_of(config.output)) if config.resume else None
    if state is not None:
        config = config.resuming(state["config"])
    styles = metadata_of(config)
    trainer, recipe = build_trainer(config, styles, notify)
    if state is not None:
        resume(config, trainer, recipe, state)
    run_to_end(config, trainer, partial(_content, trainer, styles), recipe, progress, notify)
    names = [source["network"] for source in recipe["loss_networks"]]
    return TrainSummary(
        config.output, trainer.step, trainer.schedule.elapsed, trainer.ended, trainer.history.best, names
    )


def _content(trainer: "Trainer", styles: Sequence[StyleMetadata], recipe: Mapping[str, Any]) -> bytes:
    """Return the content of the weight file."""
    validation = {f"validation_{name}": round(value, 4) for name, value in recipe["validation"].items()}
    scored = [replace(style, figures={**style.figures, **validation}) for style in styles]
    return to_bytes(trainer.network, trainer.styles(), scored, recipe)
