"""The configuration of an evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pipeline.config.options import Argument, Option, check_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateConfig:
    """Which stylized clip to measure, and against what."""

    original: Annotated[str, Argument("The clip before it was stylized; - reads standard input.", metavar="ORIGINAL")]
    stylized: Annotated[str, Argument("The stylized clip, with the same frames.", metavar="STYLIZED")]
    painting: Annotated[
        Path | None, Option("The style image; without it there is neither style score nor brushwork.", metavar="IMAGE")
    ] = None
    loss_weights: Annotated[Path | None, Option("Weights of a loss network. Default: torchvision's VGG-19.")] = None
    structure_weights: Annotated[
        Path | None,
        Option("Weights of a loss network with relu4_1, for the structure. Default: the loss network, if it has."),
    ] = None
    among: Annotated[
        Sequence[Path], Option("Another style image, to rank --painting by brushwork; repeatable.", metavar="IMAGE")
    ] = ()
    frames: Annotated[int, Option("Compare about N pairs of frames, spread over the clip; 0 compares all.", min=0)] = (
        300
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if self.among and self.painting is None:
            raise ValueError("--among needs --painting, the style image of the clip")
        if self.original == self.stylized == "-":
            raise ValueError("only one of the two clips can come from standard input")
