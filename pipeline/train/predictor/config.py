"""The configuration of the training of a style predictor."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pipeline.config import Device
from pipeline.config.options import Argument, Option, Setting, check_settings
from pipeline.train.config import SHORTEST_COMPILED_MINUTES

if TYPE_CHECKING:
    from models.training.objective import LossWeights
    from models.training.predictor.config import PredictorTrainingConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorTrainConfig:
    """From which pictures to learn what a style is, and into which file."""

    DESCRIBED: ClassVar = 160

    pictures: Annotated[
        Sequence[Path], Argument("Folders of paintings, or single ones. They are never enlarged.", metavar="PATH...")
    ]
    output: Annotated[Path, Option("The weight file to write, .safetensors.")]
    encoder: Annotated[
        Path | None,
        Option("Weights of the distilled VGG-19 that describes pictures. Default: those of the start."),
    ] = None
    content: Annotated[
        Sequence[Path],
        Option("Clips, photos or folders to train on; repeatable. Default: the sample clips.", metavar="PATH"),
    ] = ()
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
    loss_weights: Annotated[
        Sequence[Path], Option("Weights of a loss network; repeatable. Default: torchvision's VGG-19.")
    ] = ()
    style_weight: Annotated[float, Option("Weight of the style loss.")] = 20.0
    strokes_weight: Annotated[float, Option("Weight of the brushwork loss: strokes without color.")] = 30.0
    structure_weight: Annotated[float, Setting("Weight of the brushwork loss of deep features.")] = 10.0
    content_weight: Annotated[float, Option("Weight of the content loss.")] = 1.0
    variation_weight: Annotated[float, Option("Weight of the total variation loss.")] = 2.0
    output_weight: Annotated[float, Option("Weight of the stability of the stylized frames.")] = 600.0
    feature_weight: Annotated[float, Setting("Weight of the stability of the network's features.")] = 1.0
    learning_rate: Annotated[float, Option("Highest learning rate of the schedule.")] = 3e-4
    trunk_rate: Annotated[
        float, Option("Learning rate of the shared convolutions, as a share of it.", metavar="SHARE")
    ] = 0.3
    drawings: Annotated[int, Option("Pictures drawn by code, beside the given ones.")] = 128
    validate_every: Annotated[
        int, Option("Steps between validations, previews and checkpoints.", name="preview_every")
    ] = 200
    device: Device = "auto"
    compile: Annotated[bool, Option("Do not use torch.compile.", name="no_compile")] = True
    seed: Annotated[int, Option("Seed of crops and random weights.")] = 0
    resume: Annotated[bool, Option("Continue from the checkpoint of an interrupted run.")] = False
    overwrite: Annotated[bool, Option("Replace an existing output.")] = False

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.pictures:
            raise ValueError("at least one picture is needed")
        if self.output.suffix != ".safetensors":
            raise ValueError(f"{self.output}: a weight file ends in .safetensors")
        if self.encoder is None and self.start is None:
            raise ValueError("give --encoder, the weights of the distilled VGG-19, or --start, a predictor")
        weights = (self.style_weight, self.strokes_weight, self.content_weight, self.variation_weight)
        if not all(math.isfinite(weight) and weight >= 0 for weight in (*weights, self.output_weight)):
            raise ValueError("weights of losses must not be negative")

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
            described=self.DESCRIBED,
            validate_every=self.validate_every,
            seed=self.seed,
            compile=self.compile and (self.minutes is None or self.minutes >= SHORTEST_COMPILED_MINUTES),
        )

    def weights(self) -> "LossWeights":
        """Return the weights of the losses where both dials are 1."""
        from models.training.objective import LossWeights

        return LossWeights(
            style=self.style_weight,
            strokes=self.strokes_weight,
            structure=self.structure_weight,
            distribution=0.0,
            content=self.content_weight,
            variation=self.variation_weight,
            output=self.output_weight,
            feature=self.feature_weight,
        )

    @property
    def checkpoint(self) -> Path:
        """File beside the output from which an interrupted run resumes."""
        return self.output.with_suffix(".checkpoint")

    @property
    def preview(self) -> Path:
        """Image of held-out pictures and photos in their style, rewritten at each validation."""
        return self.output.with_suffix(".preview.png")
