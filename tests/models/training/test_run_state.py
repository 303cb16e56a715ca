"""Where a run is: stored under names that earlier and later versions read, and resumed only with its own settings."""

import dataclasses
import json
import re

import pytest
import torch

from models.training.config import TrainingConfig
from models.training.run_state import RunState
from models.training.saved_state import check_state
from models.training.schedule import one_cycle
from models.training.trainer import Trainer
from tests.models.training.predictor.test_trainer import trainer as predictor_trainer
from tests.models.training.test_trainer import SHORT, make_trainer

pytestmark = pytest.mark.usefixtures("one_thread")

OF_EVERY_RUN = {"config", "step", "schedule", "best", "tensors"}
OF_STYLES = {"best_loss", "worse", "reference", "stale", "validated"}
MOMENTS = {"optimizer.N.step", "optimizer.N.exp_avg", "optimizer.N.exp_avg_sq"}
BANK = {"bank.convolutions.N", *(f"bank.vectors.{name}.N" for name in ("weight", "bias", "scale", "shift"))}


def names(tensors: dict[str, torch.Tensor]) -> set[str]:
    return {re.sub(r"\d+", "N", name) for name in tensors}


def trained() -> Trainer:
    trainer = make_trainer()
    next(trainer.run())
    return trainer


def test_a_checkpoint_of_styles_keeps_its_names() -> None:
    state = trained().state()
    assert state.keys() == OF_EVERY_RUN | OF_STYLES
    assert state["schedule"].keys() == {"progress", "elapsed", "finish"}
    assert names(state["tensors"]) == {"generator"} | MOMENTS | BANK


def test_a_checkpoint_of_the_predictor_keeps_its_names() -> None:
    trainer = predictor_trainer()
    next(trainer.run())
    state = trainer.state()
    assert state.keys() == OF_EVERY_RUN | {"gradient_norm"}
    parts = {name.partition(".")[0] for name in names(state["tensors"]) - MOMENTS}
    assert parts == {"generator", "predictor", "average"}


def test_a_run_that_knew_fewer_settings_had_their_defaults() -> None:
    state = trained().state()
    del state["config"]["adversarial"]
    check_state(state)
    again = make_trainer()
    again.load_state(state)
    assert again.step == 1
    with pytest.raises(ValueError, match=r"other settings: adversarial 0\.0 -> 0\.5"):
        make_trainer(dataclasses.replace(SHORT, adversarial=0.5)).load_state(state)


def run_state(config: TrainingConfig = SHORT) -> tuple[RunState, torch.Generator, torch.optim.Adam]:
    generator = torch.Generator().manual_seed(0)
    groups = [{"params": [torch.zeros(1, requires_grad=True)]} for _ in range(2)]
    optimizer = torch.optim.Adam(groups)
    return RunState(config, optimizer, generator), generator, optimizer


def test_an_interrupted_step_is_repeated_with_the_same_random_numbers() -> None:
    run, generator, _ = run_state()
    torch.rand(2, generator=generator)
    run.complete_step()
    assert run.schedule.progress == 1 / SHORT.steps
    expected = torch.rand(3, generator=generator)  # of the step that is interrupted
    state = run.state({})
    assert json.loads(json.dumps({name: state[name] for name in ("config", "step", "schedule")}))["step"] == 1
    again, generator, _ = run_state()
    again.load_state(state)
    assert torch.equal(torch.rand(3, generator=generator), expected)
    assert (again.step, again.schedule.progress) == (1, 1 / SHORT.steps)


def test_each_group_learns_at_its_share_of_the_rate() -> None:
    run, _, optimizer = run_state()
    run.set_rates(0.0, 0.5)
    frozen, slow = (group["lr"] for group in optimizer.param_groups)
    run.set_rates(1.0, 1.0)
    assert frozen == 0
    assert optimizer.param_groups[0]["lr"] == SHORT.learning_rate * one_cycle(0.0) > 0
    assert slow == optimizer.param_groups[0]["lr"] / 2


def test_the_optimizer_resumes_with_its_moments() -> None:
    run, _, optimizer = run_state()
    for group in optimizer.param_groups:
        group["params"][0].grad = torch.ones(1)
    optimizer.step()
    again, _, resumed = run_state()
    again.load_state(run.state({}))
    before, after = (each.state_dict()["state"] for each in (optimizer, resumed))
    assert before[0]["exp_avg"] != 0
    assert {number: moments["exp_avg"] for number, moments in after.items()} == {
        number: moments["exp_avg"] for number, moments in before.items()
    }


def test_weights_are_validated_every_few_steps_and_at_the_end() -> None:
    run, _, _ = run_state(dataclasses.replace(SHORT, validate_every=4))
    due = []
    while not run.schedule.is_over:
        assert run.used_up == "minutes"
        run.complete_step()
        due += [run.step] * run.is_validation_due
    assert due == [4, 6]
    assert run.used_up == "steps"


def test_a_limit_in_minutes_is_not_one_in_seconds() -> None:
    run, _, _ = run_state(dataclasses.replace(SHORT, steps=10**6, minutes=1))
    run.schedule.start()
    run.complete_step()
    run.schedule.elapsed = 30.0  # half of the time
    run.complete_step()
    assert run.schedule.progress < 0.1


def test_settings_that_only_say_when_a_run_ends_may_change() -> None:
    run, _, _ = run_state()
    state = run.state({})
    longer, _, _ = run_state(dataclasses.replace(SHORT, minutes=3, validate_every=1, compile=True))
    longer.load_state(state)
    with pytest.raises(ValueError, match="other settings: steps 6 -> 7, seed 0 -> 1"):
        run_state(dataclasses.replace(SHORT, steps=7, seed=1))[0].load_state(state)
