"""Which part of the frames to stylize: the options of masks, which clips and pictures have."""

from typing import Annotated, TypeAlias

from pipeline.config.mask_spec import parse_mask
from pipeline.config.options import Option
from pipeline.config.style_spec import parse_regions
from pipeline.config.stylize import StylizeConfig

MaskFile: TypeAlias = Annotated[
    str | None,
    Option(
        "Image, clip or sequence: white areas are stylized, black areas are not. Or of the frame: key:#00ff00 (all but "
        "this color), luma (light areas).",
        metavar="FILE",
        check=parse_mask,
    ),
]
FeatherPx: TypeAlias = Annotated[
    float, Option("Width of the soft edge of --mask.", name="feather", metavar="PX", min=0, max=1000, unit="pixels")
]
InvertMask: TypeAlias = Annotated[bool, Option("Stylize what --mask leaves out.")]
MaskTrack: TypeAlias = Annotated[
    bool,
    Option(
        "--mask is painted for some frames and tracked between them: keys/%05d.png, numbered as the frames of INPUT "
        "from 0, or as its pictures; or one picture, of the first frame."
    ),
]


def check_mask_options(
    stylize: StylizeConfig, mask: str | None, feather_px: float, invert_mask: bool, mask_track: bool = False
) -> None:
    """Raise ValueError if what needs a mask is asked for without one, or with one that it is not for."""
    if mask is None and parse_regions(stylize.style):
        raise ValueError("--style fg:STYLE,bg:STYLE needs --mask FILE: white is the foreground")
    if mask is None and (feather_px or invert_mask):
        raise ValueError("--feather and --invert-mask belong to --mask FILE")
    if mask_track and (mask is None or parse_mask(mask) is not None):
        raise ValueError("--mask-track needs --mask with pictures of key frames: --mask keys/%05d.png")
