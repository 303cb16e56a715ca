"""Training the predictor at tiny size: it learns, averages, resumes exactly and shortens wild gradients."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from models.predictor.predictor import StylePredictor
from models.training.losses.objective import StyleTransferObjective
from models.training.predictor.config import PredictorTrainingConfig
from models.training.predictor.saved_state import check_state
from models.training.predictor.trainer import PredictorTrainer
from models.training.report import DivergedError
from tests.support.tiny import TINY, loss_network, photos, stripes

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = PredictorTrainingConfig(
    steps=4,
    styles=2,
    crop_px=64,
    picture_px=64,
    drawings=2,
    described=3,
    validate_every=2,
    validation_pictures=2,
    compile=False,
)


def trainer(config: PredictorTrainingConfig = CONFIG, **changes: Any) -> PredictorTrainer:
    torch.manual_seed(0)
    predictor = StylePredictor(TINY, hidden=8, directions=2)
    predictor.start_from(predictor.network.initial_style(), [predictor.network.initial_style()])
    settings: dict[str, Any] = {"held_out": photos(2)} | changes
    return PredictorTrainer(
        predictor,
        [stripes(), *photos(2)],
        settings.pop("held_out"),
        photos(4),
        StyleTransferObjective([loss_network()]),
        config,
        torch.device("cpu"),
        **settings,
    )


def weights(made: PredictorTrainer) -> list[torch.Tensor]:
    return [p.detach().clone() for p in made.predictor.parameters() if p.requires_grad]


def test_a_run_lowers_the_validation_loss() -> None:
    made = trainer(replace(CONFIG, steps=12, learning_rate=0.01, averaging=0.0))
    before = made.validate()
    reports = list(made.run())
    assert [report.step for report in reports] == list(range(1, 13))
    assert sum(made.best.values()) < sum(before.values())
    assert made.ended == "steps"
    assert set(reports[0].losses) == set(before)


def test_the_encoder_is_frozen_and_all_else_learns() -> None:
    made = trainer()
    encoder = {name: tensor.clone() for name, tensor in made.predictor.encoder.state_dict().items()}
    before = weights(made)
    list(made.run())
    assert all(torch.equal(tensor, encoder[name]) for name, tensor in made.predictor.encoder.state_dict().items())
    assert all(not torch.equal(a, b) for a, b in zip(before, weights(made), strict=True))


def test_a_trunk_rate_of_zero_keeps_the_trunk() -> None:
    made = trainer(replace(CONFIG, trunk_rate=0.0))
    before = [kernel.detach().clone() for kernel in made.predictor.trunk]
    list(made.run())
    assert all(torch.equal(a, b) for a, b in zip(before, made.predictor.trunk, strict=True))


def test_a_resumed_run_ends_as_one_that_was_not_interrupted() -> None:
    whole = trainer()
    list(whole.run())
    first = trainer()
    reports = first.run()
    for _ in range(3):
        next(reports)
    state = first.state()
    check_state(state)
    second = trainer()
    second.load_state(state)
    list(second.run())
    for a, b in zip(weights(whole), weights(second), strict=True):
        assert torch.equal(a, b)
    for a, b in zip(whole.average.parameters(), second.average.parameters(), strict=True):
        assert torch.equal(a, b)
    assert whole.best == second.best


def test_other_settings_are_named() -> None:
    state = trainer().state()
    with pytest.raises(ValueError, match=r"styles 2 -> 3"):
        trainer(replace(CONFIG, styles=3)).load_state(state)


def test_the_average_follows_slowly() -> None:
    made = trainer(replace(CONFIG, averaging=0.9, learning_rate=0.05))
    list(made.run())
    before, current = made.average.last.weight.clone(), made.predictor.last.weight.detach()
    assert not torch.equal(before, current)
    made._average()
    kept = (1 + made.step) / (10 + made.step)
    torch.testing.assert_close(made.average.last.weight, kept * before + (1 - kept) * current)


def test_losses_that_are_no_numbers_end_the_run() -> None:
    made = trainer(replace(CONFIG, steps=40, styles=1, validate_every=40))
    with torch.no_grad():
        made.predictor.center.fill_(torch.nan)
    with pytest.raises(DivergedError, match="at step 21"):
        list(made.run())


def test_a_gradient_without_bounds_spoils_one_step_only() -> None:
    made = trainer(replace(CONFIG, styles=1))
    before = weights(made)
    next(reports := made.run())
    after = weights(made)
    made.predictor.center.register_hook(lambda gradient: gradient * torch.inf)
    next(reports)
    assert all(torch.equal(a, b) for a, b in zip(after, weights(made), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_the_preview_shows_pictures_and_photos_in_their_style() -> None:
    rows = trainer().preview(2)
    assert [tuple(row.shape) for row in rows] == [(2, 3, 64, 64)] * 3


@pytest.mark.parametrize(("name", "value"), [("step", -1), ("gradient_norm", float("nan")), ("best", {"style": "x"})])
def test_a_state_that_no_run_has_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name if name != "best" else "style"):
        check_state(trainer().state() | {name: value})


def test_without_held_out_pictures_there_is_no_validation() -> None:
    with pytest.raises(ValueError, match="no held-out picture"):
        trainer(held_out=[])
