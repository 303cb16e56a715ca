"""Train a style predictor: check the output, build the trainer, train, save the best weights and checkpoints."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline.notices import Notify
from pipeline.train.checkpoint import read_checkpoint
from pipeline.train.predictor.config import PredictorTrainConfig
from pipeline.train.predictor.setup import build_trainer
from pipeline.train.run_loop import Progress, check_folder, check_output, locked, resume, run_to_end
from pipeline.train.shared_options import checkpoint_of
from pipeline.train.train import TrainSummary

if TYPE_CHECKING:
    from models.training.predictor.trainer import PredictorTrainer


def train_predictor(
    config: PredictorTrainConfig, progress: Progress = lambda report: None, *, notify: Notify = lambda line: None
) -> TrainSummary:
    """Train a network that predicts styles from pictures, and write a weight file with the best weights so far.

    Args:
        config: what to train.
        progress: called after each step.
        notify: called with each notice for the user, one line.

    Raises:
        InputError: pictures, content, the encoder, a loss network or the checkpoint cannot be read.
        OutputError: the output exists, cannot be written, or is written by another training.
        StyleError: the checkpoint comes from a run with other settings, ``start`` cannot be used, or training diverged.
        DeviceError: the device is not available.
    """
    from models.training.predictor.saved_state import check_state

    check_folder(config.output)
    with locked(config.output):
        check_output(config)
        state = read_checkpoint(checkpoint_of(config.output), check_state) if config.resume else None
        trainer, recipe = build_trainer(config, notify)
        if state is not None:
            resume(config, trainer, recipe, state)
        run_to_end(config, trainer, partial(_content, trainer), recipe, progress, notify)
    names = [source["network"] for source in recipe["loss_networks"]]
    return TrainSummary(config.output, trainer.step, trainer.schedule.elapsed, trainer.ended, trainer.best, names)


def _content(trainer: "PredictorTrainer", recipe: Mapping[str, Any]) -> bytes:
    """Return the content of the weight file."""
    from models.predictor.file import to_bytes

    return to_bytes(trainer.average, recipe)
