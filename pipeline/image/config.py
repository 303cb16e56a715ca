"""The configuration of stylized pictures."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pipeline.config import DecodeConfig, FeatherPx, InvertMask, MaskFile, NoTag, StylizeConfig, check_mask_options
from pipeline.config.options import Argument, Option, OptionsOf, check_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """Which pictures to stylize, how, and where to write them."""

    inputs: Annotated[
        tuple[str, ...],
        Argument("Pictures, folders, patterns, or - for a list on standard input.", metavar="INPUT..."),
    ]
    output: Annotated[
        str,
        Argument(
            "The stylized picture: .jpg, .png, .webp or .tif; or a folder, where several pictures keep their names.",
            metavar="OUTPUT",
        ),
    ]
    stylize: Annotated[StylizeConfig, OptionsOf(StylizeConfig, without=("style_end", "stability"))]
    mask: MaskFile = None
    feather_px: FeatherPx = 0.0
    invert_mask: InvertMask = False
    decode: Annotated[
        DecodeConfig, OptionsOf(DecodeConfig, without=("start", "duration", "strict", "fps", "start_number", "hwaccel"))
    ] = field(default_factory=DecodeConfig)
    format: Annotated[
        Literal["jpeg", "png", "webp", "tiff"] | None,
        Option("Format of the pictures in an output folder. Default: that of each input."),
    ] = None
    quality: Annotated[
        int, Option("Quality of JPEG and WebP; 100 makes a WebP exact.", metavar="1..100", min=1, max=100)
    ] = 95
    overwrite: Annotated[bool, Option("Replace existing outputs.")] = False
    tag: NoTag = True

    def __post_init__(self) -> None:
        check_settings(self)
        check_mask_options(self.stylize, self.mask, self.feather_px, self.invert_mask)
        if not self.inputs:
            raise ValueError("give at least one picture, folder or pattern")
        if not self.output:
            raise ValueError("the output has no name; give a file or a folder")
