"""Blends of several styles: interpolated vectors, and interpolated networks if they come from different files."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from models.network import Style, StyleNetwork
from models.registry import LoadedStyle, StyleMetadata, WeightsError

# Cosine between the parameters of two networks: above 0.9 if one was fine-tuned from the other; about 0 if they were
# trained from different random numbers, and then networks between them stylize nothing.
RELATED = 0.5


def blend(styles: Sequence[LoadedStyle], weights: Sequence[float], name: str) -> LoadedStyle:
    """Blend several styles into one.

    Styles of one network: by interpolating their vectors (Dumoulin et al., ICLR 2017, arXiv:1610.07629). Different
    networks: by interpolating their parameters too (deep network interpolation, Wang et al., CVPR 2019,
    arXiv:1811.10515), which requires that one was trained from the other.

    Args:
        styles: at least one.
        weights: one for each style, 0 or more, with sum 1.
        name: of the result.

    Raises:
        WeightsError: the networks are not related.
    """
    for first, second in pairwise(styles):
        check_related(first, second)
    network = styles[0].network
    if any(networks_differ(network, other.network) for other in styles[1:]):
        network = StyleNetwork(network.architecture)
        states = [style.network.state_dict() for style in styles]
        network.load_state_dict({key: _mean([state[key] for state in states], weights) for key in states[0]})
        network = network.eval().requires_grad_(False)
    vectors = zip(*(style.style.tensors() for style in styles), strict=True)
    return LoadedStyle(network, Style(*(_mean(tensors, weights) for tensors in vectors)), StyleMetadata(name))


def networks_differ(a: StyleNetwork, b: StyleNetwork) -> bool:
    """Return whether any bit of the convolutions of two networks differs."""
    first, second = a.state_dict(), b.state_dict()
    return first.keys() != second.keys() or not all(torch.equal(first[key], second[key]) for key in first)


def check_related(a: LoadedStyle, b: LoadedStyle) -> None:
    """Check that networks between those of two styles stylize as well.

    Raises:
        WeightsError: they differ in architecture, or were trained independently.
    """
    names = f"{a.metadata.name} and {b.metadata.name} cannot be mixed"
    if a.network.architecture != b.network.architecture:
        raise WeightsError(f"{names}: their networks have different sizes; train them with the same settings")
    first, second = (parameters_to_vector(style.network.parameters()) for style in (a, b))
    if torch.cosine_similarity(first, second, dim=0) < RELATED:
        raise WeightsError(f"{names}: their networks were trained apart; train both styles into one file")


def _mean(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    return torch.stack([weight * tensor for weight, tensor in zip(weights, tensors, strict=True)]).sum(dim=0)
