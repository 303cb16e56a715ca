"""The configuration of the training of a style predictor."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pipeline.config import Device
from pipeline.config.options import Argument, Option, Setting, check_settings
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
    from models.training.losses.objective import LossWeights
    from models.training.predictor.config import PredictorTrainingConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorTrainConfig:
    """From which pictures to learn what a style is, and into which file."""

    pictures: Annotated[
        Sequence[Path], Argument("Folders of paintings, or single ones. They are never enlarged.", metavar="PATH...")
    ]
    output: Output
    encoder: Annotated[
        Path | None,
        Option("Weights of the distilled VGG-19 that describes pictures. Default: those of the start."),
    ] = None
    content: ContentFiles = ()
    held_out: Annotated[
        Path | None,
        Option("Text file: on each line the name of a picture that is never trained on. Default: every tenth picture."),
    ] = None
    minutes: Annotated[float | None, Option("Minutes to train in all, earlier runs included.", metavar="N")] = None
    steps: Annotated[int, Option("Optimizer steps in all.")] = 6000
    styles: Annotated[int, Option("Pictures in a step.")] = 2
    batch: Annotated[int, Option("Pairs of frames for each picture.")] = 1
    crop_px: Annotated[int, Option("Side of the crops of the content.", metavar="PX")] = 256
    picture_px: Annotated[int, Option("Side of the crops of the pictures.", metavar="PX")] = 256
    start: Annotated[Path | None, Option("Predictor to start from. Default: the bundled style minotaur.")] = None
    loss_weights: LossNetworks = ()
    style_weight: StyleWeight = 20.0
    strokes_weight: StrokesWeight = 30.0
    structure_weight: StructureWeight = 10.0
    distribution_weight: Annotated[float, Setting("Weight of the distributions of colors and features.", min=0)] = 0.0
    content_weight: ContentWeight = 1.0
    variation_weight: VariationWeight = 2.0
    output_weight: Annotated[float, Option("Weight of the stability of the stylized frames.", min=0)] = 600.0
    feature_weight: FeatureWeight = 1.0
    learning_rate: Annotated[float, Option("Highest learning rate of the schedule.")] = 3e-4
    trunk_rate: Annotated[
        float, Option("Learning rate of the shared convolutions, as a share of it.", metavar="SHARE")
    ] = 0.3
    drawings: Annotated[int, Option("Pictures drawn by code, beside the given ones.")] = 128
    described: Annotated[int, Setting("Pictures whose descriptions show what is usual.")] = 160
    validate_every: ValidateEvery = 200
    device: Device = "auto"
    compile: Compile = True
    seed: Seed = 0
    resume: Resume = False
    overwrite: Overwrite = False

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.pictures:
            raise ValueError("at least one picture is needed")
        if self.encoder is None and self.start is None:
            raise ValueError("give --encoder, the weights of the distilled VGG-19, or --start, a predictor")

    def settings(self) -> "PredictorTrainingConfig":
        """Return the settings of the trainer.

        Raises:
            ValueError: a number is out of range.
        """
        from models.training.predictor.config import PredictorTrainingConfig

        return PredictorTrainingConfig(
            steps=self.steps,
            minutes=self.minutes,
            styles=self.styles,
            batch=self.batch,
            crop_px=self.crop_px,
            picture_px=self.picture_px,
            learning_rate=self.learning_rate,
            trunk_rate=self.trunk_rate,
            drawings=self.drawings,
            described=self.described,
            validate_every=self.validate_every,
            seed=self.seed,
            compile=self.compile and (self.minutes is None or self.minutes >= SHORTEST_COMPILED_MINUTES),
        )

    def weights(self) -> "LossWeights":
        """Return the weights of the losses where both dials are 1."""
        return loss_weights(self)
