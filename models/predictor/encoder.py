"""Describe a picture by statistics of the features of a small frozen network."""

from collections.abc import Iterator, Mapping
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.losses import standard_luminance

WIDTHS = (16, 32, 64, 128)
"""Channels of relu1_1, relu2_1, relu3_1 and relu4_1: a quarter of those of VGG-19."""

STAGES = (("conv0", "conv11"), ("conv12", "conv21"), ("conv22", "conv31"), ("conv32", "conv33", "conv34", "conv41"))
"""Convolutions up to each of these features; a pooling follows conv12, conv22 and conv34."""

POOLED = ("conv12", "conv22", "conv34")
PROJECTED = 10
"""Channels to which features are projected before their Gram matrix is computed."""

SCALES = (1.0, 0.5)
"""Factors of the size at which a picture is seen: fine and large strokes."""

SMALLEST = 1e-4
"""Statistics below it count little: the square root would enlarge their rounding errors."""

SMALLEST_PX = 64
"""Short side of a picture below which the deepest features of its half would have no neighbors."""

QUANTILES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
"""Of the luminance: how much of a picture is dark and bright."""


class PictureEncoder(nn.Module):
    """Turn a picture into a vector: what is in it everywhere, not where.

    The network is VGG-19 distilled to a sixteenth (Wang et al., "Collaborative Distillation", CVPR 2020, MIT), up to
    relu4_1. Of each feature map: mean and deviation per channel, and the Gram matrix of `PROJECTED` fixed random
    combinations of its channels. The picture is seen in color and as `standard_luminance`, at `SCALES`. Color moments
    and quantiles of the luminance are added.

    Trains nothing: its weights are given, and its projections are drawn once.

    Shape:
        ``(K, 3, H, W)`` in [0, 1], K pictures of one style, at least `SMALLEST_PX` high and wide; returns ``(D,)``
        float32, D being `size`: signed square roots, which brings them to one order of magnitude.
    """

    def __init__(self) -> None:
        super().__init__()
        inputs = (3, 3, 16, 16, 32, 32, 64, 64, 64, 64)
        outputs = (3, 16, 16, 32, 32, 64, 64, 64, 64, 128)
        names = chain.from_iterable(STAGES)
        self.layers = nn.ModuleDict(
            {
                name: nn.Conv2d(a, b, 1 if name == "conv0" else 3)
                for name, a, b in zip(names, inputs, outputs, strict=True)
            }
        )
        generator = torch.Generator().manual_seed(0)
        for index, width in enumerate(WIDTHS):
            square = torch.randn(width, width, generator=generator)
            self.register_buffer(f"projection{index}", torch.linalg.qr(square).Q[:PROJECTED].contiguous())
        self.register_buffer("upper", torch.triu_indices(PROJECTED, PROJECTED), persistent=False)
        self.requires_grad_(False)

    @property
    def size(self) -> int:
        """Numbers that describe a picture."""
        of_layers = sum(2 * width for width in WIDTHS) + len(WIDTHS) * PROJECTED * (PROJECTED + 1) // 2
        return 2 * len(SCALES) * of_layers + 9 + len(QUANTILES)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of the distilled VGG-19.

        Raises:
            ValueError: a weight is missing, or has another shape.
        """
        for name, layer in self.layers.items():
            for kind, parameter in layer.named_parameters():
                given = state.get(f"{name}.{kind}")
                if given is None or given.shape != parameter.shape:
                    found = "missing" if given is None else f"of shape {tuple(given.shape)}"
                    raise ValueError(f"{name}.{kind} is {found}; give the distilled VGG-19")
                parameter.copy_(given)

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Tensor:
        """Describe pictures of one style."""
        views = [pictures, standard_luminance(pictures).expand(-1, 3, -1, -1)]
        views = [view.contiguous(memory_format=torch.channels_last) for view in views]
        seen = (_scaled(view, scale) for view in views for scale in SCALES)
        statistics = [value for view in seen for value in self._of_view(view)]
        raw = torch.cat([*statistics, *_of_colors(pictures)])
        roots: Tensor = raw.sign() * ((raw.abs() + SMALLEST).sqrt() - SMALLEST**0.5)
        return roots

    def _of_view(self, view: Tensor) -> Iterator[Tensor]:
        for index, features in enumerate(self._features(view)):
            flat = features.permute(0, 2, 3, 1).flatten(0, 2)  # (pixels, C), a view of features in channels_last
            mean = flat.mean(dim=0)
            centered = flat - mean  # a difference of moments would leave rounding errors
            covariance = centered.T @ centered / len(flat)
            deviation = covariance.diagonal().sqrt()
            projection = self.get_buffer(f"projection{index}")
            gram = projection @ (covariance + mean[:, None] * mean) @ projection.T
            rows, columns = self.get_buffer("upper")
            yield from (mean, deviation, gram[rows, columns])

    def _features(self, x: Tensor) -> Iterator[Tensor]:
        for stage in STAGES:
            for name in stage:
                layer = self.layers[name]
                x = layer(x) if name == "conv0" else F.relu(layer(F.pad(x, (1, 1, 1, 1), mode="reflect")))
                if name in POOLED:
                    x = F.max_pool2d(x, 2)
            yield x


def _scaled(images: Tensor, scale: float) -> Tensor:
    if scale == 1:
        return images
    return F.interpolate(images, scale_factor=scale, mode="bilinear", antialias=True)


def _of_colors(pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean ``(3,)`` and covariance ``(6,)`` of the colors, and `QUANTILES` of their mean, of all pictures."""
    colors = pictures.float().transpose(0, 1).flatten(1)  # (3, pixels)
    rows, columns = torch.triu_indices(3, 3)
    at = torch.tensor(QUANTILES, device=pictures.device)
    grey = colors.mean(dim=0)
    return colors.mean(dim=1), torch.cov(colors)[rows, columns], _quantiles(grey, at)


def _quantiles(values: Tensor, at: Tensor) -> Tensor:
    """Return quantiles of any number of values; `torch.quantile` takes 16 million at most."""
    ordered = values.sort().values
    return ordered[(at * (len(values) - 1)).round().long()]
