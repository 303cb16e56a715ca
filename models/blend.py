"""Several styles made one: their vectors, and where they come from different files their networks, by interpolation."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from models.network import Style, StyleNetwork
from models.registry import LoadedStyle, StyleMetadata, WeightsError

# Cosine between the parameters of two networks. Fine-tuned from one another they keep above 0.9; trained from
# different random numbers they have about 0, and what lies between two such networks paints nothing.
RELATED = 0.5


def blend(painters: Sequence[LoadedStyle], weights: Sequence[float], name: str) -> LoadedStyle:
    """One painter between several.

    Styles of one network by interpolating their vectors (Dumoulin et al., ICLR 2017, arXiv:1610.07629); different
    networks by interpolating their parameters too (deep network interpolation, Wang et al., CVPR 2019,
    arXiv:1811.10515), which needs that one was trained on from the other.

    Args:
        painters: at least one.
        weights: for each, none negative, their sum 1.
        name: of the result.

    Raises:
        WeightsError: the networks are not of one kind.
    """
    for first, second in pairwise(painters):
        check_related(first, second)
    network = painters[0].network
    if any(differ(network, other.network) for other in painters[1:]):
        network = StyleNetwork(network.architecture)
        states = [painter.network.state_dict() for painter in painters]
        network.load_state_dict({key: _mean([state[key] for state in states], weights) for key in states[0]})
        network = network.eval().requires_grad_(False)
    vectors = zip(*(painter.style.tensors() for painter in painters), strict=True)
    return LoadedStyle(network, Style(*(_mean(tensors, weights) for tensors in vectors)), StyleMetadata(name))


def differ(a: StyleNetwork, b: StyleNetwork) -> bool:
    """Whether the convolutions of two networks are not the same, to the bit."""
    first, second = a.state_dict(), b.state_dict()
    return first.keys() != second.keys() or not all(torch.equal(first[key], second[key]) for key in first)


def check_related(a: LoadedStyle, b: LoadedStyle) -> None:
    """Make sure that there is something to see between two painters' networks.

    Raises:
        WeightsError: they differ in architecture, or were trained apart.
    """
    names = f"{a.card.name} and {b.card.name} cannot be mixed"
    if a.network.architecture != b.network.architecture:
        raise WeightsError(f"{names}: their networks have different sizes; train them with the same settings")
    first, second = (parameters_to_vector(painter.network.parameters()) for painter in (a, b))
    if torch.cosine_similarity(first, second, dim=0) < RELATED:
        raise WeightsError(f"{names}: their networks were trained apart; train both styles into one file")


def _mean(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    return torch.stack([weight * tensor for weight, tensor in zip(weights, tensors, strict=True)]).sum(dim=0)
