"""What training minimizes: named losses of frames, of their stylized versions, and of the style image."""

import math
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Protocol

import torch
from torch import Tensor

from models.losses import content_loss, feature_loss, gram_matrix, output_loss, style_loss, total_variation
from models.training.loss_network import LossNetwork
from models.training.pairs import FramePairs


@dataclass(frozen=True, slots=True)
class LossWeights:
    """Weights of the losses; each loss is relative to its target, so 1 means the same for every style image.

    Attributes:
        style: of the distance of Gram matrices from the style image.
        content: of the distance of features from the frame.
        variation: of the differences of neighboring pixels.
        output: of the change of the stylized frame along the flow.
        feature: of the change of the network's own features along the flow.
    """

    style: float = 14.0
    content: float = 0.7
    variation: float = 2.0
    output: float = 250.0
    feature: float = 0.5

    def __post_init__(self) -> None:
        if not all(math.isfinite(weight) and weight >= 0 for weight in asdict(self).values()):
            raise ValueError(f"loss weights must be finite and not negative: {self}")


@dataclass(frozen=True, slots=True)
class StylizedPairs:
    """`FramePairs` after the network.

    Attributes:
        first: ``(N, 3, H, W)`` in [0, 1], stylized frame t - 1.
        second: ``(N, 3, H, W)``, stylized frame t.
        first_features: ``(N, C, h, w)`` in the middle of the network.
        second_features: ``(N, C, h, w)``.
    """

    first: Tensor
    second: Tensor
    first_features: Tensor
    second_features: Tensor


class Objective(Protocol):
    """What training minimizes."""

    def terms(self, pairs: FramePairs, stylized: StylizedPairs, targets: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return weighted scalar losses by name.

        Args:
            pairs: the frames.
            stylized: the frames after the network.
            targets: of the style; see `targets`.
        """
        ...

    def targets(self, style_image: Tensor, weights: LossWeights) -> list[Tensor]:
        """Return what `terms` needs to know about a style.

        Args:
            style_image: ``(K, 3, H, W)`` in [0, 1]: K images of one style, usually one.
            weights: of the losses.
        """
        ...


class StyleTransferObjective:
    """Content, style and smoothness as in Johnson 2016, temporal stability as in ReCoNet 2018.

    The frames of a pair show the same scene, so style and content are measured on the first one only: that halves the
    work of the loss networks, the largest part of a step.

    Args:
        networks: features to compare, averaged over their layers; at least one network.

    Raises:
        ValueError: no network is given.
    """

    def __init__(self, networks: Sequence[LossNetwork]) -> None:
        if not networks:
            raise ValueError("at least one loss network is needed")
        self.networks = list(networks)

    def targets(self, style_image: Tensor, weights: LossWeights) -> list[Tensor]:
        """Return the weights, then the Gram matrices ``(C, C)`` by network and style layer, averaged over images."""
        with torch.no_grad():
            grams = [self._grams(image) for image in style_image[:, None]]
        means = (torch.stack(of_layer).mean(dim=0) for of_layer in zip(*grams, strict=True))
        return [torch.tensor(astuple(weights), dtype=torch.float32, device=style_image.device), *means]

    def _grams(self, image: Tensor) -> list[Tensor]:
        features = ((network.layers.style, network(image)) for network in self.networks)
        return [gram_matrix(by_layer[layer])[0] for layers, by_layer in features for layer in layers]

    def terms(self, pairs: FramePairs, stylized: StylizedPairs, targets: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return the losses ``style``, ``content``, ``variation``, ``output`` and ``feature``."""
        style, content = self._style_and_content(pairs.clean_first, stylized.first, targets[1:])
        frames = (pairs.clean_second, pairs.clean_first)
        losses = {
            "style": style,
            "content": content,
            "variation": total_variation(stylized.first),
            "output": output_loss(stylized.second, stylized.first, *frames, pairs.flow, pairs.mask),
            "feature": feature_loss(stylized.second_features, stylized.first_features, pairs.flow, pairs.mask),
        }
        return {name: weight * loss for (name, loss), weight in zip(losses.items(), targets[0].unbind(), strict=True)}

    def _style_and_content(self, frames: Tensor, stylized: Tensor, grams: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        style, content = [], []
        remaining = iter(grams)
        for network in self.networks:
            found = network(stylized)
            with torch.no_grad():
                expected = network(frames)
            style += [style_loss(found[layer], next(remaining)) for layer in network.layers.style]
            content += [content_loss(found[layer], expected[layer]) for layer in network.layers.content]
        return torch.stack(style).mean(), torch.stack(content).mean()
