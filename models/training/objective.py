"""What training minimises: named terms, each a function of the pictures and their paintings."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from models.losses import content_loss, gram_matrix, style_loss, total_variation
from models.training.loss_network import LossNetwork


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each term counts; the terms are relative to their targets, so 1 means the same for every painting.

    Attributes:
        style: on the Gram matrices.
        content: on the features.
        variation: on the differences of neighbouring pixels.
    """

    style: float = 6.0
    content: float = 1.0
    variation: float = 5.0

    def __post_init__(self) -> None:
        if not all(math.isfinite(weight) and weight >= 0 for weight in (self.style, self.content, self.variation)):
            raise ValueError(f"loss weights must be finite and not negative: {self}")


class Objective(Protocol):
    """One part of what training minimises."""

    def terms(self, pictures: Tensor, painted: Tensor, targets: Sequence[Tensor]) -> dict[str, Tensor]:
        """Weighted scalar losses by name.

        Args:
            pictures: ``(N, 3, H, W)`` in [0, 1], what was to be painted.
            painted: ``(N, 3, H, W)`` in [0, 1], what the network made of it.
            targets: what `targets` of the same objective returned for the painting.
        """
        ...

    def targets(self, painting: Tensor) -> list[Tensor]:
        """What the terms need to know of a painting ``(1, 3, H, W)`` in [0, 1]."""
        ...


class PerceptualObjective:
    """Content, style and smoothness as in Johnson 2016, averaged over the layers of one or more loss networks.

    Args:
        networks: whose features are compared.
        weights: of the terms.
    """

    def __init__(self, networks: Sequence[LossNetwork], weights: Weights) -> None:
        if not networks:
            raise ValueError("at least one loss network is needed")
        self.networks = list(networks)
        self.weights = weights

    def targets(self, painting: Tensor) -> list[Tensor]:
        """Gram matrices ``(C, C)`` of the painting, in the order of the networks and their style layers."""
        with torch.no_grad():
            return [
                gram_matrix(features[layer])[0]
                for network, features in ((n, n(painting)) for n in self.networks)
                for layer in network.layers.style
            ]

    def terms(self, pictures: Tensor, painted: Tensor, targets: Sequence[Tensor]) -> dict[str, Tensor]:
        """The terms ``style``, ``content`` and ``variation``."""
        style, content = [], []
        remaining = iter(targets)
        for network in self.networks:
            of_painted = network(painted)
            with torch.no_grad():
                of_pictures = network(pictures)
            style += [style_loss(of_painted[layer], next(remaining)) for layer in network.layers.style]
            content += [content_loss(of_painted[layer], of_pictures[layer]) for layer in network.layers.content]
        return {
            "style": self.weights.style * torch.stack(style).mean(),
            "content": self.weights.content * torch.stack(content).mean(),
            "variation": self.weights.variation * total_variation(painted),
        }
