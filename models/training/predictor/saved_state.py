"""Checks of the stored state of a training of the predictor, as `models.training.saved_state` has them for styles."""

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from models.training.predictor.config import PredictorTrainingConfig
from models.training.saved_state import check_schedule, check_tensor, number, part, settings, value_of, whole


def check_state(state: Mapping[str, Any]) -> None:
    """Check the types and ranges of all that `PredictorTrainer.state` returned before it was stored.

    Raises:
        ValueError: a value is missing, or is none that a run can have.
        TypeError: there is a setting that no run has.
    """
    config = PredictorTrainingConfig(**settings(part(state, "config"), fields(PredictorTrainingConfig)))
    step = whole("step", value_of(state, "step"), config.steps)
    check_schedule(part(state, "schedule"), step)
    number("gradient_norm", value_of(state, "gradient_norm"))
    best = part(state, "best")
    if not math.isfinite(sum(number(name, loss) for name, loss in best.items())):
        raise ValueError("best is not finite")
    for name, tensor in part(state, "tensors").items():
        check_tensor(name, tensor, step)
