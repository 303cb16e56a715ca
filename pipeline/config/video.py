"""Everything about one clip: input, output, and the configuration of each stage."""

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Annotated, TypeAlias

from pipeline.config.decode import DecodeConfig
from pipeline.config.encode import EncodeConfig
from pipeline.config.mask import FeatherPx, InvertMask, MaskFile, MaskTrack, check_mask_options
from pipeline.config.options import Argument, Option, Setting, check_settings
from pipeline.config.refine import RefineConfig
from pipeline.config.style_spec import has_picture
from pipeline.config.stylize import StylizeConfig

NoTag: TypeAlias = Annotated[bool, Option("Do not name flowbrush in the output's metadata.", name="no_tag")]


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoConfig:
    """Everything about one clip: from which file, in which style, into which file."""

    source: Annotated[
        str,
        Argument(
            "A video, GIF, animated WebP or image sequence (frames/%05d.png); - reads standard input.", metavar="INPUT"
        ),
    ]
    target: Annotated[
        str,
        Argument(
            "The stylized video; its extension selects the container. - writes Matroska to standard output. "
            "out/%05d.png writes an image sequence.",
            metavar="OUTPUT",
        ),
    ]
    stylize: StylizeConfig
    refine: RefineConfig = field(default_factory=RefineConfig)
    mask: MaskFile = None
    feather_px: FeatherPx = 0.0
    invert_mask: InvertMask = False
    mask_track: MaskTrack = False
    decode: DecodeConfig = field(default_factory=DecodeConfig)
    encode: EncodeConfig = field(default_factory=EncodeConfig)
    fresh: Annotated[bool, Option("Delete the partial output of an interrupted run and start over.")] = False
    tag: NoTag = True
    depth: Annotated[int, Setting("Frames that may wait between two stages.")] = 4
    in_segments: Annotated[
        bool, Setting("Write the output in segments that survive a crash, where the container allows it.")
    ] = True
    segment_seconds: Annotated[Fraction, Setting("Length in seconds at which a segment is complete.")] = Fraction(4)
    segment_frames: Annotated[int, Setting("Number of frames at which a segment is complete.")] = 600

    def __post_init__(self) -> None:
        check_settings(self)
        if self.decode.hwaccel == "cuda" and self.stylize.device.startswith("cuda:"):
            object.__setattr__(self, "decode", replace(self.decode, hwaccel=self.stylize.device))
        check_mask_options(self.stylize, self.mask, self.feather_px, self.invert_mask, self.mask_track)
        if self.mask_track and self.source == "-":
            raise ValueError("--mask-track reads the clip twice, so it cannot be a pipe; write it to a file first")
        if self.refine.seconds and not has_picture(self.stylize.style, self.stylize.style_end):
            raise ValueError(
                "--refine improves the style of a picture; give --style-image IMAGE, or train with `flowbrush train`"
            )
        is_optimized = self.stylize.method == "optimize"
        if is_optimized and self.refine.seconds:
            raise ValueError("--refine improves the network; leave it out, or --method optimize")
        if self.refine.loss_weights and not (self.refine.seconds or is_optimized):
            raise ValueError("--loss-weights belongs to --refine SECONDS, or to --method optimize")
        if self.refine.seconds and self.source == "-":
            raise ValueError("--refine reads the clip twice, so it cannot be a pipe; write it to a file first")
