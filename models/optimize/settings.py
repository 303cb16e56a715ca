"""What the optimization of a picture minimizes, and for how long."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Method = Literal["lbfgs", "adam"]

STYLE_LAYERS = {f"relu{depth}_1": 1.0 for depth in range(1, 6)}
"""Gatys et al. 2016, section 3: conv1_1 to conv5_1, each with the same weight."""

CONTENT_LAYERS = {"relu4_2": 1.0}
"""Gatys et al. 2016, section 3: conv4_2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizeSettings:
    """Losses, optimizer and sizes.

    Each loss is relative to its target (`models.losses`), so one set of weights suits every painting and every loss
    network. Gatys' weights count sums of squares instead, whose size depends on all of these.

    Attributes:
        style_layers: weight of each layer whose Gram matrices are compared; only their proportions count.
        content_layers: weight of each layer whose features are compared; only their proportions count.
        style_weight: of the mean over the style layers.
        content_weight: of the mean over the content layers.
        variation_weight: of `models.losses.total_variation`.
        method: the optimizer.
        steps: most steps at the smallest size; each larger size takes half as many, but at least `FEWEST_STEPS`.
        tolerance: the smallest improvement of the loss within `PATIENCE` steps, as a share; below it a size ends early.
        smallest_px: short side below which no smaller size is inserted before the final one.
        octaves: most sizes, each twice the one before; 1 for the final size alone.
        stroke_size: factor of the size of the paintings; at 1 their short side is that of the picture.
        seed: of the noise to start from.
    """

    style_layers: Mapping[str, float] = field(default_factory=lambda: dict(STYLE_LAYERS))
    content_layers: Mapping[str, float] = field(default_factory=lambda: dict(CONTENT_LAYERS))
    style_weight: float = 20.0
    content_weight: float = 1.0
    variation_weight: float = 2.0
    method: Method = "lbfgs"
    steps: int = 300
    tolerance: float = 0.005
    smallest_px: int = 128
    octaves: int = 6
    stroke_size: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        weights = (self.style_weight, self.content_weight, self.variation_weight)
        by_layer = (*self.style_layers.values(), *self.content_layers.values())
        if not all(math.isfinite(weight) and weight >= 0 for weight in (*weights, *by_layer)):
            raise ValueError("weights of losses and layers must be finite and not negative")
        if not sum(self.style_layers.values()) > 0:
            raise ValueError("at least one style layer needs a weight above 0")
        if self.steps < 1 or self.octaves < 1 or self.smallest_px < 1 or not self.stroke_size > 0:
            raise ValueError(f"steps, octaves, smallest_px and stroke_size must be above 0: {self}")


FEWEST_STEPS = 20
"""Of a size, unless fewer are asked for at the smallest one."""

PATIENCE = 20
"""Steps over which an improvement is judged."""


def octave_sizes(height: int, width: int, settings: OptimizeSettings, *, multiple: int = 1) -> list[tuple[int, int]]:
    """Return the sizes in the order in which they are optimized; the last is ``(height, width)``.

    Args:
        height: in pixels.
        width: in pixels.
        settings: how many sizes, and the smallest one.
        multiple: that the sides of the smaller sizes are of.
    """
    sizes = [(height, width)]
    while len(sizes) < settings.octaves and min(sizes[-1]) >= 2 * settings.smallest_px:
        scale = multiple * 2 ** len(sizes)
        sizes.append((round(height / scale) * multiple, round(width / scale) * multiple))
    return sizes[::-1]


def octave_steps(steps: int, count: int) -> list[int]:
    """Return the most steps of each of ``count`` sizes, ``steps`` at the first one."""
    return [max(steps >> index, min(FEWEST_STEPS, steps)) for index in range(count)]
