"""What training minimises: which terms there are, how much each counts, and what each of them looks at."""

import dataclasses
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from models.flow import warp
from models.losses import gram_matrix
from models.training.content import painting_at
from models.training.objective import PaintingObjective, Stylized, Weights
from models.training.pairs import Pairs
from tests.support.tiny import blobs, loss_network, stripes

NAMES = [f.name for f in dataclasses.fields(Weights)]
NONE = {name: 0.0 for name in NAMES}
PERCEPTUAL = ("style", "content", "variation")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def objective() -> PaintingObjective:
    return PaintingObjective([loss_network()])


@pytest.fixture
def pairs() -> Pairs:
    """A still scene; the network sees it through noise."""
    clean = blobs(2, 32, 32, seed=1)
    noisy = (clean + 0.1 * torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    return Pairs(noisy, noisy.flip(0), clean, clean, torch.zeros(2, 2, 32, 32), torch.ones(2, 1, 32, 32))


@pytest.fixture
def stylized() -> Stylized:
    """Paintings that have nothing to do with each other, learning."""
    generator = torch.Generator().manual_seed(2)
    shapes = [(2, 3, 32, 32)] * 2 + [(2, 8, 8, 8)] * 2
    return Stylized(*(torch.rand(shape, generator=generator).requires_grad_() for shape in shapes))


def painting() -> Tensor:
    return painting_at(stripes(), 64)


def learning(term: Tensor, stylized: Stylized) -> set[str]:
    """Names of what of ``painted`` the term would change."""
    tensors = {f.name: getattr(stylized, f.name) for f in dataclasses.fields(Stylized)}
    gradients = torch.autograd.grad(term, list(tensors.values()), allow_unused=True, retain_graph=True)
    return {name for name, gradient in zip(tensors, gradients, strict=True) if gradient is not None and gradient.any()}


def test_every_term_is_positive_and_finite(objective: PaintingObjective, pairs: Pairs, stylized: Stylized) -> None:
    terms = objective.terms(pairs, stylized, objective.targets(painting(), Weights()))
    assert list(terms) == NAMES
    for term in terms.values():
        assert term.shape == ()
        assert term.isfinite()
        assert term > 0


def test_each_term_looks_at_its_own(objective: PaintingObjective, pairs: Pairs, stylized: Stylized) -> None:
    terms = objective.terms(pairs, stylized, objective.targets(painting(), Weights()))
    found = {name: learning(term, stylized) for name, term in terms.items()}
    assert found == {name: {"first"} for name in PERCEPTUAL} | {
        "output": {"first", "second"},
        "feature": {"first_features", "second_features"},
    }


@pytest.mark.parametrize("name", NAMES)
def test_each_weight_is_that_of_the_term_of_its_name(
    objective: PaintingObjective, pairs: Pairs, stylized: Stylized, name: str
) -> None:
    def terms(**weights: float) -> dict[str, Tensor]:
        return objective.terms(pairs, stylized, objective.targets(painting(), Weights(**NONE | weights)))

    one, three = terms(**{name: 1.0}), terms(**{name: 3.0})
    torch.testing.assert_close(three[name], 3 * one[name])
    assert one[name] > 0
    assert all(term == 0 for other, term in one.items() if other != name)


def test_weights_are_those_of_each_painting(objective: PaintingObjective, pairs: Pairs, stylized: Stylized) -> None:
    weak, strong = (objective.targets(painting(), Weights(style=style)) for style in (1.0, 10.0))
    weak_terms, strong_terms = (objective.terms(pairs, stylized, targets) for targets in (weak, strong))
    torch.testing.assert_close(strong_terms.pop("style"), 10 * weak_terms.pop("style"))
    assert strong_terms == weak_terms


def test_weights_as_a_tensor_are_in_the_order_of_the_names() -> None:
    weights = Weights(*(float(number) for number in range(len(NAMES))))
    assert weights.tensor().tolist() == [getattr(weights, name) for name in NAMES] == [0, 1, 2, 3, 4]


def test_targets_are_the_weights_and_the_grams_of_the_painting(objective: PaintingObjective) -> None:
    targets = objective.targets(painting(), Weights())
    (network,) = objective.networks
    features = network(painting())
    grams = [gram_matrix(features[layer])[0] for layer in network.layers.style]
    assert len(grams) > 1
    for target, expected in zip(targets, [Weights().tensor(), *grams], strict=True):
        torch.testing.assert_close(target, expected)
        assert not target.requires_grad


def test_two_loss_networks_count_the_same(pairs: Pairs, stylized: Stylized) -> None:
    def terms(networks: Sequence[object]) -> dict[str, Tensor]:
        objective = PaintingObjective(networks)  # type: ignore[arg-type]
        return objective.terms(pairs, stylized, objective.targets(painting(), Weights()))

    one, two = terms([loss_network()]), terms([loss_network(), loss_network()])
    for name in NAMES:
        torch.testing.assert_close(one[name], two[name])


def test_the_painting_itself_has_no_style_loss(objective: PaintingObjective, pairs: Pairs, stylized: Stylized) -> None:
    itself = dataclasses.replace(stylized, first=painting().expand(2, -1, -1, -1))
    clean = dataclasses.replace(pairs, clean_first=itself.first)
    targets = objective.targets(painting(), Weights(**NONE | {"style": 1.0, "content": 1.0}))
    style, content = objective._likeness(clean.clean_first, itself.first, targets[1:])
    assert style < 1e-9
    assert content < 1e-9


def test_noise_is_not_to_be_painted(objective: PaintingObjective, pairs: Pairs, stylized: Stylized) -> None:
    """What is compared is the scene without noise; a painting of it with the noise scores worse."""
    targets = objective.targets(painting(), Weights())
    terms = objective.terms(pairs, stylized, targets)
    unseen = dataclasses.replace(pairs, first=torch.zeros_like(pairs.first), second=torch.zeros_like(pairs.second))
    assert objective.terms(unseen, stylized, targets) == terms
    faithful, noisy = (
        objective.terms(pairs, dataclasses.replace(stylized, first=first), targets)["content"]
        for first in (pairs.clean_first, pairs.first)
    )
    assert faithful < 1e-9
    assert noisy > 0.001


def test_paint_that_stays_on_a_still_scene_costs_nothing(
    objective: PaintingObjective, pairs: Pairs, stylized: Stylized
) -> None:
    still = Stylized(stylized.first, stylized.first, stylized.first_features, stylized.first_features)
    terms = objective.terms(pairs, still, objective.targets(painting(), Weights()))
    assert terms["output"] < 1e-9
    assert terms["feature"] < 1e-9


def test_paint_that_moves_and_grows_lighter_with_the_scene_costs_nothing(
    objective: PaintingObjective, pairs: Pairs, stylized: Stylized
) -> None:
    flow = torch.tensor([4.0, -8.0]).view(1, 2, 1, 1).repeat(2, 1, 32, 32)
    moving = dataclasses.replace(pairs, clean_second=warp(pairs.clean_first, flow) + 0.1, flow=flow)
    features = warp(stylized.first_features, flow[..., :8, :8] / 4)
    along = Stylized(stylized.first, warp(stylized.first, flow) + 0.1, stylized.first_features, features)
    terms = objective.terms(moving, along, objective.targets(painting(), Weights()))
    assert terms["output"] < 1e-6
    assert terms["feature"] < 1e-6


def test_a_loss_network_is_needed() -> None:
    with pytest.raises(ValueError, match="at least one loss network"):
        PaintingObjective([])


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("name", NAMES)
def test_loss_weights_are_finite_and_not_negative(name: str, wrong: float) -> None:
    with pytest.raises(ValueError, match="finite and not negative"):
        Weights(**{name: wrong})
