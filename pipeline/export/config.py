"""The configuration of an export."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pipeline.config.arguments import LARGEST_SIDE_PX, SMALLEST_SIDE_PX
from pipeline.config.options import Argument, Option, check_settings
from pipeline.config.style_spec import parse_blend

SUFFIX = ".onnx"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportConfig:
    """Which style to export, for which frames, and into which file."""

    target: Annotated[Path, Argument("The file to write, .onnx.", metavar="OUTPUT")]
    style: Annotated[
        str,
        Option(
            "A bundled style, a .safetensors file, FILE#NAME, a picture, or a blend: a:0.7,b:0.3.",
            metavar="STYLE",
            check=parse_blend,
        ),
    ]
    format: Annotated[Literal["onnx"], Option("Format of the file.")] = "onnx"
    height: Annotated[
        int | None,
        Option(
            "Height of the frames, with --width. Without both, frames of any size are accepted.",
            metavar="PX",
            min=SMALLEST_SIDE_PX,
            max=LARGEST_SIDE_PX,
            unit="pixels",
        ),
    ] = None
    width: Annotated[
        int | None,
        Option(
            "Width of the frames, with --height.",
            metavar="PX",
            min=SMALLEST_SIDE_PX,
            max=LARGEST_SIDE_PX,
            unit="pixels",
        ),
    ] = None
    precision: Annotated[
        Literal["fp32", "fp16"],
        Option("Number format of the network; fp16 halves the file, and is fast on GPUs only."),
    ] = "fp32"
    overwrite: Annotated[bool, Option("Replace an existing output.")] = False

    def __post_init__(self) -> None:
        check_settings(self)
        if self.target.suffix != SUFFIX:
            raise ValueError(f"{self.target}: an ONNX file ends in {SUFFIX}")
        if (self.height is None) != (self.width is None):
            raise ValueError("--height and --width belong together; without both, frames of any size are accepted")

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the frames in pixels; None for any."""
        return None if self.height is None or self.width is None else (self.height, self.width)
