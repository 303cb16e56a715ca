"""Brushwork of a stylized frame: how near its strokes are to those of the style image, without color.

Gram matrices (Gatys et al. 2016) of the luminance at one mean and contrast, on a pyramid of three sizes, after the
control of scale and luminance of Gatys et al., "Controlling Perceptual Factors in Neural Style Transfer" (CVPR 2017).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.frames import Pixels

if TYPE_CHECKING:
    from torch import Tensor

    from models.training.losses.loss_network import LossNetwork

SCALES = {"fine": 1.0, "middle": 0.5, "large": 0.25}
"""Sizes at which strokes are compared, as factors of `SHORT_PX`."""

LAYERS, STRUCTURE_LAYER = ("relu2_1", "relu3_1"), "relu4_1"

SHORT_PX = 360
"""Short side at which frames and style images are compared: strokes count in relation to the picture."""


@dataclass(frozen=True, slots=True)
class Brushwork:
    """The brushwork of a clip, mean over frames.

    Attributes:
        distance: for each of `SCALES`, the distance from the strokes of the style image; 0 is equal.
        share: for each of `SCALES`, how much of the distance between the original and the style image is gone: 1 all,
            0 nothing, as with colors alone, below 0 the strokes are less like those of the style image.
        structure: distance at relu4_1, where curls differ from hatching; None if no loss network has that layer.
        rank: place of the style image among all that were compared, by the sum of the distances; 1 is the nearest.
        among: number of style images that were compared.
    """

    distance: Mapping[str, float]
    share: Mapping[str, float]
    structure: float | None
    rank: int
    among: int


@dataclass(frozen=True, slots=True)
class FrameBrushwork:
    """The distances of one frame, see `Brushwork`.

    Attributes:
        stylized: ``(images, scales)`` from each style image, the own one first.
        original: ``(scales,)`` of the original frame from the own style image.
        structure: of the stylized frame.
    """

    stylized: NDArray[np.float64]
    original: NDArray[np.float64]
    structure: float | None


class BrushworkMetric:
    """Compares the strokes of frames with those of style images.

    Args:
        network: has the features relu2_1 and relu3_1, see `can_measure`.
        structure: has relu4_1; None if there is no such network.
        style_image: ``(height, width, 3)`` uint8 RGB, any size.
        others: further style images, to rank ``style_image`` among them.
    """

    def __init__(
        self,
        network: "LossNetwork",
        structure: "LossNetwork | None",
        style_image: Pixels,
        others: Sequence[Pixels] = (),
    ) -> None:
        self._network = network
        self._structure = structure
        self._targets = [self._grams(image) for image in (style_image, *others)]
        self._structure_target = self._structure_gram(style_image)

    def __call__(self, original: Pixels, stylized: Pixels) -> FrameBrushwork:
        """Return the distances of a stylized frame; both ``(height, width, 3)`` uint8 RGB."""
        grams, structure = self._grams(stylized), _distances(self._structure_gram(stylized), self._structure_target)
        return FrameBrushwork(
            np.array([_distances(grams, target) for target in self._targets]),
            np.array(_distances(self._grams(original), self._targets[0])),
            structure[0] if structure else None,
        )

    def _grams(self, image: Pixels) -> "list[dict[str, Tensor]]":
        """Return the Gram matrices of the strokes, a dict from layer to ``(1, C, C)`` for each of `SCALES`."""
        return [_gram_matrices(self._network, image, scale, LAYERS) for scale in SCALES.values()]

    def _structure_gram(self, image: Pixels) -> "list[dict[str, Tensor]]":
        return [] if self._structure is None else [_gram_matrices(self._structure, image, 1.0, (STRUCTURE_LAYER,))]


def can_measure(network: "LossNetwork", layers: Sequence[str] = LAYERS) -> bool:
    """Return whether ``network`` has the features ``layers``."""
    return set(layers) <= set(network.stages)


def mean_brushwork(frames: Sequence[FrameBrushwork]) -> Brushwork | None:
    """Return the brushwork of a clip; None without frames."""
    if not frames:
        return None
    stylized = np.mean([frame.stylized for frame in frames], axis=0)
    share = 1 - stylized[0] / np.mean([frame.original for frame in frames], axis=0)
    structures = [frame.structure for frame in frames if frame.structure is not None]
    sums = stylized.sum(axis=1)
    return Brushwork(
        dict(zip(SCALES, map(float, stylized[0]), strict=True)),
        dict(zip(SCALES, map(float, share), strict=True)),
        float(np.mean(structures)) if structures else None,
        1 + int((sums[1:] < sums[0]).sum()),
        len(sums),
    )


def _gram_matrices(network: "LossNetwork", image: Pixels, scale: float, layers: Sequence[str]) -> "dict[str, Tensor]":
    import torch

    from models.losses import gram_matrix, strokes_image
    from models.metrics import image_to_tensor

    with torch.inference_mode():
        features = network(strokes_image(image_to_tensor(_at_short_px(image)), scale))
        return {name: gram_matrix(features[name]) for name in layers}


def _distances(grams: "Sequence[Mapping[str, Tensor]]", targets: "Sequence[Mapping[str, Tensor]]") -> list[float]:
    """Return for each scale the mean of `models.losses.gram_distance` over the layers."""
    from models.losses import gram_distance

    return [
        sum(float(gram_distance(gram, wanted[name])) for name, gram in layers.items()) / len(layers)
        for layers, wanted in zip(grams, targets, strict=True)
    ]


def _at_short_px(image: Pixels) -> Pixels:
    import cv2

    factor = SHORT_PX / min(image.shape[:2])
    if factor == 1:
        return image
    mode = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=mode), np.uint8)
