"""The configuration of textures."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from pipeline.config import Device, StylizeConfig
from pipeline.config.arguments import read_frame_size, read_memory
from pipeline.config.optimize import OptimizeConfig
from pipeline.config.options import Argument, Option, OptionsOf, check_settings
from pipeline.config.style_spec import check_pictures

# A texture has no content, and no frames before it.
_WITHOUT = ("init", "content_layers", "content_weight", "temporal_weight", "memory_frames")
SMALLEST_SIDE_PX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternConfig:
    """Which texture to make, and where to write it."""

    painting: Annotated[
        str,
        Argument("The painting, or several: a.jpg:0.7,b.jpg:0.3.", metavar="PAINTING", check=check_pictures),
    ]
    output: Annotated[Path, Argument("The texture: .png, .jpg, .webp or .tif.", metavar="OUTPUT")]
    size: Annotated[tuple[int, int], Option("Width and height of the texture.", metavar="WxH", read=read_frame_size)]
    seamless: Annotated[bool, Option("Make a tile: left fits right, and top fits bottom, without a seam.")] = False
    tiled: Annotated[
        Path | None, Option("Write this image too: the texture 3 times across and 3 times down.", metavar="FILE")
    ] = None
    stroke_size: Annotated[float, Option("2 makes strokes twice as large.", min=0.25, max=4)] = 1.0
    optimize: Annotated[OptimizeConfig, OptionsOf(OptimizeConfig, without=_WITHOUT)] = field(
        default_factory=OptimizeConfig
    )
    device: Device = "auto"
    max_memory: Annotated[
        int | None,
        Option(
            "Use at most 4G or 500M of memory; large textures are computed in windows.",
            metavar="SIZE",
            read=read_memory,
            above=0,
            unit="bytes",
        ),
    ] = None
    overwrite: Annotated[bool, Option("Replace existing outputs.")] = False

    def __post_init__(self) -> None:
        check_settings(self)
        if min(self.size) < SMALLEST_SIDE_PX:
            raise ValueError(f"size must be {SMALLEST_SIDE_PX}x{SMALLEST_SIDE_PX} or more")

    @property
    def stylize(self) -> StylizeConfig:
        """The settings of the optimizer."""
        return StylizeConfig(
            method="optimize",
            paintings=(self.painting,),
            optimize=replace(self.optimize, content_weight=0.0),
            stroke_size=self.stroke_size,
            device=self.device,
            max_memory=self.max_memory,
        )
