"""What training minimizes: the terms, their weights, and what each of them depends on."""

import dataclasses
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.losses import gram_matrix, standard_luminance
from models.temporal.flow import warp
from models.training.data.content import style_image_at
from models.training.data.pairs import FramePairs
from models.training.losses.distribution import COLOR_SCALES
from models.training.losses.objective import STROKE_SCALES, LossWeights, StyleTransferObjective, StylizedPairs
from tests.support.tiny import blobs, loss_network, stripes

NAMES = [f.name for f in dataclasses.fields(LossWeights)]
NONE = {name: 0.0 for name in NAMES}
GRAMS_ALONE = LossWeights(distribution=0.0)
PERCEPTUAL = ("style", "strokes", "structure", "distribution", "content", "variation")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def objective() -> StyleTransferObjective:
    return StyleTransferObjective([loss_network()])


@pytest.fixture
def pairs() -> FramePairs:
    """A still scene; the network sees it through noise."""
    clean = blobs(2, 32, 32, seed=1)
    noisy = (clean + 0.1 * torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    return FramePairs(noisy, noisy.flip(0), clean, clean, torch.zeros(2, 2, 32, 32), torch.ones(2, 1, 32, 32))


@pytest.fixture
def stylized() -> StylizedPairs:
    """Unrelated stylized frames with gradients."""
    generator = torch.Generator().manual_seed(2)
    shapes = [(2, 3, 32, 32)] * 2 + [(2, 8, 8, 8)] * 2
    return StylizedPairs(*(torch.rand(shape, generator=generator).requires_grad_() for shape in shapes))


def style_image() -> Tensor:
    return style_image_at(stripes(), 64)


def learning(term: Tensor, stylized: StylizedPairs) -> set[str]:
    """Names of the tensors in ``stylized`` that get a gradient from the term."""
    tensors = {f.name: getattr(stylized, f.name) for f in dataclasses.fields(StylizedPairs)}
    gradients = torch.autograd.grad(term, list(tensors.values()), allow_unused=True, retain_graph=True)
    return {name for name, gradient in zip(tensors, gradients, strict=True) if gradient is not None and gradient.any()}


def test_every_term_is_positive_and_finite(
    objective: StyleTransferObjective, pairs: FramePairs, stylized: StylizedPairs
) -> None:
    terms = objective.terms(pairs, stylized, objective.targets(style_image(), LossWeights()))
    assert list(terms) == NAMES
    for term in terms.values():
        assert term.shape == ()
        assert term.isfinite()
        assert term > 0


def test_each_term_depends_on_its_own_tensors(
    objective: StyleTransferObjective, pairs: FramePairs, stylized: StylizedPairs
) -> None:
    terms = objective.terms(pairs, stylized, objective.targets(style_image(), LossWeights()))
    found = {name: learning(term, stylized) for name, term in terms.items()}
    assert found == {name: {"first"} for name in PERCEPTUAL} | {
        "output": {"first", "second"},
        "feature": {"first_features", "second_features"},
    }


@pytest.mark.parametrize("name", NAMES)
def test_each_weight_is_that_of_the_term_of_its_name(
    objective: StyleTransferObjective, pairs: FramePairs, stylized: StylizedPairs, name: str
) -> None:
    def terms(**weights: float) -> dict[str, Tensor]:
        return objective.terms(pairs, stylized, objective.targets(style_image(), LossWeights(**NONE | weights)))

    one, three = terms(**{name: 1.0}), terms(**{name: 3.0})
    torch.testing.assert_close(three[name], 3 * one[name])
    assert one[name] > 0
    assert all(term == 0 for other, term in one.items() if other != name)


def test_weights_belong_to_the_targets(
    objective: StyleTransferObjective, pairs: FramePairs, stylized: StylizedPairs
) -> None:
    weak, strong = (objective.targets(style_image(), LossWeights(style=style)) for style in (1.0, 10.0))
    weak_terms, strong_terms = (objective.terms(pairs, stylized, targets) for targets in (weak, strong))
    torch.testing.assert_close(strong_terms.pop("style"), 10 * weak_terms.pop("style"))
    assert strong_terms == weak_terms


def test_targets_are_the_weights_and_the_gram_matrices_of_the_style_image(objective: StyleTransferObjective) -> None:
    targets = objective.targets(style_image(), GRAMS_ALONE)
    (network,) = objective.networks
    features = network(style_image())
    grams = [gram_matrix(features[layer])[0] for layer in network.layers.style]
    assert len(grams) > 1
    grey = standard_luminance(style_image()).expand(-1, 3, -1, -1)
    for scale in STROKE_SCALES:
        features = network(F.interpolate(grey, scale_factor=scale, mode="bilinear", antialias=True))
        grams += [gram_matrix(features[layer])[0] for layer in network.layers.strokes]
        grams += [gram_matrix(features[layer])[0] for layer in network.layers.structure if scale == 1]
    for target, expected in zip(targets, [torch.tensor(dataclasses.astuple(GRAMS_ALONE)), *grams], strict=True):
        torch.testing.assert_close(target, expected, rtol=1e-4, atol=1e-6)
        assert not target.requires_grad


def test_distributions_are_compared_on_request_only(objective: StyleTransferObjective) -> None:
    plain, more = (objective.targets(style_image(), weights) for weights in (GRAMS_ALONE, LossWeights()))
    (network,) = objective.networks
    assert len(more) - len(plain) == len(COLOR_SCALES) + len(network.layers.style)
    for one, same in zip(plain[1:], more[1:], strict=False):
        torch.testing.assert_close(one, same)


def test_brushwork_does_not_depend_on_colors_and_contrast(
    objective: StyleTransferObjective, pairs: FramePairs, stylized: StylizedPairs
) -> None:
    """A picture of grey strokes is as near to the style image as one in its colors; a recoloring is no nearer."""
    grey = (0.3 + 0.4 * standard_luminance(style_image())).expand(2, 3, -1, -1)
    recolored = blobs(2, *grey.shape[-2:], seed=3) * torch.tensor([1.0, 0.9, 0.1]).view(3, 1, 1)
    targets = objective.targets(style_image(), LossWeights())
    clean = dataclasses.replace(pairs, clean_first=grey)
    strokes, tint = (
        objective.terms(clean, dataclasses.replace(stylized, first=first), targets) for first in (grey, recolored)
    )
    for name in ("strokes", "structure"):
        assert strokes[name] < 1e-6
        assert tint[name] > 1000 * strokes[name]
    assert strokes["style"] > 0.1 * LossWeights().style


def test_without_deep_features_there_is_no_structure(pairs: FramePairs, stylized: StylizedPairs) -> None:
    network = loss_network()
    network.layers = dataclasses.replace(network.layers, structure=())
    objective = StyleTransferObjective([network])
    terms = objective.terms(pairs, stylized, objective.targets(style_image(), LossWeights()))
    assert terms["structure"] == 0
    assert terms["strokes"] > 0


def test_two_loss_networks_count_the_same(pairs: FramePairs, stylized: StylizedPairs) -> None:
    def terms(networks: Sequence[object]) -> dict[str, Tensor]:
        objective = StyleTransferObjective(networks)  # type: ignore[arg-type]
        return objective.terms(pairs, stylized, objective.targets(style_image(), LossWeights()))

    one, two = terms([loss_network()]), terms([loss_network(), loss_network()])
    for name in NAMES:
        torch.testing.assert_close(one[name], two[name])


def test_the_style_image_itself_has_no_style_loss(
    objective: StyleTransferObjective, pairs: FramePairs, stylized: StylizedPairs
) -> None:
    itself = dataclasses.replace(stylized, first=style_image().expand(2, -1, -1, -1))
    clean = dataclasses.replace(pairs, clean_first=itself.first)
    targets = objective.targets(style_image(), LossWeights(**NONE | {"style": 1.0, "content": 1.0}))
    terms = objective.terms(clean, itself, targets)
    assert terms["style"] < 1e-9
    assert terms["content"] < 1e-9


def test_noise_does_not_belong_to_the_content(
    objective: StyleTransferObjective, pairs: FramePairs, stylized: StylizedPairs
) -> None:
    """The target is the frame without noise; a result that keeps the noise scores worse."""
    targets = objective.targets(style_image(), LossWeights())
    terms = objective.terms(pairs, stylized, targets)
    unseen = dataclasses.replace(pairs, first=torch.zeros_like(pairs.first), second=torch.zeros_like(pairs.second))
    assert objective.terms(unseen, stylized, targets) == terms
    faithful, noisy = (
        objective.terms(pairs, dataclasses.replace(stylized, first=first), targets)["content"]
        for first in (pairs.clean_first, pairs.first)
    )
    assert faithful < 1e-9
    assert noisy > 0.001


def test_a_stable_result_for_a_still_scene_costs_nothing(
    objective: StyleTransferObjective, pairs: FramePairs, stylized: StylizedPairs
) -> None:
    still = StylizedPairs(stylized.first, stylized.first, stylized.first_features, stylized.first_features)
    terms = objective.terms(pairs, still, objective.targets(style_image(), LossWeights()))
    assert terms["output"] < 1e-9
    assert terms["feature"] < 1e-9


def test_a_result_that_moves_and_grows_lighter_with_the_scene_costs_nothing(
    objective: StyleTransferObjective, pairs: FramePairs, stylized: StylizedPairs
) -> None:
    flow = torch.tensor([4.0, -8.0]).view(1, 2, 1, 1).repeat(2, 1, 32, 32)
    moving = dataclasses.replace(pairs, clean_second=warp(pairs.clean_first, flow) + 0.1, flow=flow)
    features = warp(stylized.first_features, flow[..., :8, :8] / 4)
    along = StylizedPairs(stylized.first, warp(stylized.first, flow) + 0.1, stylized.first_features, features)
    terms = objective.terms(moving, along, objective.targets(style_image(), LossWeights()))
    assert terms["output"] < 1e-6
    assert terms["feature"] < 1e-6


def test_a_loss_network_is_needed() -> None:
    with pytest.raises(ValueError, match="at least one loss network"):
        StyleTransferObjective([])


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("name", NAMES)
def test_loss_weights_are_finite_and_not_negative(name: str, wrong: float) -> None:
    with pytest.raises(ValueError, match="finite and not negative"):
        LossWeights(**{name: wrong})
