"""The files of a training run: output, checkpoint, preview; what styles and the predictor have in common."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pipeline.errors import InputError, OutputError, StyleError, first_line
from pipeline.media.stills import write_image
from pipeline.notices import Notify
from pipeline.system.files.atomic import remove, write_atomically
from pipeline.system.files.names import why_taken
from pipeline.system.lock import hold_lock
from pipeline.train.checkpoint import restore, write_checkpoint
from pipeline.train.shared_options import checkpoint_of, preview_of

if TYPE_CHECKING:
    from torch import Tensor

    from models.training.predictor.trainer import PredictorTrainer
    from models.training.report import TrainingReport
    from models.training.trainer import Trainer

Progress = Callable[["TrainingReport"], None]
MakeContent = Callable[[Mapping[str, Any]], bytes]
"""Returns the content of the weight file for a recipe, from the current weights."""


class RunConfig(Protocol):
    """Where a training run writes.

    Attributes:
        output: the weight file.
        start: file that it starts from, None for other weights.
        resume: whether to continue from the checkpoint.
        overwrite: whether existing files are replaced.
    """

    @property
    def output(self) -> Path: ...  # noqa: D102
    @property
    def start(self) -> Path | None: ...  # noqa: D102
    @property
    def resume(self) -> bool: ...  # noqa: D102
    @property
    def overwrite(self) -> bool: ...  # noqa: D102


class Run(Protocol):
    """A trainer: of styles, or of the predictor."""

    def run(self) -> "Iterator[TrainingReport]":
        """Train to the end, one report per step."""
        ...

    def accept(self, report: "TrainingReport") -> None:
        """Count the validation of ``report``."""
        ...

    def preview(self) -> "list[Tensor]":
        """Return rows of ``(count, 3, H, W)`` in [0, 1]."""
        ...

    def state(self) -> dict[str, Any]:
        """Return all that a run needs to resume."""
        ...


def resume(
    config: RunConfig, trainer: "Trainer | PredictorTrainer", recipe: dict[str, Any], state: Mapping[str, Any]
) -> None:
    """Restore ``trainer`` from the ``state`` of its checkpoint; the time of its set-up counts on top of that before.

    If the output is gone, so are the best weights: the next validation is the best.

    Raises:
        StyleError: the state is of another run.
    """
    setup_seconds = trainer.schedule.elapsed
    restore(trainer, recipe, state, checkpoint_of(config.output))
    trainer.schedule.elapsed += setup_seconds
    if not config.output.exists():
        trainer.forget_best()


def run_to_end(
    config: RunConfig,
    trainer: Run,
    make_content: MakeContent,
    recipe: Mapping[str, Any],
    progress: Progress,
    notify: Notify,
) -> None:
    """Train to the end; at each validation save the best weights and a checkpoint, then a preview, which may fail."""
    told: set[str] = set()
    is_drawn = False

    def draw_preview() -> None:
        if (failure := write_preview(trainer, preview_of(config.output))) and failure not in told:
            notify(f"{failure}; training continues without a preview")
            told.add(failure)

    try:
        for report in _reports(trainer):
            if report.validation is not None:
                if report.best:
                    reached = {**recipe, "steps_run": report.step, "validation": dict(report.validation)}
                    _write(config.output, make_content(reached))
                trainer.accept(report)
                write_checkpoint(trainer, recipe, checkpoint_of(config.output))
                draw_preview()
                is_drawn = True
            progress(report)
    except KeyboardInterrupt:
        write_checkpoint(trainer, recipe, checkpoint_of(config.output))
        raise
    if not config.output.exists():
        raise OutputError(config.output, "was removed while training; --resume writes it again")
    if not is_drawn:  # the run before was killed between its last checkpoint and the preview
        draw_preview()
    remove(str(checkpoint_of(config.output)))


def _reports(trainer: Run) -> Iterator["TrainingReport"]:
    from models.training.report import DivergedError

    try:
        yield from trainer.run()
    except DivergedError as error:
        remedy = "check the images, lower the loss weights, or start over with --overwrite --no-compile"
        raise StyleError(f"training diverged, {error}; {remedy}") from error


def locked(output: Path) -> AbstractContextManager[None]:
    """Return a context in which no other training writes ``output``.

    Raises:
        OutputError: on entering, if another one does.
    """
    return hold_lock(
        str(output.with_name(f".{output.name}.lock")),
        output,
        what="training",
        does="is writing it; wait for it, or stop it",
        unusable="no file can be written there ({}); choose another place",
        is_private=False,
        is_removed=True,
    )


def check_folder(output: Path) -> None:
    """Check that files can be written beside ``output``.

    Raises:
        OutputError: its folder is missing or cannot be written to.
    """
    if not output.parent.is_dir():
        raise OutputError(output, f"the folder {output.parent} does not exist; create it first")
    if output.is_dir() or not os.access(output.parent, os.W_OK):
        raise OutputError(output, "no file can be written there; choose another place")


def check_output(config: RunConfig) -> None:
    """Check that nothing is overwritten that should not be, and that there is a checkpoint to resume from.

    Raises:
        InputError: there is no checkpoint.
        OutputError: a file exists.
    """
    output, checkpoint = config.output, checkpoint_of(config.output)
    if config.start is not None and output.exists() and output.samefile(config.start):
        raise OutputError(output, "is the file that training starts from; choose another name")
    if not (config.overwrite or config.resume):
        for path in (output, preview_of(config.output)):
            if reason := why_taken(path):
                raise OutputError(path, reason)
        if why_taken(checkpoint):
            reason = "is left from an interrupted run; use --resume to resume it or --overwrite to start from scratch"
            raise OutputError(checkpoint, reason)
    if config.resume and not checkpoint.exists():
        raise InputError(checkpoint, "no checkpoint to resume from; leave out --resume")


def _write(path: Path, content: bytes) -> None:
    try:
        write_atomically(str(path), content)
    except OSError as error:
        raise OutputError(path, f"cannot be written ({error.strerror})") from error


def write_preview(trainer: Run, path: Path) -> str:
    """Draw the rows of the trainer's preview; return why that failed, empty if it did not."""
    try:
        rows = [np.concatenate(list(row.permute(0, 2, 3, 1).cpu().numpy()), axis=1) for row in trainer.preview()]
        write_image(path, (np.concatenate(rows) * 255).round().astype(np.uint8))
    except OutputError as error:
        return str(error)
    except (RuntimeError, MemoryError) as error:  # RuntimeError if the device has too little memory
        return f"{path}: the preview cannot be made ({first_line(error)})"
    return ""
