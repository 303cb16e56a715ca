"""The configuration of pictures that are optimized, for ``--method optimize`` and ``flowbrush pattern``."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pipeline.config.options import Option, Setting, check_settings, options_of

if TYPE_CHECKING:
    from models.optimize.settings import OptimizeSettings

_LAYER = re.compile(r"relu[1-5]_[1-4]", re.ASCII)
STYLE_LAYERS = "relu1_1,relu2_1,relu3_1,relu4_1,relu5_1"
CONTENT_LAYERS = "relu4_2"
LARGEST_WEIGHT = 1e9


def read_layers(text: str) -> Mapping[str, float]:
    """Return the weight of each layer in ``relu1_1,relu2_1:0.5``; 1 where none is given.

    Raises:
        ValueError: a name is not that of a layer of VGG-19, or a weight is not a number from 0 on.
    """
    layers: dict[str, float] = {}
    for part in text.split(","):
        name, _, weight = part.strip().partition(":")
        if not _LAYER.fullmatch(name):
            raise ValueError(f"{name!r} is not a layer of VGG-19; write relu1_1, relu4_2 and so on")
        try:
            layers[name] = float(weight or 1)
        except ValueError:
            raise ValueError(f"the weight of {name} must be a number, not {weight!r}") from None
        if not 0 <= layers[name] <= LARGEST_WEIGHT:
            raise ValueError(f"the weight of {name} must be between 0 and {LARGEST_WEIGHT:g}, not {weight}")
    return layers


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizeConfig:
    """Losses, optimizer and start of an optimized picture; see `models.optimize.settings`."""

    steps: Annotated[
        int, Option("Most optimizer steps at the smallest size; each larger size takes half as many.", min=1)
    ] = 300
    init: Annotated[
        Literal["content", "noise", "style"],
        Option("Where an optimized picture starts; style is half the photo, half the result of the network."),
    ] = "content"
    optimizer: Annotated[Literal["lbfgs", "adam"], Option("L-BFGS, or Adam.")] = "lbfgs"
    octaves: Annotated[int, Option("Most sizes from coarse to fine, each twice the one before.", min=1, max=12)] = 6
    style_layers: Annotated[
        str,
        Option("Layers of VGG-19 that compare style: relu1_1:1,relu2_1:0.5.", metavar="LAYERS", check=read_layers),
    ] = STYLE_LAYERS
    content_layers: Annotated[
        str, Option("Layers of VGG-19 that compare content.", metavar="LAYERS", check=read_layers)
    ] = CONTENT_LAYERS
    style_weight: Annotated[float, Option("Weight of the style loss.", min=0, max=LARGEST_WEIGHT)] = 20.0
    content_weight: Annotated[float, Option("Weight of the content loss.", min=0, max=LARGEST_WEIGHT)] = 1.0
    variation_weight: Annotated[float, Option("Weight of total variation.", min=0, max=LARGEST_WEIGHT)] = 2.0
    temporal_weight: Annotated[
        float, Option("Weight of changes along the optical flow, in a video.", min=0, max=LARGEST_WEIGHT)
    ] = 500.0
    memory_frames: Annotated[
        int, Option("Compare with frames up to N before: 1, 10, 20 and 40.", metavar="N", min=1, max=40)
    ] = 10
    tolerance: Annotated[
        float, Option("End a size when 20 steps improve the loss by less than this share.", min=0, max=1)
    ] = 0.005
    seed: Annotated[int, Option("Seed of the noise to start from.", min=0, max=2**63 - 1)] = 0
    loss_weights: Annotated[
        Sequence[Path],
        Option(
            "Weights of a loss network, for --method optimize and --refine; repeatable. Default: torchvision's VGG-19."
        ),
    ] = ()
    preview: Annotated[
        Path | None, Option("Image of the picture so far, rewritten every few seconds.", metavar="FILE")
    ] = None
    smallest_px: Annotated[int, Setting("Short side below which no smaller size is inserted.", min=16)] = 128

    def __post_init__(self) -> None:
        check_settings(self)

    def settings(self, stroke_size: float = 1.0) -> "OptimizeSettings":
        """Return the settings of the optimizer."""
        from models.optimize.settings import OptimizeSettings

        return OptimizeSettings(
            style_layers=read_layers(self.style_layers),
            content_layers=read_layers(self.content_layers),
            style_weight=self.style_weight,
            content_weight=self.content_weight,
            variation_weight=self.variation_weight,
            method=self.optimizer,
            steps=self.steps,
            tolerance=self.tolerance,
            smallest_px=self.smallest_px,
            octaves=self.octaves,
            stroke_size=stroke_size,
            seed=self.seed,
        )


OPTIMIZE_OPTIONS = ("method", "painting", *(option.name for option in options_of(OptimizeConfig)))
"""Options that commands leave out whose pictures are not optimized."""
