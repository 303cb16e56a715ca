"""Checks of the stored state of a training of the predictor, as `models.training.saved_state` has them for styles."""

import math
from collections.abc import Mapping
from typing import Any

from models.training.predictor.config import PredictorTrainingConfig
from models.training.saved_state import check_run_state, number, part, value_of


def check_state(state: Mapping[str, Any]) -> None:
    """Check the types and ranges of all that `PredictorTrainer.state` returned before it was stored.

    Raises:
        ValueError: a value is missing, or is none that a run can have.
        TypeError: there is a setting that no run has.
    """
    check_run_state(state, PredictorTrainingConfig)
    number("gradient_norm", value_of(state, "gradient_norm"))
    best = part(state, "best")
    if not math.isfinite(sum(number(name, loss) for name, loss in best.items())):
        raise ValueError("best is not finite")
