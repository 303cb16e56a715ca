"""Checkpoints: the state of a training run, and what it was made from, in a file beside the output."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import OutputError, StyleError, first_line
from pipeline.system.files import write_atomically

if TYPE_CHECKING:
    from models.training.trainer import Trainer

NOT_COMPARED = ("torch", "settings")
"""Entries of the recipe that may differ, or that the trainer compares itself."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the state that `write_checkpoint` wrote; runs no code of the file.

    Raises:
        StyleError: it is damaged, or not a checkpoint.
    """
    import torch

    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        dict(state["config"])
    except Exception as error:  # torch.load raises anything; each is a file that cannot be used
        raise _unusable(path, error) from error
    return state


def restore(trainer: "Trainer", recipe: Mapping[str, Any], state: Mapping[str, Any], path: Path) -> None:
    """Restore ``trainer`` from the ``state`` read at ``path``.

    Raises:
        StyleError: the state is of a run with other settings, style images, content or loss networks.
    """
    try:
        trainer.load_state(state)
        before = json.loads(state.get("recipe", "{}"))
        changed = [key for key, value in before.items() if key not in NOT_COMPARED and value != recipe.get(key)]
        if changed:
            raise ValueError(f"the checkpoint is of a run with other {', '.join(changed)}")
    except Exception as error:  # a state of another format raises anything
        raise _unusable(path, error) from error


def _unusable(path: Path, error: Exception) -> StyleError:
    return StyleError(f"{path}: cannot be resumed ({first_line(error)}); --overwrite starts from scratch")


def write_checkpoint(trainer: "Trainer", recipe: Mapping[str, Any], path: Path) -> None:
    """Write the state of ``trainer`` and its ``recipe``, all or nothing.

    Raises:
        OutputError: it cannot be written.
    """
    import torch

    content = io.BytesIO()  # on a full disk, `torch.save` into a file raises RuntimeError
    torch.save(trainer.state() | {"recipe": json.dumps(recipe)}, content)
    try:
        write_atomically(str(path), content.getbuffer())
    except OSError as error:
        raise OutputError(path, f"the checkpoint cannot be written ({error.strerror})") from error
