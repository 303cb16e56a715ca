"""Training on images made on the spot with a tiny random loss network: seconds instead of an hour."""

import dataclasses
import itertools
import json
from collections.abc import Sequence

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from models.losses import feature_loss, output_loss
from models.network import StyleNetwork
from models.training.config import TrainingConfig
from models.training.data.content import central_crops, random_crops, split, style_image_at
from models.training.data.pairs import ClipPair, FramePairs
from models.training.data.synthetic_motion import MotionConfig
from models.training.losses.objective import LossWeights, Objective, StyleTransferObjective, StylizedPairs
from models.training.report import DivergedError, TrainingReport
from models.training.schedule import one_cycle
from models.training.trainer import Trainer
from tests.support.tiny import TINY, blobs, loss_network, photos, stripes

CPU = torch.device("cpu")
SHARES = ("network_rate", "vectors_first", "clip_share")
COLORS_ALONE = LossWeights(strokes=0, structure=0, distribution=0)
SHORT = TrainingConfig(steps=6, batch=1, crop_px=64, validate_every=2, compile=False)

pytestmark = pytest.mark.usefixtures("one_thread")


def make_trainer(
    config: TrainingConfig = SHORT,
    *,
    styles: int = 1,
    content: Sequence[Tensor] = (),
    weights: Sequence[LossWeights] | None = None,
    clips: Sequence[ClipPair] = (),
    motion: MotionConfig | None = None,
) -> Trainer:
    torch.manual_seed(config.seed)
    network = StyleNetwork(TINY)
    images = [style_image_at(stripes(), 64), style_image_at(stripes().flip(0), 64)][:styles]
    starts = [network.initial_style() for _ in images]
    recording = Recording(StyleTransferObjective([loss_network()]))
    return Trainer(
        network,
        starts,
        images,
        content or photos(12),
        recording,
        config,
        CPU,
        weights=weights,
        clips=clips,
        motion=motion,
    )


class Recording:
    """Passes everything on to another objective, and records what it is called with.

    Args:
        objective: the other one.

    Attributes:
        trained: pairs of the training steps.
        validated: pairs of the validations.
        found: losses of the validations.
        bf16: whether the network ran in bfloat16, in each call.
        interrupt: whether the next training step is interrupted, as by Ctrl-C.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self.trained: list[FramePairs] = []
        self.validated: list[FramePairs] = []
        self.found: list[dict[str, float]] = []
        self.bf16: list[bool] = []
        self.interrupt = False

    def targets(self, style_image: Tensor, weights: LossWeights) -> list[Tensor]:
        return self._objective.targets(style_image, weights)

    def terms(self, pairs: FramePairs, stylized: StylizedPairs, targets: Sequence[Tensor]) -> dict[str, Tensor]:
        terms = self._objective.terms(pairs, stylized, targets)
        self.bf16.append(stylized.first_features.dtype == torch.bfloat16)
        if stylized.first.requires_grad:
            self.trained.append(pairs)
            if self.interrupt:
                raise KeyboardInterrupt
        else:
            self.validated.append(pairs)
            self.found.append({name: float(term) for name, term in terms.items()})
        return terms


def recording(trainer: Trainer) -> Recording:
    assert isinstance(trainer.objective, Recording)
    return trainer.objective


def clips(count: int = 3) -> list[ClipPair]:
    """Images that stand still for two frames."""
    still = (blobs(count, 80, 96, seed=9) * 255).to(torch.uint8)
    flow, mask = torch.zeros(2, 80, 96).half(), torch.ones(1, 80, 96, dtype=torch.bool)
    return [ClipPair(frame, frame, flow, mask) for frame in still]


def test_the_loss_falls() -> None:
    config = dataclasses.replace(SHORT, steps=40, validate_every=10, learning_rate=0.01)
    trainer = make_trainer(config, weights=[COLORS_ALONE])
    before = trainer.validate()
    reports = list(trainer.run())
    after = reports[-1].validation
    assert after is not None
    assert [r.step for r in reports] == list(range(1, 41))
    assert [r.step for r in reports if r.validation is not None] == [10, 20, 30, 40]
    assert sum(after.values()) < 0.7 * sum(before.values())
    assert after["style"] < 0.8 * before["style"]
    assert after["output"] < 0.7 * before["output"]
    assert after["feature"] < 0.7 * before["feature"]


def test_brushwork_is_learned() -> None:
    config = dataclasses.replace(SHORT, steps=40, validate_every=40, learning_rate=0.01, seed=1)
    trainer = make_trainer(config, weights=[LossWeights(style=0, distribution=0, output=0, feature=0)])
    before = trainer.validate()
    list(trainer.run())
    after = trainer.validate()
    assert after["strokes"] < 0.8 * before["strokes"]
    assert after["structure"] < 0.8 * before["structure"]


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


class GrowingObjective(Objective):
    """An objective whose value on held-out pictures grows with every step, as when training overfits."""

    def __init__(self, grows: float) -> None:
        self.grows = grows
        self.calls = 0

    def targets(self, style_image: Tensor, weights: LossWeights) -> list[Tensor]:
        return [style_image.mean()]

    def terms(self, pairs: FramePairs, stylized: StylizedPairs, targets: Sequence[Tensor]) -> dict[str, Tensor]:
        if stylized.first.requires_grad:
            return {"style": stylized.first.square().mean()}
        self.calls += 1
        return {"style": torch.tensor(1.0 + self.grows * self.calls)}


def growing_trainer(objective: Objective, **settings: float) -> Trainer:
    config = dataclasses.replace(SHORT, steps=30, validate_every=1, **settings)  # type: ignore[arg-type]
    network = StyleNetwork(TINY)
    image = style_image_at(stripes(), 64)
    return Trainer(network, [network.initial_style()], [image], photos(4), objective, config, CPU)


def run_with(objective: Objective, **settings: float) -> list[TrainingReport]:
    return list(growing_trainer(objective, **settings).run())


def test_overfitting_stops_the_run() -> None:
    reports = run_with(GrowingObjective(0.1), patience=3)
    assert [r.best for r in reports] == [True, False, False, False]
    assert [r.overfitting for r in reports] == [False, False, False, True]


def test_a_little_worse_is_not_overfitting() -> None:
    reports = run_with(GrowingObjective(1e-5), patience=3)
    assert len(reports) == 30
    assert not any(r.overfitting for r in reports)


def test_a_run_that_diverges_is_an_error() -> None:
    with pytest.raises(DivergedError, match="step 1"):
        run_with(GrowingObjective(float("nan")))


def test_the_best_can_be_forgotten() -> None:
    trainer = growing_trainer(GrowingObjective(0.1), patience=3)
    reports = [next(run) for run in [trainer.run()] for _ in range(3)]
    trainer.accept(reports[-1])
    assert trainer.history.best == reports[0].validation
    assert trainer.history.worse == 2
    trainer.forget_best()
    again = next(trainer.run())
    assert (again.step, again.losses, again.best) == (3, {}, True), "the current step is validated again"
    trainer.accept(again)
    assert trainer.history.best == again.validation
    assert trainer.history.worse == 0


def test_a_validation_counts_once() -> None:
    trainer = growing_trainer(GrowingObjective(0.1), patience=3)
    run = trainer.run()
    next(run)
    worse = next(run)
    for _ in range(3):
        trainer.accept(worse)
    assert trainer.history.worse == 1
    assert not trainer.overfitting


def test_the_report_and_the_trainer_agree_on_the_best() -> None:
    trainer = make_trainer()
    best = [report for report in trainer.run() if report.best]
    assert trainer.history.best == best[-1].validation
    assert trainer.history.best_loss == pytest.approx(sum(trainer.history.best.values()))


def flicker(trainer: Trainer) -> tuple[float, float]:
    """How much stylized frames and features change along the flow, on held-out pairs, unweighted."""
    pairs = trainer.validation
    with torch.no_grad():
        both = [trainer.network.with_features(frame, trainer.bank.style(0)) for frame in (pairs.first, pairs.second)]
    (past, past_features), (stylized, features) = both
    frames = (pairs.clean_second, pairs.clean_first)
    output = output_loss(stylized, past, *frames, pairs.flow, pairs.mask)
    return float(output), float(feature_loss(features, past_features, pairs.flow, pairs.mask))


def test_temporal_losses_reduce_flicker() -> None:
    """The same run with and without each of the two losses."""
    config = dataclasses.replace(SHORT, steps=40, validate_every=40, learning_rate=0.01, seed=1)
    found = {}
    for name, weights in {
        "free": {"output": 0.0, "feature": 0.0},
        "output": {"feature": 0.0},
        "feature": {"output": 0.0, "feature": 1000.0},
    }.items():
        trainer = make_trainer(config, weights=[dataclasses.replace(COLORS_ALONE, **weights)])
        list(trainer.run())
        found[name] = flicker(trainer)
    assert found["output"][0] < 0.2 * found["free"][0]
    assert found["feature"][1] < 0.6 * found["free"][1]


def network_change(trainer: Trainer, steps: int) -> list[float]:
    """Largest change of any convolution in each step."""
    changes, run = [], trainer.run()
    for _ in range(steps):
        before = [parameter.detach().clone() for parameter in trainer.bank.convolutions]
        next(run)
        after = trainer.bank.convolutions
        changes.append(max(float((a.detach() - b).abs().max()) for a, b in zip(after, before, strict=True)))
    return changes


def test_the_vectors_learn_first_and_alone() -> None:
    trainer = make_trainer(dataclasses.replace(SHORT, vectors_first=0.5), styles=2)
    start = trainer.styles()
    alone = network_change(trainer, 3)
    assert alone == [0, 0, 0]
    assert all(not torch.equal(a.scale, b.scale) for a, b in zip(trainer.styles(), start, strict=True))
    assert all(change > 0 for change in network_change(trainer, 3))


def test_the_network_learns_at_its_share_of_the_rate() -> None:
    vectors = []
    changes = {}
    for rate in (0.0, 0.1, 1.0):
        trainer = make_trainer(dataclasses.replace(SHORT, network_rate=rate))
        (changes[rate],) = network_change(trainer, 1)
        vectors.append(trainer.styles()[0])
    assert changes[0.0] == 0
    assert changes[0.1] == pytest.approx(0.1 * changes[1.0], rel=0.01)
    assert all(torch.equal(vectors[0].scale, other.scale) for other in vectors[1:])


@pytest.mark.parametrize(("share", "expected"), [(0.0, {False}), (0.5, {False, True}), (1.0, {True})])
def test_a_share_of_the_steps_trains_on_clips(share: float, expected: set[bool]) -> None:
    trainer = make_trainer(dataclasses.replace(SHORT, steps=12, clip_share=share), clips=clips())
    list(trainer.run())
    drawn = recording(trainer).trained
    assert len(drawn) == 12
    assert {torch.equal(pairs.first, pairs.second) for pairs in drawn} == expected
    assert all(pairs.first.shape == (1, 3, 64, 64) for pairs in drawn)


def test_validation_follows_from_seed_and_weights_alone() -> None:
    trainer, other = make_trainer(styles=2), make_trainer(styles=2)
    first = trainer.validate()
    assert trainer.validate() == first
    assert other.validate() == first
    assert set(first) == {f.name for f in dataclasses.fields(LossWeights)}


def test_the_seed_moves_the_held_out_pictures() -> None:
    """All of them are the same image, so that nothing but the motion differs."""
    one, again, other = (
        make_trainer(dataclasses.replace(SHORT, seed=seed), content=photos(1) * 2).validation for seed in (0, 0, 1)
    )
    assert torch.equal(one.flow, again.flow)
    assert not torch.equal(one.flow, other.flow)
    assert not torch.equal(one.first, other.first)


def test_validation_is_the_mean_over_images_and_styles() -> None:
    """In batches of one: each loss is of one image and one style."""
    trainer = make_trainer(dataclasses.replace(SHORT, batch=1), styles=2, content=photos(30))
    assert len(trainer.validation) == 3
    found, parts = trainer.validate(), recording(trainer).found
    assert len(parts) == 3 * 2
    for name, value in found.items():
        assert value == pytest.approx(sum(part[name] for part in parts) / 6, rel=1e-5)
    assert parts[0]["style"] != parts[3]["style"]


def test_each_style_has_its_own_weights_and_its_turn() -> None:
    weights = [LossWeights(content=0), LossWeights(style=0)]
    first, second = make_trainer(dataclasses.replace(SHORT, steps=2), styles=2, weights=weights).run()
    assert [name for name, loss in first.losses.items() if not loss] == ["content"]
    assert [name for name, loss in second.losses.items() if not loss] == ["style"]


def test_a_preview_shows_held_out_images_without_noise_and_their_styles() -> None:
    trainer = make_trainer(styles=2, content=photos(60))
    rows = trainer.preview(4)
    assert [row.shape for row in rows] == [(4, 3, 64, 64)] * 3
    assert torch.equal(rows[0], trainer.validation.clean_first[:4])
    assert all(((row >= 0) & (row <= 1)).all() for row in rows)
    assert not torch.equal(rows[1], rows[2])


@pytest.mark.parametrize(("styles", "weights"), [(2, 1), (1, 2)])
def test_as_many_styles_and_weights_as_style_images(styles: int, weights: int) -> None:
    network = StyleNetwork(TINY)
    starts = [network.initial_style() for _ in range(styles)]
    objective = StyleTransferObjective([loss_network()])
    with pytest.raises(ValueError, match=f"{styles} styles and {weights} weights for 1 style images"):
        Trainer(
            network,
            starts,
            [style_image_at(stripes(), 64)],
            photos(4),
            objective,
            SHORT,
            CPU,
            weights=[LossWeights()] * weights,
        )


def parameters(trainer: Trainer) -> list[Tensor]:
    return list(trainer.bank.state_dict().values())


@pytest.mark.parametrize(("stop", "adversarial"), [(2, 0.0), (3, 0.0), (3, 0.5)])
def test_a_resumed_run_is_the_run_that_was_not_interrupted(stop: int, adversarial: float) -> None:
    config = dataclasses.replace(SHORT, vectors_first=0.4, network_rate=0.5, clip_share=0.5, adversarial=adversarial)
    whole = make_trainer(config, styles=2, clips=clips())
    expected = list(whole.run())

    first = make_trainer(config, styles=2, clips=clips())
    before = list(itertools.islice(first.run(), stop))
    first.accept(before[-1])
    state = first.state()
    tensors = save({name: tensor.contiguous() for name, tensor in state.pop("tensors").items()})
    values = json.dumps(state)

    second = make_trainer(config, styles=2, clips=clips())
    second.load_state(json.loads(values) | {"tensors": load(tensors)})
    moments, restored = (trainer.state()["tensors"] for trainer in (first, second))
    assert {name: tensor.stride() for name, tensor in restored.items()} == {
        name: tensor.stride() for name, tensor in moments.items()
    }, "vectorized code rounds differently in another memory layout"
    after = list(second.run())
    assert before + after == expected
    assert all(torch.equal(a, b) for a, b in zip(parameters(second), parameters(whole), strict=True))


def test_the_adversarial_loss_trains_but_does_not_validate() -> None:
    plain, deceiving = make_trainer(), make_trainer(dataclasses.replace(SHORT, adversarial=0.5))
    assert plain.adversary is None
    assert deceiving.adversary is not None
    assert all(torch.equal(a, b) for a, b in zip(parameters(plain), parameters(deceiving), strict=True))
    before = [parameter.clone() for parameter in deceiving.adversary.discriminators.parameters()]
    with_it, without = list(deceiving.run()), list(plain.run())
    assert all("adversarial" in report.losses for report in with_it)
    assert not any("adversarial" in report.losses for report in without)
    assert not any("adversarial" in (report.validation or {}) for report in with_it)
    assert with_it[0].losses["style"] == without[0].losses["style"]
    after = deceiving.adversary.discriminators.parameters()
    assert not all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(parameters(plain), parameters(deceiving), strict=True))


def test_each_style_has_a_discriminator_of_its_own() -> None:
    trainer = make_trainer(dataclasses.replace(SHORT, adversarial=0.5), styles=2)
    assert trainer.adversary is not None
    first, second = ([p.clone() for p in each.parameters()] for each in trainer.adversary.discriminators)
    next(trainer.run())
    assert not all(map(torch.equal, first, trainer.adversary.discriminators[0].parameters()))
    assert all(map(torch.equal, second, trainer.adversary.discriminators[1].parameters()))


def test_a_checkpoint_from_the_middle_of_a_step_repeats_the_step() -> None:
    whole = make_trainer()
    list(whole.run())
    interrupted = make_trainer()
    reports = interrupted.run()
    next(reports)
    recording(interrupted).interrupt = True
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


def test_the_held_out_tenth_is_never_trained_on() -> None:
    """Each image is of one grey, by which its crops are known."""
    greys = [torch.full((3, 70, 70), 8 * number, dtype=torch.uint8) for number in range(30)]
    plain = MotionConfig(layered=0, still=1, exposure=0, white_balance=0, noise=0)
    trainer = make_trainer(dataclasses.replace(SHORT, steps=24, batch=4), content=greys, motion=plain)
    list(trainer.run())
    recorded = recording(trainer)
    trained, validated = (
        {round(float(image.mean() * 255) / 8) for pairs in batches for image in pairs.clean_first}
        for batches in (recorded.trained, recorded.validated)
    )
    assert len(validated) == 3
    assert len(trained) > 20
    assert not trained & validated


@pytest.mark.parametrize("has_bf16", [True, False])
def test_autocast_is_used_where_bf16_is_fast(has_bf16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    trainer = make_trainer()
    next(trainer.run())
    assert recording(trainer).bf16 == [has_bf16]


@pytest.mark.parametrize(("count", "held"), [(2, 1), (10, 1), (19, 1), (20, 2), (105, 10)])
def test_a_tenth_is_held_out(count: int, held: int) -> None:
    training, validation = split(photos(count), torch.Generator().manual_seed(0))
    assert (len(training), len(validation)) == (count - held, held)


def test_one_image_is_not_enough() -> None:
    with pytest.raises(ValueError, match="at least 2 content images, got 1"):
        split(photos(1), torch.Generator())


@pytest.mark.parametrize(("height", "width"), [(3, 200), (40, 30), (300, 64)])
def test_crops_of_any_image_are_square_and_in_range(height: int, width: int) -> None:
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
    [
        {"steps": 0},
        {"batch": 0},
        {"crop_px": 60},
        {"crop_px": 66},
        {"patience": 0},
        {"validate_every": 0},
        {"validation_crops": 0},
        {"seed": -1},
        {"seed": 10**20},
        {"adversarial": -0.1},
        {"adversarial": float("inf")},
        *({name: value} for name in SHARES for value in (-0.1, 1.1, float("nan"))),
    ],
    ids=str,
)
def test_impossible_settings_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        dataclasses.replace(SHORT, **wrong)
