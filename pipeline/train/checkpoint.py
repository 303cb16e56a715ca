"""Checkpoints: the state of a training run, and what it was made from, in a file beside the output.

A safetensors file: tensors, and JSON in its metadata. It is read with the limits of weight files, and runs no code.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from models.weight_file import PickleFileError, read_header
from pipeline.errors import OutputError, StyleError, first_line
from pipeline.system.files.atomic import write_atomically
from pipeline.system.files.reading import open_input

if TYPE_CHECKING:
    from models.training.predictor.trainer import PredictorTrainer
    from models.training.trainer import Trainer

Check = Callable[[Mapping[str, Any]], None]
FORMAT = "flowbrush-checkpoint-1"
NOT_COMPARED = ("torch", "settings")
"""Entries of the recipe that may differ, or that the trainer compares itself."""


class HasState(Protocol):
    """A trainer."""

    def state(self) -> dict[str, Any]:
        """Return all that a run needs to resume."""
        ...


def read_checkpoint(path: Path, check: Check | None = None) -> dict[str, Any]:
    """Return the state that `write_checkpoint` wrote, and its recipe.

    Args:
        path: of the checkpoint.
        check: raises an error if a state has values that no run can have; None for a run that trains styles.

    Raises:
        StyleError: it is damaged, not a checkpoint, of an earlier version, or has values that no run can have.
    """
    from safetensors.torch import load

    from models.training.saved_state import check_state

    try:
        with open_input(path) as file:
            metadata = read_header(file)["__metadata__"]
            if metadata["format"] != FORMAT:
                raise ValueError(f"its format is not {FORMAT}")
            file.seek(0)
            tensors = load(file.read())
        state: dict[str, Any] = json.loads(metadata["state"]) | {"tensors": tensors}
        (check or check_state)(state)
        recipe = json.loads(metadata["recipe"])
        if not isinstance(recipe, dict):
            raise ValueError("its recipe is missing")
    except PickleFileError as error:
        raise _unusable(path, "an earlier version wrote it, and this one cannot resume it") from error
    except OSError as error:
        raise _unusable(path, error.strerror or first_line(error)) from error
    except Exception as error:  # a file of another kind raises anything
        raise _unusable(path, f"not a checkpoint, or damaged: {first_line(error)}") from error
    return state | {"recipe": recipe}


def restore(
    trainer: "Trainer | PredictorTrainer", recipe: dict[str, Any], state: Mapping[str, Any], path: Path
) -> None:
    """Restore ``trainer`` from the ``state`` read at ``path``.

    Raises:
        StyleError: the state comes from a run with other settings, style images, content or loss networks.
    """
    try:
        trainer.load_state(state)
        before = state["recipe"]
        keys = (key for key in recipe | before if key not in NOT_COMPARED)
        if changed := [key for key in keys if before.get(key) != recipe.get(key)]:
            raise ValueError(f"the checkpoint comes from a run with other {', '.join(changed)}")
    except Exception as error:  # a state of another network raises anything
        raise _unusable(path, first_line(error)) from error


def _unusable(path: Path, reason: str) -> StyleError:
    return StyleError(f"{path}: cannot be resumed ({reason}); --overwrite starts from scratch")


def write_checkpoint(trainer: HasState, recipe: Mapping[str, Any], path: Path) -> None:
    """Write the state of ``trainer`` and its ``recipe``, all or nothing.

    Raises:
        OutputError: it cannot be written.
    """
    from safetensors.torch import save

    state = trainer.state()
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.pop("tensors").items()}
    metadata = {"format": FORMAT, "state": json.dumps(state), "recipe": json.dumps(recipe)}
    try:
        write_atomically(str(path), save(tensors, metadata))
    except OSError as error:
        raise OutputError(path, f"the checkpoint cannot be written ({error.strerror})") from error
