"""What the trainings of styles and of the predictor share: options, weights of the losses, the files of a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from pipeline.config.options import Option, Setting

if TYPE_CHECKING:
    from models.training.losses.objective import LossWeights

SHORTEST_COMPILED_MINUTES = 2
"""Below this, compiling would take too large a part of the time."""


def check_output_name(output: Path) -> None:
    """Raise ValueError if ``output`` has not the extension of a weight file."""
    if output.suffix != ".safetensors":
        raise ValueError(f"{output}: a weight file ends in .safetensors")


Output: TypeAlias = Annotated[Path, Option("The weight file to write, .safetensors.", check=check_output_name)]
ContentFiles: TypeAlias = Annotated[
    Sequence[Path],
    Option("Clips, photos or folders to train on; repeatable. Default: the sample clips.", metavar="PATH"),
]
LossNetworks: TypeAlias = Annotated[
    Sequence[Path], Option("Weights of a loss network; repeatable. Default: torchvision's VGG-19.")
]
StyleWeight: TypeAlias = Annotated[float, Option("Weight of the style loss.", min=0)]
StrokesWeight: TypeAlias = Annotated[float, Option("Weight of the brushwork loss: strokes without color.", min=0)]
StructureWeight: TypeAlias = Annotated[float, Setting("Weight of the brushwork loss of deep features.", min=0)]
ContentWeight: TypeAlias = Annotated[float, Option("Weight of the content loss.", min=0)]
VariationWeight: TypeAlias = Annotated[float, Option("Weight of the total variation loss.", min=0)]
FeatureWeight: TypeAlias = Annotated[float, Setting("Weight of the stability of the network's features.", min=0)]
ValidateEvery: TypeAlias = Annotated[
    int, Option("Steps between validations, previews and checkpoints.", name="preview_every")
]
Compile: TypeAlias = Annotated[bool, Option("Do not use torch.compile.", name="no_compile")]
Seed: TypeAlias = Annotated[int, Option("Seed of crops and random weights.")]
Resume: TypeAlias = Annotated[bool, Option("Continue from the checkpoint of an interrupted run.")]
Overwrite: TypeAlias = Annotated[bool, Option("Replace an existing output.")]


def loss_weights(config: object) -> "LossWeights":
    """Return the weights of the losses: the fields ``NAME_weight`` of ``config``.

    Raises:
        ValueError: one of them is negative or not finite.
    """
    from models.training.losses.objective import NAMES, LossWeights

    return LossWeights(**{name: getattr(config, f"{name}_weight") for name in NAMES})


def checkpoint_of(output: Path) -> Path:
    """Return the file beside the output from which an interrupted run resumes."""
    return output.with_suffix(".checkpoint")


def preview_of(output: Path) -> Path:
    """Return the image beside the output that is rewritten at each validation."""
    return output.with_suffix(".preview.png")
