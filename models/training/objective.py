"""What training minimises: named terms, each a function of the frames, what became of them, and the painting."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Protocol

import torch
from torch import Tensor

from models.losses import content_loss, feature_loss, gram_matrix, output_loss, style_loss, total_variation
from models.training.loss_network import LossNetwork
from models.training.pairs import Pairs


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each term counts; the terms are relative to their targets, so 1 means the same for every painting.

    Attributes:
        style: on the Gram matrices.
        content: on the features.
        variation: on the differences of neighbouring pixels.
        output: on the change of the painting from frame to frame.
        feature: on the change of the network's own features from frame to frame.
    """

    style: float = 14.0
    content: float = 0.7
    variation: float = 2.0
    output: float = 250.0
    feature: float = 0.5

    def __post_init__(self) -> None:
        if not all(math.isfinite(weight) and weight >= 0 for weight in asdict(self).values()):
            raise ValueError(f"loss weights must be finite and not negative: {self}")

    def tensor(self) -> Tensor:
        """The weights in the order of the fields, ``(5,)`` float32."""
        return torch.tensor([getattr(self, f.name) for f in fields(self)], dtype=torch.float32)


@dataclass(frozen=True, slots=True)
class Stylized:
    """What the network made of `Pairs`.

    Attributes:
        first: ``(N, 3, H, W)`` in [0, 1], frame t - 1 painted.
        second: ``(N, 3, H, W)``, frame t painted.
        first_features: ``(N, C, h, w)`` in the middle of the network.
        second_features: ``(N, C, h, w)``.
    """

    first: Tensor
    second: Tensor
    first_features: Tensor
    second_features: Tensor


class Objective(Protocol):
    """What training minimises."""

    def terms(self, pairs: Pairs, stylized: Stylized, targets: Sequence[Tensor]) -> dict[str, Tensor]:
        """Weighted scalar losses by name.

        Args:
            pairs: what was to be painted.
            stylized: what the network made of it.
            targets: what `targets` of the same objective returned for the painting.
        """
        ...

    def targets(self, painting: Tensor, weights: Weights) -> list[Tensor]:
        """What the terms need to know of a painting, and how much each of them counts.

        Args:
            painting: ``(K, 3, H, W)`` in [0, 1]: K pictures, one in most cases, of the same look.
            weights: of the terms.
        """
        ...


class PaintingObjective:
    """Content, style and smoothness as in Johnson 2016, stillness as in ReCoNet 2018.

    The two frames of a pair show the same, so likeness to photo and painting is asked of one of them alone: that halves
    the work of the loss networks, the most of a step.

    Args:
        networks: whose features are compared, the mean over their layers; at least one.

    Raises:
        ValueError: there is none.
    """

    def __init__(self, networks: Sequence[LossNetwork]) -> None:
        if not networks:
            raise ValueError("at least one loss network is needed")
        self.networks = list(networks)

    def targets(self, painting: Tensor, weights: Weights) -> list[Tensor]:
        """The weights, then the Gram matrices ``(C, C)`` by network and style layer, mean over the pictures."""
        with torch.no_grad():
            by_picture = [self._grams(picture) for picture in painting[:, None]]
        means = (torch.stack(grams).mean(dim=0) for grams in zip(*by_picture, strict=True))
        return [weights.tensor().to(painting.device), *means]

    def _grams(self, picture: Tensor) -> list[Tensor]:
        by_network = ((network.layers.style, network(picture)) for network in self.networks)
        return [gram_matrix(features[layer])[0] for layers, features in by_network for layer in layers]

    def terms(self, pairs: Pairs, stylized: Stylized, targets: Sequence[Tensor]) -> dict[str, Tensor]:
        """The terms ``style``, ``content``, ``variation``, ``output`` and ``feature``."""
        style, content = self._likeness(pairs.clean_first, stylized.first, targets[1:])
        frames = (pairs.clean_second, pairs.clean_first)
        losses = {
            "style": style,
            "content": content,
            "variation": total_variation(stylized.first),
            "output": output_loss(stylized.second, stylized.first, *frames, pairs.flow, pairs.mask),
            "feature": feature_loss(stylized.second_features, stylized.first_features, pairs.flow, pairs.mask),
        }
        return {name: weight * loss for (name, loss), weight in zip(losses.items(), targets[0].unbind(), strict=True)}

    def _likeness(self, pictures: Tensor, stylized: Tensor, grams: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        style, content = [], []
        remaining = iter(grams)
        for network in self.networks:
            of_painted = network(stylized)
            with torch.no_grad():
                of_pictures = network(pictures)
            style += [style_loss(of_painted[layer], next(remaining)) for layer in network.layers.style]
            content += [content_loss(of_painted[layer], of_pictures[layer]) for layer in network.layers.content]
        return torch.stack(style).mean(), torch.stack(content).mean()
