"""The configuration of a training run: style images, content, length, output."""

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pipeline.config import Device
from pipeline.config.options import Argument, Option, Setting, check_settings
from pipeline.config.style_spec import style_name
from pipeline.train.shared_options import (
    SHORTEST_COMPILED_MINUTES,
    Compile,
    ContentFiles,
    ContentWeight,
    FeatureWeight,
    LossNetworks,
    Output,
    Overwrite,
    Resume,
    Seed,
    StrokesWeight,
    StructureWeight,
    StyleWeight,
    ValidateEvery,
    VariationWeight,
    loss_weights,
)

if TYPE_CHECKING:
    from models.training.config import TrainingConfig
    from models.training.losses.objective import LossWeights

SMALLEST_PAINTING_PX, LARGEST_PAINTING_PX = 64, 1600
STEPS, MINUTES = 800, 9.0
"""Per style, if neither is given."""

UNLIMITED_STEPS = 10**6
NETWORK_RATE, VECTORS_FIRST, PLATEAU = 1.0, 0.0, 4
"""Of a run that neither is told otherwise nor resumed: `TrainingConfig.network_rate` and so on."""


def read_paintings(texts: Iterable[str]) -> dict[str, Path]:
    """Return paths by name of style, of ``NAME=FILE`` or ``FILE``.

    Raises:
        ValueError: two styles have the same name.
    """
    named: dict[str, Path] = {}
    for text in texts:
        name, separator, file = text.partition("=")
        if not separator or os.path.exists(text):
            name, file = style_name(Path(text)), text
        if name in named:
            raise ValueError(f"two style images are named {name!r}; write NAME=FILE")
        named[name] = Path(file)
    return named


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Which styles to learn, from what, and into which file."""

    paintings: Annotated[
        Mapping[str, Path],
        Argument(
            "Style images, or clips whose frames are averaged; NAME=FILE names the style.",
            metavar="IMAGE...",
            read=read_paintings,
        ),
    ]
    output: Output
    content: ContentFiles = ()
    minutes: Annotated[
        float | None,
        Option("Minutes to train, without downloads. Default: 9 for each style, unless --steps is given.", metavar="N"),
    ] = None
    steps: Annotated[
        int | None,
        Option("Optimizer steps for all styles. Default: 800 for each style, unless --minutes is given."),
    ] = None
    stroke_size: Annotated[float, Option("2 makes strokes twice as large.", metavar="FACTOR")] = 1.0
    stillness: Annotated[
        float, Option("2 doubles the weight on stability: less flicker, weaker style.", metavar="FACTOR", min=0)
    ] = 1.0
    start: Annotated[
        Path | None,
        Option(
            "Weight file to start from. Default: what is predicted for the picture; for several, the bundled styles."
        ),
    ] = None
    from_scratch: Annotated[bool, Option("Start from random weights.")] = False
    early_end: Annotated[
        bool, Option("Train to the end even if validation no longer improves.", name="no_early_end")
    ] = True
    loss_weights: LossNetworks = ()
    painting_px: Annotated[
        int,
        Option(
            "Short side of the style image at stroke size 1.", metavar="PX", min=SMALLEST_PAINTING_PX, unit="pixels"
        ),
    ] = 400
    batch: Annotated[int, Option("Pairs of frames in a step.")] = 1
    crop_px: Annotated[int, Option("Side of the training crops.", metavar="PX")] = 256
    style_weight: StyleWeight = 20.0
    strokes_weight: StrokesWeight = 40.0
    structure_weight: StructureWeight = 10.0
    distribution_weight: Annotated[
        float, Option("Weight of the distributions of colors and features: rare colors, as stars in a night.", min=0)
    ] = 10.0
    content_weight: ContentWeight = 1.0
    variation_weight: VariationWeight = 2.0
    adversarial: Annotated[
        float,
        Option("Weight of a network that learns to tell frames from the style image.", metavar="WEIGHT"),
    ] = 0.0
    output_weight: Annotated[float, Setting("Weight of the stability of the stylized frames.", min=0)] = 800.0
    feature_weight: FeatureWeight = 0.5
    learning_rate: Annotated[float, Setting("Highest learning rate of the schedule, that of the style vectors.")] = 3e-3
    network_rate: Annotated[
        float | None,
        Option("Learning rate of the network, as a share of that of the style vectors. Default: 1.", metavar="SHARE"),
    ] = None
    vectors_first: Annotated[
        float | None,
        Option("Share of the run in which only the style vectors learn. Default: 0.", metavar="SHARE"),
    ] = None
    plateau: Annotated[
        int | None, Setting("Validations without improvement that end the run early, 0 for never. Default: 4.")
    ] = None
    validate_every: ValidateEvery = 50
    validation_crops: Annotated[int, Setting("Largest number of images to validate on.")] = 6
    cards: Annotated[
        Path | None,
        Option("JSON file of metadata by name of style: painting, painter, year, status and more."),
    ] = None
    licence: Annotated[str, Option("Licence of the weights, written into the file.", metavar="TEXT")] = "not stated"
    device: Device = "auto"
    compile: Compile = True
    seed: Seed = 0
    resume: Resume = False
    overwrite: Overwrite = False

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.paintings:
            raise ValueError("at least one style image is needed")
        for name in self.paintings:
            if not name or set(name) & set("#/\\"):
                raise ValueError(f"{name!r} cannot be the name of a style; write NAME=FILE, without #, / and \\")
        if self.from_scratch and self.start is not None:
            raise ValueError("--start and --from-scratch exclude each other")
        if not (math.isfinite(self.stroke_size) and self.stroke_size > 0):
            raise ValueError(f"stroke size must be above 0, not {self.stroke_size}")
        if not SMALLEST_PAINTING_PX <= self.seen_px <= LARGEST_PAINTING_PX:
            least, most = (px / self.painting_px for px in (SMALLEST_PAINTING_PX, LARGEST_PAINTING_PX))
            raise ValueError(f"stroke size must be from {least:g} to {most:g}, not {self.stroke_size:g}")

    @property
    def seen_px(self) -> int:
        """Short side of the style images in the loss networks, in pixels."""
        return round(self.painting_px * self.stroke_size)

    def settings(self) -> "TrainingConfig":
        """Return the settings of the trainer.

        Raises:
            ValueError: a number is out of range.
        """
        from models.training.config import TrainingConfig

        steps, minutes = self.steps, self.minutes
        if steps is None and minutes is None:
            steps, minutes = STEPS * len(self.paintings), MINUTES * len(self.paintings)
        return TrainingConfig(
            steps=UNLIMITED_STEPS if steps is None else steps,
            minutes=minutes,
            batch=self.batch,
            crop_px=self.crop_px,
            learning_rate=self.learning_rate,
            network_rate=_value_or(self.network_rate, NETWORK_RATE),
            vectors_first=_value_or(self.vectors_first, VECTORS_FIRST),
            plateau=int(_value_or(self.plateau, PLATEAU)) if self.early_end else 0,
            validate_every=self.validate_every,
            validation_crops=self.validation_crops,
            adversarial=self.adversarial,
            seed=self.seed,
            compile=self.compile and (minutes is None or minutes >= SHORTEST_COMPILED_MINUTES),
        )

    def resuming(self, before: Mapping[str, Any]) -> "TrainConfig":
        """Return this configuration with unset options taken from the settings of the run that is resumed."""
        from models.training.config import TrainingConfig

        known = asdict(TrainingConfig()) | dict(before)
        unset = ("steps", "minutes", "network_rate", "vectors_first", "plateau")
        return replace(self, **{name: known[name] for name in unset if getattr(self, name) is None})

    def weights(self) -> "LossWeights":
        """Return the weights of the losses.

        Raises:
            ValueError: one of them is negative.
        """
        return loss_weights(self).turned(1, self.stillness)


def _value_or(value: float | None, default: float) -> float:
    return default if value is None else value
