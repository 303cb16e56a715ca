"""How much of a painting is in a painted frame, and how much of the scene is left: VGG features compared."""

from typing import TYPE_CHECKING

import numpy as np

from pipeline.frames import Pixels

if TYPE_CHECKING:
    from torch import Tensor

    from models.training.loss_network import LossNetwork

STYLE_LAYERS, CONTENT_LAYER = ("relu1_1", "relu2_1", "relu3_1"), "relu3_1"

LARGEST_PX = 720
"""Short side beyond which pictures are shrunk first: the features of a 4K frame take 8 GB."""


class PerceptualMetrics:
    """Compares painted frames with a painting and with the frames that they were made from.

    Args:
        network: whose features are compared. Of a VGG-19 relu1_1, relu2_1 and relu3_1 count; of another network the
            layers that it is trained with.
        painting: ``(height, width, 3)`` uint8 RGB, shown at the short side of the frames; None leaves style out.
    """

    def __init__(self, network: "LossNetwork", painting: Pixels | None) -> None:
        self._network = network
        self._painting = painting
        self._targets: dict[str, Tensor] = {}
        is_vgg = set(STYLE_LAYERS) <= set(network.stages)
        self._style_layers = STYLE_LAYERS if is_vgg else network.layers.style
        self._content_layer = CONTENT_LAYER if is_vgg else network.layers.content[-1]

    def __call__(self, original: Pixels, stylized: Pixels) -> tuple[float | None, float]:
        """Style and content score of a painted frame; style is None where there is no painting.

        Args:
            original: ``(height, width, 3)`` uint8 RGB.
            stylized: the same size.
        """
        from models.metrics import content_score, style_score

        scale = min(LARGEST_PX / min(stylized.shape[:2]), 1.0)
        content = self._features(scaled(original, scale))[self._content_layer]
        features = self._features(scaled(stylized, scale))
        if self._painting is not None and not self._targets:
            self._targets = self._look_at(self._painting, min(stylized.shape[:2]) * scale)
        style = style_score(features, self._targets) if self._targets else None
        return style, content_score(features[self._content_layer], content)

    def _look_at(self, painting: Pixels, short_px: float) -> "dict[str, Tensor]":
        from models.losses import gram_matrix

        features = self._features(scaled(painting, short_px / min(painting.shape[:2])))
        return {name: gram_matrix(features[name])[0] for name in self._style_layers}

    def _features(self, pixels: Pixels) -> "dict[str, Tensor]":
        import torch

        from models.metrics import image_to_tensor

        with torch.inference_mode():
            features: dict[str, Tensor] = self._network(image_to_tensor(pixels))
        return features


def scaled(pixels: Pixels, factor: float) -> Pixels:
    """A picture scaled by ``factor``, each new pixel the mean of the area that it covers."""
    import cv2

    if factor == 1:
        return pixels
    return np.asarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
