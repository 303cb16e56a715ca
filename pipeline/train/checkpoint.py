"""What a training leaves beside its output so that it can go on: all of its state, and what it was made from."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.weight_file import write_whole
from pipeline.errors import OutputError, StyleError, first_line

if TYPE_CHECKING:
    from models.training.trainer import Trainer

COMPARED_ELSEWHERE = ("torch", "settings")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The state that `write_checkpoint` wrote; runs no code of the file.

    Raises:
        StyleError: it is none, or damaged.
    """
    import torch

    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        dict(state["config"])
    except Exception as error:  # torch.load fails in many ways; every one is a file we cannot use
        raise _unusable(path, error) from error
    return state


def go_on(trainer: "Trainer", recipe: Mapping[str, Any], state: Mapping[str, Any], path: Path) -> None:
    """Let ``trainer`` go on from the ``state`` read at ``path``.

    Raises:
        StyleError: the state is of a run with other settings, paintings, content or loss networks.
    """
    try:
        trainer.load_state(state)
        before = json.loads(state.get("recipe", "{}"))
        changed = [k for k, v in before.items() if k not in COMPARED_ELSEWHERE and v != recipe.get(k)]
        if changed:
            raise ValueError(f"the checkpoint is of a run with other {', '.join(changed)}")
    except Exception as error:  # a state of another shape fails in many ways
        raise _unusable(path, error) from error


def _unusable(path: Path, error: Exception) -> StyleError:
    return StyleError(f"{path}: cannot go on from it ({first_line(error)}); --overwrite begins anew")


def write_checkpoint(trainer: "Trainer", recipe: Mapping[str, Any], path: Path) -> None:
    """Write the state of ``trainer`` and its ``recipe``, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    import torch

    content = io.BytesIO()  # into a file on a full disk, `torch.save` raises RuntimeError
    torch.save(trainer.state() | {"recipe": json.dumps(recipe)}, content)
    try:
        write_whole(path, content.getbuffer())
    except OSError as error:
        raise OutputError(path, f"the checkpoint cannot be written ({error.strerror})") from error
