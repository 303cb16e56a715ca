"""Checks of the state of a run that was stored: whoever can write the file can write anything into it."""

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import Field, fields
from typing import TYPE_CHECKING, Any

from torch import Tensor

from models.training.config import TrainingConfig

if TYPE_CHECKING:
    from models.training.predictor.config import PredictorTrainingConfig

LARGEST = sys.float_info.max
LARGEST_WHOLE = 2**63 - 1


def check_state(state: Mapping[str, Any]) -> None:
    """Check the types and ranges of all that `Trainer.state` returned before it was stored as JSON and tensors.

    Raises:
        ValueError: a value is missing, or is none that a run can have.
        TypeError: there is a setting that no run has.
    """
    _check_history(state, check_run_state(state, TrainingConfig))


def check_run_state(state: Mapping[str, Any], config: "type[TrainingConfig | PredictorTrainingConfig]") -> int:
    """Check what `RunState.state` returned before it was stored, of a run with settings of this class.

    Returns:
        The step.

    Raises:
        ValueError: a value is missing, or is none that a run can have.
        TypeError: there is a setting that no run has.
    """
    steps = config(**_settings(part(state, "config"), fields(config))).steps
    step = whole("step", value_of(state, "step"), steps)
    _check_schedule(part(state, "schedule"), step)
    for name, tensor in part(state, "tensors").items():
        _check_tensor(name, tensor, step)
    return step


def _settings(config: Mapping[str, Any], known: Iterable[Field[Any]]) -> Mapping[str, Any]:
    """Return ``config``, whose values have the types of the ``known`` fields."""
    for field in known:
        value = config.get(field.name, field.default)
        if isinstance(field.default, bool):
            fits = isinstance(value, bool)
        elif isinstance(field.default, int):
            fits = _is_number(value, int) and value <= LARGEST_WHOLE
        else:
            fits = _is_number(value, int | float) or value is field.default is None
        if not fits:
            raise ValueError(f"{field.name} cannot be {_shown(value)}")
    return config


def _check_schedule(schedule: Mapping[str, Any], step: int) -> None:
    """Check the state of a `Schedule`."""
    number("progress", value_of(schedule, "progress"), 1)
    number("elapsed", value_of(schedule, "elapsed"))
    finish = value_of(schedule, "finish")
    if finish is not None:
        if not isinstance(finish, list | tuple) or len(finish) != 2:
            raise ValueError(f"finish cannot be {_shown(finish)}")
        whole("the step of finish", finish[0], step)
        number("the progress of finish", finish[1], 1)


def _check_history(state: Mapping[str, Any], step: int) -> None:
    for name in ("worse", "stale", "validated"):
        whole(name, value_of(state, name), step)
    number("reference", value_of(state, "reference"), math.inf)
    best = part(state, "best")
    if strange := [name for name in best if not name.isidentifier()]:
        raise ValueError(f"best has a loss {_shown(strange[0])}")
    total = sum(number(name, loss) for name, loss in best.items()) if best else math.inf
    if not math.isclose(number("best_loss", value_of(state, "best_loss"), math.inf), total):
        raise ValueError("best_loss is not the sum of the best losses")


def _check_tensor(name: str, tensor: Tensor, step: int) -> None:
    """Check a tensor by its name."""
    if name == "generator":  # checked by what it is for
        return
    if not tensor.is_floating_point():
        raise ValueError(f"{name} has values of type {tensor.dtype}")
    if not tensor.isfinite().all():
        raise ValueError(f"{name} has values that are not finite")
    if name.endswith(".exp_avg_sq") and tensor.lt(0).any():
        raise ValueError(f"{name} has values below zero")
    if name.endswith(".step") and not tensor.ge(1).logical_and(tensor.le(step + 1)).all():  # + 1: amid a step
        raise ValueError(f"{name} is not from 1 to {step + 1}")


def value_of(values: Mapping[str, Any], name: str) -> Any:
    """Return the value called ``name``, which must be there."""
    if name not in values:
        raise ValueError(f"its {name} is missing")
    return values[name]


def part(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the mapping called ``name``."""
    part = value_of(values, name)
    if not isinstance(part, Mapping):
        raise ValueError(f"its {name} cannot be {_shown(part)}")
    return part


def number(name: str, value: Any, most: float = LARGEST) -> float:
    """Return ``value``, which must be a number from 0 to ``most``."""
    if not _is_number(value, int | float) or not value <= most:
        limit = "" if most >= LARGEST else f" to {most:g}"
        raise ValueError(f"{name} must be a number from 0{limit}, not {_shown(value)}")
    return float(value)


def whole(name: str, value: Any, most: int) -> int:
    """Return ``value``, which must be a whole number from 0 to ``most``."""
    if not _is_number(value, int) or not value <= most:
        raise ValueError(f"{name} must be a whole number from 0 to {most}, not {_shown(value)}")
    return int(value)


def _is_number(value: Any, kind: Any) -> bool:
    """Return whether the value is a number of this kind, and not negative: no value of a run is."""
    return isinstance(value, kind) and not isinstance(value, bool) and value >= 0


def _shown(value: Any) -> str:
    return f"{value!r:.40}"
