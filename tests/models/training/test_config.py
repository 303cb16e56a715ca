"""Settings of trainings: what is out of range is named."""

from typing import Any

import pytest

from models.training.config import TrainingConfig
from models.training.predictor.config import PredictorTrainingConfig


@pytest.mark.parametrize("config", [TrainingConfig, PredictorTrainingConfig])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop_px": 60}, "crop_px must be a multiple of"),
        ({"crop_px": 130}, "crop_px must be a multiple of"),
        ({"minutes": 0.0}, "minutes must be above 0, not 0"),
        ({"minutes": float("nan")}, "minutes must be above 0, not nan"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"seed": 2**63}, "seed must be at least 0"),
        ({"batch": 0}, "batch must be at least 1"),
        ({"clip_share": 1.5}, "clip_share must be from 0 to 1"),
    ],
)
def test_what_is_out_of_range_is_named(config: Any, settings: dict[str, Any], message: str) -> None:
    config()
    with pytest.raises(ValueError, match=message):
        config(**settings)
