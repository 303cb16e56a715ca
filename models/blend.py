"""Blends of several styles."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from models.network import Style
from models.registry import LoadedStyle, StyleMetadata, WeightsError

# Cosine between the parameters of two networks: above 0.9 if one was fine-tuned from the other; about 0 if they were
# trained from different random numbers, and then networks between them stylize nothing.
RELATED = 0.5


def blend(styles: Sequence[LoadedStyle], weights: Sequence[float], name: str) -> LoadedStyle:
    """Blend several styles into one, by interpolating their parameters; see `Style`.

    Args:
        styles: at least one.
        weights: one for each style, 0 or more, with sum 1.
        name: of the result.

    Raises:
        WeightsError: the styles are not related.
    """
    for first, second in pairwise(styles):
        check_related(first, second)
    tensors = zip(*(style.style.tensors() for style in styles), strict=True)
    return LoadedStyle(styles[0].network, Style.of([_mean(each, weights) for each in tensors]), StyleMetadata(name))


def check_related(a: LoadedStyle, b: LoadedStyle) -> None:
    """Check that networks between those of two styles stylize as well.

    Raises:
        WeightsError: they differ in architecture, or were trained independently.
    """
    names = f"{a.metadata.name} and {b.metadata.name} cannot be mixed"
    if a.network != b.network:
        raise WeightsError(f"{names}: their networks have different sizes; train them with the same settings")
    first, second = (torch.cat([kernel.flatten() for kernel in style.style.convolutions]) for style in (a, b))
    if torch.cosine_similarity(first, second, dim=0) < RELATED:
        raise WeightsError(f"{names}: their networks were trained apart; train both styles into one file")


def _mean(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    if all(torch.equal(tensor, tensors[0]) for tensor in tensors):  # shared; a weighted sum would round
        return tensors[0]
    return torch.stack([weight * tensor for weight, tensor in zip(weights, tensors, strict=True)]).sum(dim=0)
