"""The losses of a picture and their gradient, window by window where the whole takes too much memory."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.losses import content_spread, gram_distance, gram_matrix, total_variation
from models.optimize.features import Features
from models.optimize.settings import OptimizeSettings
from models.optimize.windows import Window, plan_windows

PixelLoss = Callable[[Tensor], Tensor]
"""Takes an image ``(1, 3, H, W)`` and returns a weighted scalar."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The losses of a picture.

    Attributes:
        losses: weighted, by name.
        gradient: ``(1, 3, H, W)`` of their sum.
    """

    losses: Mapping[str, float]
    gradient: Tensor

    @property
    def total(self) -> float:
        """The sum of the losses."""
        return sum(self.losses.values())


class PictureLoss:
    """Content, style and total variation as in Gatys, Ecker & Bethge, CVPR 2016, and further losses of pixels.

    With several windows the gradient is the same: the Gram matrices of the whole image come first, then each window
    contributes its part of the chain rule. That computes the features twice.

    Args:
        features: computes the features of all layers in ``settings``.
        grams: target ``(C, C)`` of each style layer.
        content: the picture to keep, ``(1, 3, H, W)`` in [0, 1].
        settings: layers and weights.
        most_px: most pixels whose features fit into memory at once.
        pixel_losses: further losses by name.

    Raises:
        ValueError: ``most_px`` is too small.
    """

    def __init__(
        self,
        features: Features,
        grams: Mapping[str, Tensor],
        content: Tensor,
        settings: OptimizeSettings,
        *,
        most_px: float,
        pixel_losses: Mapping[str, PixelLoss] | None = None,
    ) -> None:
        self._features, self._grams = features, grams
        self._style_weights = _shares(settings.style_layers, settings.style_weight)
        self._content_weights = _shares(settings.content_layers, settings.content_weight)
        self._variation_weight = settings.variation_weight
        self._pixel_losses = {**(pixel_losses or {}), "variation": self._variation}
        self._windows = plan_windows(
            *content.shape[-2:], halo_px=features.halo_px, most_px=most_px, is_periodic=features.is_periodic
        )
        with torch.no_grad():
            seen = [self._found(window, window.cut(content)) for window in self._windows]
        self._counts = {name: sum(found[name][0, 0].numel() for found in seen) for name in seen[0]}
        self._targets = [{name: found[name].clone() for name in self._content_weights} for found in seen]
        self._spreads = {
            name: content_spread(torch.cat([target[name].float().flatten() for target in self._targets]))
            for name in self._content_weights
        }

    def __call__(self, image: Tensor) -> Evaluation:
        """Return the losses of ``(1, 3, H, W)`` in [0, 1], and their gradient."""
        image, losses = image.detach(), dict.fromkeys(("style", "content"), 0.0)
        gradient = torch.zeros_like(image)
        slopes: Mapping[str, Tensor] | None = None
        if len(self._windows) > 1:
            losses["style"], slopes = self._slopes(image)
        for window, target in zip(self._windows, self._targets, strict=True):
            part = window.cut(image).requires_grad_()
            found = self._found(window, part)
            grams, content = self._grams_of(found), self._content_loss(found, target)
            losses["content"] += float(content.detach())
            if slopes is None:
                style = self._style_loss(grams)
                losses["style"] = float(style.detach())
            else:
                style = torch.stack([(slope * grams[name]).sum() for name, slope in slopes.items()]).sum()
            window.add(torch.autograd.grad(style + content, part)[0], gradient)
        for name, loss in self._pixel_losses.items():
            leaf = image.clone().requires_grad_()
            term = loss(leaf)
            losses[name] = float(term.detach())
            gradient += torch.autograd.grad(term, leaf)[0]
        return Evaluation(losses, gradient)

    def _found(self, window: Window, part: Tensor) -> dict[str, Tensor]:
        return {name: window.counted(value, name) for name, value in self._features(part).items()}

    def _grams_of(self, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what the features of a window contribute to the Gram matrices of the whole image."""
        return {
            name: gram_matrix(found[name])[0] * (found[name][0, 0].numel() / self._counts[name])
            for name in self._style_weights
        }

    def _slopes(self, image: Tensor) -> tuple[float, dict[str, Tensor]]:
        """Return the style loss, and its derivative by the Gram matrices of the whole image."""
        with torch.no_grad():
            parts = [self._grams_of(self._found(window, window.cut(image))) for window in self._windows]
        grams = {
            name: torch.stack([part[name] for part in parts]).sum(dim=0).requires_grad_()
            for name in self._style_weights
        }
        loss = self._style_loss(grams)
        slopes = torch.autograd.grad(loss, list(grams.values()))
        return float(loss.detach()), dict(zip(grams, slopes, strict=True))

    def _style_loss(self, grams: Mapping[str, Tensor]) -> Tensor:
        terms = [w * gram_distance(grams[name][None], self._grams[name]) for name, w in self._style_weights.items()]
        return torch.stack(terms).sum()

    def _content_loss(self, found: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """Return the share of a window in the mean of `models.losses.content_loss` over the layers."""
        total = next(iter(found.values())).new_zeros((), dtype=torch.float32)
        for name, weight in self._content_weights.items():
            squared = (found[name].float() - target[name].float()).square().sum()
            total = total + weight * squared / (self._counts[name] * target[name].shape[1] * self._spreads[name])
        return total

    def _variation(self, image: Tensor) -> Tensor:
        if self._features.is_periodic:
            image = F.pad(image, (0, 1, 0, 1), mode="circular")
        return self._variation_weight * total_variation(image)


def _shares(layers: Mapping[str, float], weight: float) -> dict[str, float]:
    """Return the weight of each layer, with their sum ``weight``; layers of weight 0 are left out."""
    total = sum(layers.values())
    return {name: weight * value / total for name, value in layers.items() if weight * value > 0}


def image_grams(features: Features, image: Tensor, most_px: float) -> dict[str, Tensor]:
    """Return the Gram matrices ``(C, C)`` of an image ``(1, 3, H, W)`` in [0, 1], by layer.

    Args:
        features: computes the features.
        image: of any size.
        most_px: most pixels whose features fit into memory at once.

    Raises:
        ValueError: ``most_px`` is too small.
    """
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}
    windows = plan_windows(
        *image.shape[-2:], halo_px=features.halo_px, most_px=most_px, is_periodic=features.is_periodic
    )
    with torch.no_grad():
        for window in windows:
            for name, value in features(window.cut(image)).items():
                counted = window.counted(value, name)
                count = counted[0, 0].numel()
                part = gram_matrix(counted)[0] * count
                sums[name], counts[name] = sums[name] + part if name in sums else part, counts.get(name, 0) + count
    return {name: value / counts[name] for name, value in sums.items()}
