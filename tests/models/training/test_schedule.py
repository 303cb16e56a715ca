"""Time limits, early ends, and both after a pause; the clock is set by hand."""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from models.network import StyleNetwork
from models.training.config import TrainingConfig
from models.training.data.content import style_image_at
from models.training.data.pairs import FramePairs
from models.training.losses.objective import LossWeights, StylizedPairs
from models.training.report import TrainingReport
from models.training.schedule import COOL_DOWN, Schedule, one_cycle
from models.training.trainer import Trainer
from tests.support.tiny import TINY, photos, stripes

pytestmark = pytest.mark.usefixtures("one_thread")


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def run(schedule: Schedule, clock: Clock, seconds_a_step: float, *, first: float = 0.0, step: int = 0) -> list[float]:
    """Progress after each step until it is over; the first one takes ``first`` seconds more."""
    schedule.start()
    clock.seconds += first
    seen = []
    while not schedule.is_over and len(seen) < 1000:
        step += 1
        clock.seconds += seconds_a_step
        schedule.advance(step)
        seen.append(schedule.progress)
    return seen


def test_without_a_time_limit_only_steps_count() -> None:
    clock = Clock()
    seen = run(Schedule(8, clock=clock), clock, 1e6)
    assert seen == [step / 8 for step in range(1, 9)]


def test_a_time_limit_ends_the_run() -> None:
    clock = Clock()
    schedule = Schedule(10**6, 60, clock=clock)
    seen = run(schedule, clock, 1.0)
    assert len(seen) == pytest.approx(60, abs=1)
    assert schedule.elapsed == pytest.approx(60, abs=1)
    assert seen == sorted(seen)
    assert seen[30] == pytest.approx(0.5, abs=0.02)


def test_steps_may_be_used_up_before_the_time() -> None:
    clock = Clock()
    assert len(run(Schedule(20, 60, clock=clock), clock, 1.0)) == 20


def test_the_first_step_compiles_and_is_no_progress() -> None:
    clock = Clock()
    schedule = Schedule(10**6, 60, clock=clock)
    seen = run(schedule, clock, 1.0, first=39.0)
    assert seen[0] < 0.01
    assert seen[1] == pytest.approx(1 / 20, abs=1e-3)
    assert schedule.elapsed == pytest.approx(60, abs=1)


def test_time_spent_beforehand_counts() -> None:
    clock = Clock()
    schedule = Schedule(10**6, 60, clock=clock)
    schedule.elapsed = 40.0
    assert len(run(schedule, clock, 1.0)) == pytest.approx(20, abs=1)


def test_a_pause_costs_nothing() -> None:
    clock = Clock()
    schedule = Schedule(10**6, 60, clock=clock)
    schedule.start()
    for step in range(1, 31):
        clock.seconds += 1
        schedule.advance(step)
    half = schedule.progress
    clock.seconds += 10**6
    later = Schedule(10**6, 60, clock=clock)
    later.load_state(schedule.state(), 30)
    assert later.progress == half
    seen = run(later, clock, 1.0, step=30)
    assert len(seen) == pytest.approx(30, abs=2)
    assert later.elapsed == pytest.approx(60, abs=1)


def test_an_early_end_brings_the_rate_down_all_the_way() -> None:
    clock = Clock()
    schedule = Schedule(1000, clock=clock)
    schedule.start()
    for step in range(1, 201):
        schedule.advance(step)
    before = one_cycle(schedule.progress)
    schedule.end_early(200)
    again = Schedule(1000, clock=clock)
    again.load_state(schedule.state(), 200)
    seen = run(again, clock, 1.0, step=200)
    rates = [one_cycle(progress) for progress in seen]
    assert len(seen) == COOL_DOWN * 200
    assert max(rates) < before
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(one_cycle(1.0))


class Curve:
    """An objective whose value on held-out pictures is given, validation by validation."""

    def __init__(self, losses: Sequence[float]) -> None:
        self._losses = itertools.chain(losses, itertools.repeat(losses[-1]))

    def targets(self, style_image: Tensor, weights: LossWeights) -> list[Tensor]:
        return [style_image.mean()]

    def terms(self, pairs: FramePairs, stylized: StylizedPairs, targets: Sequence[Tensor]) -> dict[str, Tensor]:
        if stylized.first.requires_grad:
            return {"style": stylized.first.square().mean()}
        return {"style": torch.tensor(next(self._losses))}


def trainer(losses: Sequence[float], **changes: object) -> Trainer:
    config = TrainingConfig(steps=60, batch=1, crop_px=64, validate_every=1, compile=False, plateau=4)
    config = dataclasses.replace(config, **changes)  # type: ignore[arg-type]
    torch.manual_seed(0)
    network = StyleNetwork(TINY)
    image = style_image_at(stripes(), 64)
    starts = [network.initial_style()]
    return Trainer(network, starts, [image], photos(4), Curve(losses), config, torch.device("cpu"))


def reports(trainer: Trainer) -> list[TrainingReport]:
    return list(trainer.run())


def test_a_plateau_brings_the_end_forward() -> None:
    it = trainer([1 / (step + 1) for step in range(16)])
    seen = reports(it)
    assert 16 + 4 < len(seen) <= math.ceil((16 + 4) * (1 + COOL_DOWN)) + 1
    assert seen[-1].progress == 1
    assert it.ended == "plateau"


def test_a_run_that_improves_takes_all_steps() -> None:
    it = trainer([0.99**step for step in range(100)])
    assert len(reports(it)) == 60
    assert it.ended == "steps"


def test_slow_improvement_adds_up() -> None:
    it = trainer([0.997**step for step in range(100)])
    assert len(reports(it)) == 60


def test_noise_is_no_improvement() -> None:
    it = trainer([1.0, *(1 + 0.01 * (step % 2) for step in range(100))])
    assert len(reports(it)) < 12


@pytest.mark.parametrize("change", [{"plateau": 0}, {"vectors_first": 1.0}])
def test_no_early_end_where_none_is_wanted_or_only_vectors_learn(change: dict[str, float]) -> None:
    assert len(reports(trainer([1.0], **change))) == 60


def test_an_early_end_survives_a_pause() -> None:
    whole = len(reports(trainer([1.0])))
    first = trainer([1.0])
    for report in first.run():
        first.accept(report)
        if report.step == 5:
            break
    assert first.schedule.ends_early
    second = trainer([1.0])
    second.load_state(first.state())
    assert 5 + len(reports(second)) == whole


def test_the_vectors_learn_first() -> None:
    it = trainer([1.0], steps=4, vectors_first=0.5, network_rate=0.5, plateau=0)
    start = [tensor.clone() for tensor in it.bank.convolutions.state_dict().values()]
    vectors = [tensor.clone() for tensor in it.bank.vectors.state_dict().values()]

    def same(a: Sequence[Tensor], b: Sequence[Tensor]) -> bool:
        return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))

    run = it.run()
    next(run), next(run)
    assert same(start, list(it.bank.convolutions.state_dict().values()))
    assert not same(vectors, list(it.bank.vectors.state_dict().values()))
    next(run)
    assert not same(start, list(it.bank.convolutions.state_dict().values()))


@pytest.mark.parametrize("change", [{"minutes": 0}, {"minutes": float("nan")}, {"plateau": -1}, {"vectors_first": 2}])
def test_impossible_settings_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        TrainingConfig(**change)  # type: ignore[arg-type]
