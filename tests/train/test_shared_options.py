"""What both trainings have in common: the same options mean the same, and are checked alike."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.training.losses.objective import NAMES
from pipeline.train.config import TrainConfig
from pipeline.train.predictor.config import PredictorTrainConfig
from pipeline.train.shared_options import checkpoint_of, preview_of

Config = Callable[..., TrainConfig | PredictorTrainConfig]


def of_styles(**changes: Any) -> TrainConfig:
    settings: dict[str, Any] = {"paintings": {"a": Path("a.jpg")}, "output": Path("a.safetensors")}
    return TrainConfig(**settings | changes)


def of_the_predictor(**changes: Any) -> PredictorTrainConfig:
    settings: dict[str, Any] = {
        "pictures": [Path("a")],
        "start": Path("b.safetensors"),
        "output": Path("a.safetensors"),
    }
    return PredictorTrainConfig(**settings | changes)


both = pytest.mark.parametrize("config", [of_styles, of_the_predictor])


@both
@pytest.mark.parametrize("name", NAMES)
def test_each_loss_has_its_own_weight(config: Config, name: str) -> None:
    before, after = config().weights(), config(**{f"{name}_weight": 7.0}).weights()
    assert getattr(after, name) == 7
    changed = {each for each in NAMES if getattr(before, each) != getattr(after, each)}
    assert changed == {name}
    with pytest.raises(ValueError, match=f"{name} weight must be 0 or more, not -1"):
        config(**{f"{name}_weight": -1.0})


@both
def test_the_output_is_a_weight_file(config: Config) -> None:
    with pytest.raises(ValueError, match=r"a\.onnx: a weight file ends in \.safetensors"):
        config(output=Path("a.onnx"))


def test_stillness_doubles_the_weights_on_stability_alone() -> None:
    plain, calm = of_styles().weights(), of_styles(stillness=2).weights()
    assert (calm.output, calm.feature) == (2 * plain.output, 2 * plain.feature)
    assert (calm.style, calm.content) == (plain.style, plain.content)


def test_the_files_of_a_run_are_beside_its_output() -> None:
    output = Path("out/a.safetensors")
    assert (checkpoint_of(output), preview_of(output)) == (Path("out/a.checkpoint"), Path("out/a.preview.png"))
