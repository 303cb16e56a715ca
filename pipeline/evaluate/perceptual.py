"""Perceptual metrics of a stylized frame: distance from the style image and from the content, by VGG features."""

from typing import TYPE_CHECKING

import numpy as np

from pipeline.frames import Pixels

if TYPE_CHECKING:
    from torch import Tensor

    from models.training.losses.loss_network import LossNetwork

STYLE_LAYERS, CONTENT_LAYER = ("relu1_1", "relu2_1", "relu3_1"), "relu3_1"

LARGEST_PX = 720
"""Short side above which images are scaled down first: the features of a 4K frame take 8 GB."""


class PerceptualMetrics:
    """Compares stylized frames with the style image and with the original frames.

    Args:
        network: whose features are compared: relu1_1, relu2_1 and relu3_1 of a VGG-19, else the layers it is used with
            in training.
        style_image: ``(height, width, 3)`` uint8 RGB, scaled to the short side of the frames; None for no style score.
        largest_px: short side above which images are scaled down.
    """

    def __init__(self, network: "LossNetwork", style_image: Pixels | None, *, largest_px: int = LARGEST_PX) -> None:
        self._network = network
        self._style_image = style_image
        self._largest_px = largest_px
        self._targets: dict[str, Tensor] = {}
        is_vgg = set(STYLE_LAYERS) <= set(network.stages)
        self._style_layers = STYLE_LAYERS if is_vgg else network.layers.style
        self._content_layer = CONTENT_LAYER if is_vgg else network.layers.content[-1]

    def __call__(self, original: Pixels, stylized: Pixels) -> tuple[float | None, float]:
        """Return style and content score of a stylized frame; the style score is None without a style image.

        Args:
            original: ``(height, width, 3)`` uint8 RGB.
            stylized: the same size.
        """
        from models.metrics import content_score, style_score

        short = min(stylized.shape[:2])
        scale = min(self._largest_px / short, 1.0)
        content = self._features(scaled(original, scale))[self._content_layer]
        features = self._features(scaled(stylized, scale))
        if self._style_image is not None and not self._targets:
            self._targets = self._style_targets(self._style_image, short * scale)
        style = style_score(features, self._targets) if self._targets else None
        return style, content_score(features[self._content_layer], content)

    def _style_targets(self, image: Pixels, short_px: float) -> "dict[str, Tensor]":
        from models.losses import gram_matrix

        features = self._features(scaled(image, short_px / min(image.shape[:2])))
        return {name: gram_matrix(features[name])[0] for name in self._style_layers}

    def _features(self, pixels: Pixels) -> "dict[str, Tensor]":
        import torch

        from models.metrics import image_to_tensor

        with torch.inference_mode():
            features: dict[str, Tensor] = self._network(image_to_tensor(pixels))
        return features


def scaled(image: Pixels, factor: float) -> Pixels:
    """Return an image scaled by ``factor``, with area averaging."""
    import cv2

    if factor == 1:
        return image
    return np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
