"""Train styles: check the output, build the trainer, train, save the best weights, checkpoints and previews."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.registry import StyleMetadata, to_bytes
from pipeline.errors import InputError, OutputError, StyleError, first_line
from pipeline.media.stills import write_image
from pipeline.notices import Notify
from pipeline.resume.lock import HeldError, Lock
from pipeline.system.files import remove, why_taken, write_atomically
from pipeline.train.checkpoint import read_checkpoint, restore, write_checkpoint
from pipeline.train.config import TrainConfig
from pipeline.train.setup import build_trainer
from pipeline.train.style_metadata import metadata_of

if TYPE_CHECKING:
    from models.training.trainer import Trainer, TrainingReport

Progress = Callable[["TrainingReport"], None]


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
        StyleError: the checkpoint is of a run with other settings, ``start`` cannot be used, or training diverged.
        DeviceError: the device is not available.
    """
    _check_folder(config.output)
    with _locked(config.output):
        return _train(config, progress, notify)


def _train(config: TrainConfig, progress: Progress, notify: Notify) -> TrainSummary:
    _check_output(config)
    state = read_checkpoint(config.checkpoint) if config.resume else None
    if state is not None:
        config = config.resuming(state["config"])
    styles = metadata_of(config)
    trainer, recipe = build_trainer(config, styles, notify)
    if state is not None:
        setup_seconds = trainer.schedule.elapsed
        restore(trainer, recipe, state, config.checkpoint)
        trainer.schedule.elapsed += setup_seconds
        if not config.output.exists():
            trainer.forget_best()
    _run(config, trainer, styles, recipe, progress, notify)
    names = [source["network"] for source in recipe["loss_networks"]]
    return TrainSummary(
        config.output, trainer.step, trainer.schedule.elapsed, trainer.ended, trainer.history.best, names
    )


def _run(
    config: TrainConfig,
    trainer: "Trainer",
    styles: Sequence[StyleMetadata],
    recipe: dict[str, Any],
    progress: Progress,
    notify: Notify,
) -> None:
    """Train to the end; at each validation save the best weights and a checkpoint, then a preview, which may fail."""
    told: set[str] = set()
    is_drawn = False

    def draw_preview() -> None:
        if (failure := _write_preview(trainer, config.preview)) and failure not in told:
            notify(f"{failure}; training continues without a preview")
            told.add(failure)

    try:
        for report in _reports(trainer):
            if report.validation is not None:
                if report.best:
                    reached = recipe | {"steps_run": report.step, "validation": dict(report.validation)}
                    _save(config.output, trainer, styles, reached)
                trainer.accept(report)
                write_checkpoint(trainer, recipe, config.checkpoint)
                draw_preview()
                is_drawn = True
            progress(report)
    except KeyboardInterrupt:
        write_checkpoint(trainer, recipe, config.checkpoint)
        raise
    if not config.output.exists():
        raise OutputError(config.output, "was removed while training; --resume writes it again")
    if not is_drawn:  # the run before was killed between its last checkpoint and the preview
        draw_preview()
    remove(str(config.checkpoint))


def _reports(trainer: "Trainer") -> Iterator["TrainingReport"]:
    from models.training.trainer import DivergedError

    try:
        yield from trainer.run()
    except DivergedError as error:
        remedy = "check the images, lower the loss weights, or start over with --overwrite --no-compile"
        raise StyleError(f"training diverged, {error}; {remedy}") from error


@contextmanager
def _locked(output: Path) -> Iterator[None]:
    """Context in which no other training writes ``output``."""
    path = output.with_name(f".{output.name}.lock")
    try:
        lock = Lock(str(path), is_private=False)
    except HeldError as error:
        process = f" (process {error.process})" if error.process is not None else ""
        raise OutputError(output, f"another training{process} is writing it; wait for it, or stop it") from error
    except OSError as error:
        raise OutputError(output, f"no file can be written there ({error.strerror}); choose another place") from error
    try:
        yield
    finally:
        lock.remove()


def _check_folder(output: Path) -> None:
    if not output.parent.is_dir():
        raise OutputError(output, f"the folder {output.parent} does not exist; create it first")
    if output.is_dir() or not os.access(output.parent, os.W_OK):
        raise OutputError(output, "no file can be written there; choose another place")


def _check_output(config: TrainConfig) -> None:
    output, checkpoint = config.output, config.checkpoint
    if config.start is not None and output.exists() and output.samefile(config.start):
        raise OutputError(output, "is the file that training starts from; choose another name")
    if not (config.overwrite or config.resume):
        for path in (output, config.preview):
            if reason := why_taken(path):
                raise OutputError(path, reason)
        if why_taken(checkpoint):
            reason = "is left from an interrupted run; use --resume to resume it or --overwrite to start from scratch"
            raise OutputError(checkpoint, reason)
    if config.resume and not checkpoint.exists():
        raise InputError(checkpoint, "no checkpoint to resume from; leave out --resume")


def _save(path: Path, trainer: "Trainer", styles: Sequence[StyleMetadata], recipe: Mapping[str, Any]) -> None:
    validation = {f"validation_{name}": round(value, 4) for name, value in recipe["validation"].items()}
    scored = [replace(style, figures={**style.figures, **validation}) for style in styles]
    try:
        write_atomically(str(path), to_bytes(trainer.network, trainer.styles(), scored, recipe))
    except OSError as error:
        raise OutputError(path, f"cannot be written ({error.strerror})") from error


def _write_preview(trainer: "Trainer", path: Path) -> str:
    """Draw photos in the first row, then a row for each style; return why that failed, empty if it did not."""
    try:
        rows = [np.concatenate(list(row.permute(0, 2, 3, 1).cpu().numpy()), axis=1) for row in trainer.preview()]
        write_image(path, (np.concatenate(rows) * 255).round().astype(np.uint8))
    except OutputError as error:
        return str(error)
    except (RuntimeError, MemoryError) as error:  # RuntimeError if the device has too little memory
        return f"{path}: the preview cannot be made ({first_line(error)})"
    return ""
