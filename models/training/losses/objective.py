"""What training minimizes: named losses of frames, of their stylized versions, and of the style image."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields, replace
from typing import Protocol

import torch
from torch import Tensor

from models.losses import (
    content_loss,
    feature_loss,
    gram_matrix,
    output_loss,
    strokes_image,
    style_loss,
    total_variation,
)
from models.training.data.pairs import FramePairs
from models.training.losses.distribution import distribution_loss, distributions
from models.training.losses.loss_network import LossNetwork

STROKE_SCALES = (1.0, 0.5, 0.25)
"""Factors of the size at which brushwork is compared: fine, middle and large strokes."""


@dataclass(frozen=True, slots=True)
class LossWeights:
    """Weights of the losses; each loss is relative to its target, so 1 means the same for every style image.

    Attributes:
        style: of the distance of Gram matrices from the style image.
        strokes: of the same for the luminance alone, at `STROKE_SCALES`.
        structure: of the same for the luminance and deep features.
        distribution: of the distance of the distributions of colors and features; 0 leaves it out.
        content: of the distance of features from the frame.
        variation: of the differences of neighboring pixels.
        output: of the change of the stylized frame along the flow.
        feature: of the change of the network's own features along the flow.
    """

    style: float = 20.0
    strokes: float = 40.0
    structure: float = 10.0
    distribution: float = 10.0
    content: float = 1.0
    variation: float = 2.0
    output: float = 800.0
    feature: float = 0.5

    def __post_init__(self) -> None:
        if not all(math.isfinite(weight) and weight >= 0 for weight in asdict(self).values()):
            raise ValueError(f"loss weights must be finite and not negative: {self}")

    def turned(self, paint: float, stillness: float) -> "LossWeights":
        """Return weights of the style times ``paint``, and of the stability times ``stillness``; the others stay."""
        return replace(
            self,
            style=self.style * paint,
            strokes=self.strokes * paint,
            structure=self.structure * paint,
            distribution=self.distribution * paint,
            output=self.output * stillness,
            feature=self.feature * stillness,
        )


NAMES = tuple(f.name for f in fields(LossWeights))


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


@dataclass(frozen=True, slots=True)
class View:
    """An image as one loss network sees it.

    Attributes:
        network: to pass it through.
        layers: features to compare by their Gram matrices, each with the name of its loss.
        stroke_scale: factor of the size of the luminance; None for the image in color.
    """

    network: LossNetwork
    layers: tuple[tuple[str, str], ...]
    stroke_scale: float | None = None

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """Return the features of ``(N, 3, H, W)`` images in [0, 1]."""
        seen = images if self.stroke_scale is None else strokes_image(images, self.stroke_scale)
        return self.network(seen)  # type: ignore[no-any-return]


class StyleTransferObjective:
    """Content, style and smoothness as in Johnson 2016, temporal stability as in ReCoNet 2018, and brushwork.

    Gram matrices of colored images are matched by colors and fine texture. So brushwork is compared apart: by Gram
    matrices of the luminance alone, at one contrast, on a pyramid of sizes, where small kernels see large strokes.
    Gatys et al., "Controlling Perceptual Factors in Neural Style Transfer", CVPR 2017; Snelgrove, "High-Resolution
    Multi-Scale Neural Texture Synthesis", 2017. Rare colors are
    matched by the distributions of colors and features (`models.training.losses.distribution`).

    The frames of a pair show the same scene, so all but stability is measured on the first one only: that halves the
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
        self._views = [View(network, _named("style", network.layers.style)) for network in networks] + [
            View(network, layers, scale)
            for network in networks
            for scale in STROKE_SCALES
            if (layers := _stroke_layers(network, scale))
        ]

    def targets(self, style_image: Tensor, weights: LossWeights) -> list[Tensor]:
        """Return the weights, then what `terms` compares, averaged over the images.

        That is a Gram matrix ``(C, C)`` for each layer of each view, then the distributions, unless their weight is 0.
        """
        with torch.no_grad():
            found = [self._targets_of(image, weights.distribution > 0) for image in style_image[:, None]]
        means = (torch.stack(each).mean(dim=0) for each in zip(*found, strict=True))
        return [torch.tensor(astuple(weights), dtype=torch.float32, device=style_image.device), *means]

    def _targets_of(self, image: Tensor, with_distributions: bool) -> list[Tensor]:
        seen = [view.features(image) for view in self._views]
        pairs = zip(self._views, seen, strict=True)
        targets = [gram_matrix(features[layer]) for view, features in pairs for _, layer in view.layers]
        if with_distributions:
            targets += self._distributions(image, seen)
        return [target[0] for target in targets]

    def _distributions(self, images: Tensor, seen: Sequence[Mapping[str, Tensor]]) -> list[Tensor]:
        """Return the `distributions` of images, given what the views see of them."""
        colored = [(view, found) for view, found in zip(self._views, seen, strict=True) if view.stroke_scale is None]
        return distributions(images, [found[layer] for view, found in colored for _, layer in view.layers])

    def terms(self, pairs: FramePairs, stylized: StylizedPairs, targets: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return the losses, in the order of `LossWeights`."""
        frames = (pairs.clean_second, pairs.clean_first)
        losses = self._perceptual_losses(pairs.clean_first, stylized.first, targets[1:]) | {
            "variation": total_variation(stylized.first),
            "output": output_loss(stylized.second, stylized.first, *frames, pairs.flow, pairs.mask),
            "feature": feature_loss(stylized.second_features, stylized.first_features, pairs.flow, pairs.mask),
        }
        return {name: weight * losses[name] for name, weight in zip(NAMES, targets[0].unbind(), strict=True)}

    def _perceptual_losses(self, frames: Tensor, stylized: Tensor, targets: Sequence[Tensor]) -> dict[str, Tensor]:
        losses: dict[str, list[Tensor]] = {
            name: [] for name in ("style", "strokes", "structure", "distribution", "content")
        }
        remaining = iter(targets)
        seen = [view.features(stylized) for view in self._views]
        for view, found in zip(self._views, seen, strict=True):
            for name, layer in view.layers:
                losses[name].append(style_loss(found[layer], next(remaining)))
            if view.stroke_scale is None:
                with torch.no_grad():
                    expected = view.features(frames)
                losses["content"] += [content_loss(found[n], expected[n]) for n in view.network.layers.content]
        if expected_distributions := list(remaining):
            losses["distribution"] = [distribution_loss(self._distributions(stylized, seen), expected_distributions)]
        nothing = stylized.new_zeros(())
        return {name: torch.stack(terms).mean() if terms else nothing for name, terms in losses.items()}


def _named(loss: str, layers: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple((loss, layer) for layer in layers)


def _stroke_layers(network: LossNetwork, scale: float) -> tuple[tuple[str, str], ...]:
    structure = network.layers.structure if scale == 1 else ()
    return _named("strokes", network.layers.strokes) + _named("structure", structure)
