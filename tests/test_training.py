"""Training on pictures made on the spot with a tiny random loss network: seconds instead of an hour."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.network import Architecture, StyleNetwork
from models.training.content import central_crops, painting_at, random_crops, split
from models.training.loss_network import LossNetwork, load_loss_network
from models.training.objective import PerceptualObjective, Weights
from models.training.trainer import DivergedError, Report, Trainer, TrainingConfig, one_cycle

TINY = Architecture(widths=(4, 6, 8), blocks=1, kernel=3)
CPU = torch.device("cpu")
SHORT = TrainingConfig(steps=6, batch=1, crop_px=64, validate_every=2, compile=False)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small lose more to threads waiting for each other than they gain."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def loss_state() -> dict[str, Tensor]:
    """Random weights with the keys of the normalised VGG-19 and a few channels."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for index, (inputs, outputs) in {0: (3, 4), 2: (4, 4), 5: (4, 6), 7: (6, 6), 10: (6, 8)}.items():
        state[f"features.{index}.weight"] = torch.randn(outputs, inputs, 3, 3, generator=generator) * inputs**-0.5 / 2
        state[f"features.{index}.bias"] = 0.1 * torch.rand(outputs, generator=generator)
    return state


def loss_network() -> LossNetwork:
    return load_loss_network(loss_state())


def photos(count: int, *, height: int = 70, width: int = 90) -> list[Tensor]:
    """``(3, H, W)`` uint8 each: soft blobs of colour; the red of the top left pixel is the number of the photo."""
    generator = torch.Generator().manual_seed(5)
    blobs = torch.rand(count, 3, 5, 6, generator=generator)
    smooth = torch.nn.functional.interpolate(blobs, size=(height, width), mode="bicubic").clamp(0, 1)
    pixels = (smooth * 255).to(torch.uint8)
    pixels[:, 0, 0, 0] = torch.arange(count)
    return list(pixels)


def stripes(height: int = 80, width: int = 96) -> Tensor:
    """A painting ``(3, H, W)`` uint8: diagonal stripes of red and yellow."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    stripe = ((rows + columns) // 5 % 2 * 255).to(torch.uint8)
    return torch.stack((torch.full_like(stripe, 250), stripe, torch.zeros_like(stripe)))


def make_trainer(config: TrainingConfig = SHORT, *, styles: int = 1, content: Sequence[Tensor] = ()) -> Trainer:
    torch.manual_seed(config.seed)
    network = StyleNetwork(TINY)
    paintings = [painting_at(stripes(), 64), painting_at(stripes().flip(0), 64)][:styles]
    objective = PerceptualObjective([loss_network()], Weights())
    starts = [network.neutral_style() for _ in paintings]
    return Trainer(network, starts, paintings, content or photos(12), objective, config, CPU)


def test_the_loss_falls() -> None:
    trainer = make_trainer(dataclasses.replace(SHORT, steps=40, validate_every=10, learning_rate=0.01))
    before = trainer.validate()
    reports = list(trainer.run())
    after = reports[-1].validation
    assert after is not None
    assert [r.step for r in reports] == list(range(1, 41))
    assert [r.step for r in reports if r.validation is not None] == [10, 20, 30, 40]
    assert sum(after.values()) < 0.7 * sum(before.values())
    assert after["style"] < 0.7 * before["style"]


def test_each_style_learns_its_own_vectors() -> None:
    trainer = make_trainer(styles=2)
    start = trainer.styles()
    reports = trainer.run()
    next(reports)
    first, second = trainer.styles()
    assert not torch.equal(first.scale, start[0].scale)
    assert torch.equal(second.scale, start[1].scale)
    next(reports)
    assert not torch.equal(trainer.styles()[1].scale, start[1].scale)


class GrowingObjective:
    """An objective whose value on held-out pictures grows with every step, as when training overfits."""

    def __init__(self, grows: float) -> None:
        self.grows = grows
        self.calls = 0

    def targets(self, painting: Tensor) -> list[Tensor]:
        return [painting.mean()]

    def terms(self, pictures: Tensor, painted: Tensor, targets: Sequence[Tensor]) -> dict[str, Tensor]:
        if painted.requires_grad:
            return {"style": painted.square().mean()}
        self.calls += 1
        return {"style": torch.tensor(1.0 + self.grows * self.calls)}


def run_with(objective: GrowingObjective, **settings: float) -> list[Report]:
    config = dataclasses.replace(SHORT, steps=30, validate_every=1, **settings)  # type: ignore[arg-type]
    network = StyleNetwork(TINY)
    painting = painting_at(stripes(), 64)
    return list(Trainer(network, [network.neutral_style()], [painting], photos(4), objective, config, CPU).run())


def test_overfitting_stops_the_run() -> None:
    reports = run_with(GrowingObjective(0.1), patience=3)
    assert [r.best for r in reports] == [True, False, False, False]
    assert [r.overfitting for r in reports] == [False, False, False, True]


def test_a_little_worse_is_not_overfitting() -> None:
    reports = run_with(GrowingObjective(1e-5), patience=3)
    assert len(reports) == 30
    assert not any(r.overfitting for r in reports)


def test_a_run_that_diverges_says_so() -> None:
    with pytest.raises(DivergedError, match="step 1"):
        run_with(GrowingObjective(float("nan")))


def parameters(trainer: Trainer) -> list[Tensor]:
    return [*trainer.network.state_dict().values(), *trainer.bank.state_dict().values()]


@pytest.mark.parametrize("stop", [2, 3])
def test_a_resumed_run_is_the_run_that_was_not_interrupted(tmp_path: Path, stop: int) -> None:
    whole = make_trainer(styles=2)
    expected = list(whole.run())

    first = make_trainer(styles=2)
    before = list(itertools.islice(first.run(), stop))
    first.accept(before[-1])
    torch.save(first.state(), tmp_path / "checkpoint")

    second = make_trainer(styles=2)
    second.load_state(torch.load(tmp_path / "checkpoint", weights_only=True))
    after = list(second.run())
    assert before + after == expected
    assert all(torch.equal(a, b) for a, b in zip(parameters(second), parameters(whole), strict=True))


def test_a_checkpoint_from_the_middle_of_a_step_repeats_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make_trainer()
    list(whole.run())

    interrupted = make_trainer()
    reports = interrupted.run()
    next(reports)
    with monkeypatch.context() as patch:

        def stop(*args: object) -> dict[str, Tensor]:
            raise KeyboardInterrupt

        patch.setattr(interrupted, "_terms", stop)
        with pytest.raises(KeyboardInterrupt):
            next(reports)
    resumed = make_trainer()
    resumed.load_state(interrupted.state())
    list(resumed.run())
    assert all(torch.equal(a, b) for a, b in zip(parameters(resumed), parameters(whole), strict=True))


def test_a_checkpoint_of_other_settings_is_refused() -> None:
    state = make_trainer().state()
    with pytest.raises(ValueError, match="other settings: steps 6 -> 8, seed 0 -> 1"):
        make_trainer(dataclasses.replace(SHORT, steps=8, seed=1)).load_state(state)


def test_the_held_out_tenth_is_never_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[int] = set()
    held: set[int] = set()

    def crops(pictures: Sequence[Tensor], count: int, size: int, generator: torch.Generator) -> Tensor:
        seen.update(int(picture[0, 0, 0]) for picture in pictures)
        return random_crops(pictures, count, size, generator)

    def central(pictures: Sequence[Tensor], size: int) -> Tensor:
        held.update(int(picture[0, 0, 0]) for picture in pictures)
        return central_crops(pictures, size)

    monkeypatch.setattr("models.training.trainer.random_crops", crops)
    monkeypatch.setattr("models.training.trainer.central_crops", central)
    list(make_trainer(dataclasses.replace(SHORT, steps=2), content=photos(30)).run())
    assert len(held) == 3
    assert len(seen) == 27
    assert not seen & held


@pytest.mark.parametrize(("count", "held"), [(2, 1), (10, 1), (19, 1), (20, 2), (105, 10)])
def test_a_tenth_is_held_out(count: int, held: int) -> None:
    training, validation = split(photos(count), torch.Generator().manual_seed(0))
    assert (len(training), len(validation)) == (count - held, held)


def test_one_picture_is_not_enough() -> None:
    with pytest.raises(ValueError, match="at least 2 content pictures, got 1"):
        split(photos(1), torch.Generator())


@pytest.mark.parametrize(("height", "width"), [(3, 200), (40, 30), (300, 64)])
def test_crops_of_any_picture_are_square_and_in_range(height: int, width: int) -> None:
    crops = random_crops(photos(2, height=height, width=width), 5, 64, torch.Generator().manual_seed(0))
    assert crops.shape == (5, 3, 64, 64)
    assert ((crops >= 0) & (crops <= 1)).all()
    assert central_crops(photos(2, height=height, width=width), 64).shape == (2, 3, 64, 64)


def test_crops_follow_from_the_generator() -> None:
    def drawn(seed: int) -> Tensor:
        return random_crops(photos(4), 3, 64, torch.Generator().manual_seed(seed))

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


def test_the_learning_rate_rises_then_falls() -> None:
    rates = [one_cycle(step / 100) for step in range(101)]
    top = rates.index(max(rates))
    assert max(rates) == pytest.approx(1)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] < rates[0] < 0.1


@pytest.mark.parametrize(
    "wrong",
    [{"steps": 0}, {"batch": 0}, {"crop_px": 60}, {"crop_px": 66}, {"patience": 0}, {"seed": -1}, {"seed": 10**20}],
)
def test_impossible_settings_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        dataclasses.replace(SHORT, **wrong)


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf")])
def test_loss_weights_are_finite_and_not_negative(wrong: float) -> None:
    with pytest.raises(ValueError, match="finite and not negative"):
        Weights(style=wrong)
