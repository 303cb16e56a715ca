"""The configuration of one clip, a dataclass for each stage.

A field's `Option` makes it an option of ``flowbrush video`` and ``flowbrush batch``, of job files and of docs/cli.md:
a new option is one line here. A `Setting` is for the library alone.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pipeline.arguments import LARGEST_SIDE_PX, SMALLEST_SIDE_PX, WrongTypeError, read_memory, read_rate
from pipeline.mask_spec import parse_mask
from pipeline.optimize_config import OptimizeConfig
from pipeline.options import Argument, Option, Setting, check_settings
from pipeline.style_spec import Dials, check_dials, check_pictures, has_picture, parse_blend, parse_regions, parse_style

# Four months. FFmpeg counts in 64 bits, in ticks as fine as a nanosecond.
LONGEST_SECONDS = 10**7
LONGEST_REFINEMENT_SECONDS = 86_400

_HWACCEL = re.compile(r"none|cuda(:\d{1,3})?", re.ASCII)
_DEVICE = re.compile(r"auto|cpu|cuda(:\d{1,3})?|mps", re.ASCII)


def check_device(name: str) -> None:
    """Raise ValueError if ``name`` is not the name of a device; whether the device exists is not checked."""
    if not _DEVICE.fullmatch(name):
        raise ValueError(f"device must be auto, cpu, cuda, cuda:N or mps, not {name!r}")


def gpu_number(device: str) -> int | None:
    """Return N of the device ``cuda:N``; None for other devices, and for ``cuda``."""
    kind, _, number = device.partition(":")
    return int(number) if kind == "cuda" and number else None


def check_hwaccel(name: str) -> None:
    """Raise ValueError if ``name`` is not the name of a device that decodes; whether it exists is not checked."""
    if not _HWACCEL.fullmatch(name):
        raise ValueError(f"hwaccel must be none, cuda or cuda:N, not {name!r}")


Device: TypeAlias = Annotated[str, Option("auto, cpu, cuda, cuda:N or mps.", metavar="DEVICE", check=check_device)]
Stability: TypeAlias = Literal["none", "smooth", "flow"]
Paint: TypeAlias = Annotated[
    float, Option("Of a picture's style: 2 doubles the weight on strokes and colors.", min=0.25, max=4)
]
Stillness: TypeAlias = Annotated[
    float, Option("Of a picture's style: 2 doubles the weight on stability.", min=0.25, max=4)
]
Engine: TypeAlias = Annotated[
    Literal["auto", "eager", "compile", "openvino"],
    Option("How to run the network; auto takes the fastest that is available."),
]
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
NoTag: TypeAlias = Annotated[bool, Option("Do not name flowbrush in the output's metadata.", name="no_tag")]


def check_mask_options(
    stylize: "StylizeConfig", mask: str | None, feather_px: float, invert_mask: bool, mask_track: bool = False
) -> None:
    """Raise ValueError if what needs a mask is asked for without one, or with one that it is not for."""
    if mask is None and parse_regions(stylize.style):
        raise ValueError("--style fg:STYLE,bg:STYLE needs --mask FILE: white is the foreground")
    if mask is None and (feather_px or invert_mask):
        raise ValueError("--feather and --invert-mask belong to --mask FILE")
    if mask_track and (mask is None or parse_mask(mask) is not None):
        raise ValueError("--mask-track needs --mask with pictures of key frames: --mask keys/%05d.png")


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeConfig:
    """Which part of the input to read, and how."""

    start_seconds: Annotated[
        Fraction | None, Option("Start at this time: 83.5, 1:23.5 or 0:01:23.5.", min=0, max=LONGEST_SECONDS)
    ] = None
    duration_seconds: Annotated[
        Fraction | None,
        Option("Length of the part to stylize. By default, up to the end.", above=0, max=LONGEST_SECONDS),
    ] = None
    height: Annotated[
        int | None,
        Option(
            "Scale to this height; the width follows.",
            metavar="PX",
            min=SMALLEST_SIDE_PX,
            max=LARGEST_SIDE_PX,
            unit="pixels",
        ),
    ] = None
    fps: Annotated[
        Fraction | None,
        Option(
            "Frames per second of an image sequence, as 24 or 24000/1001. Default: 25.",
            metavar="FPS",
            read=read_rate,
            above=0,
            max=1000,
        ),
    ] = None
    start_number: Annotated[
        int | None,
        Option("Number of the first picture of an image sequence. Default: the lowest, or 1.", metavar="N", min=0),
    ] = None
    hwaccel: Annotated[
        str,
        Option(
            "Decode on an NVIDIA GPU: cuda (that of --device) or cuda:N; what it does not support, in software.",
            metavar="DEVICE",
            check=check_hwaccel,
        ),
    ] = "none"
    threads: Annotated[int, Setting("Threads of the video decoder; 0 lets FFmpeg choose.", min=0)] = 0
    strict: Annotated[
        bool, Option("Fail at the first damage of the input. By default, everything that decodes is stylized.")
    ] = False

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeConfig:
    """How to compress the output; see `pipeline.media.codecs`."""

    codec: Annotated[
        str,
        Option(
            "h264, h265, av1, vp9, prores, ffv1, the name of an FFmpeg encoder (h264_nvenc), or auto: chosen by the "
            "container.",
            metavar="CODEC",
        ),
    ] = "auto"
    quality: Annotated[
        int | None, Option("Constant quality; lower is better. Each codec has its own scale.", metavar="CRF")
    ] = None
    preset: Annotated[str | None, Option("The encoder's trade-off of speed and size.", metavar="NAME")] = None
    threads: Annotated[int, Setting("Threads of the encoder; 0 lets it choose.", min=0)] = 0
    streams: Annotated[
        Literal["all", "audio", "none"],
        Option("Other streams to pass through: all that the container supports, audio, or none."),
    ] = "all"
    overwrite: Annotated[bool, Option("Replace an existing output.")] = False

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class StylizeConfig:
    """Which style to apply, how, and on which device."""

    style: Annotated[
        str,
        Option(
            "A bundled style, a .safetensors file, FILE#NAME, a picture, or a blend: a:0.7,b:0.3. With --mask also "
            "fg:a,bg:b. Or --style-image.",
            metavar="STYLE",
        ),
    ] = ""
    style_image: Annotated[
        str | None,
        Option("Instead of --style: a picture whose style to take, or a blend: a.jpg:0.7,b.jpg:0.3.", metavar="IMAGE"),
    ] = None
    style_end: Annotated[
        str | None, Option("Fade to this style until the last frame.", metavar="STYLE", check=parse_blend)
    ] = None
    strength: Annotated[float, Option("0 leaves the video as it is, 1 stylizes it fully.", min=0, max=1)] = 1.0
    keep_colors: Annotated[bool, Option("Keep the video's colors; take only light and dark from the style.")] = False
    paint: Paint = 1.0
    stillness: Stillness = 1.0
    stroke_size: Annotated[
        float, Option("2 makes strokes twice as large, and is about twice as fast.", min=0.25, max=4)
    ] = 1.0
    stability: Annotated[
        Stability,
        Option("How to reduce flicker: smooth costs little; flow is the most stable, and slower."),
    ] = "smooth"
    compare: Annotated[
        Literal["side", "split"] | None,
        Option("Show the original too: to the left of the stylized frame, or as its left half."),
    ] = None
    device: Device = "auto"
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"],
        Option("Number format of the network; auto takes one that is fast on the device."),
    ] = "auto"
    engine: Engine = "auto"
    max_memory: Annotated[
        int | None,
        Option(
            "Use at most 4G or 500M of memory; large frames are stylized in strips.",
            metavar="SIZE",
            read=read_memory,
            above=0,
            unit="bytes",
        ),
    ] = None
    threads: Annotated[int, Setting("CPU cores that the network may use; 0 takes all.", min=0)] = 0
    method: Annotated[
        Literal["network", "optimize"],
        Option("optimize: no network, the picture itself is optimized towards --painting; takes minutes a picture."),
    ] = "network"
    paintings: Annotated[
        tuple[str, ...],
        Option(
            "For --method optimize: a style image; several are weighted: a.jpg:0.7. Repeatable.",
            name="painting",
            metavar="IMAGE",
        ),
    ] = ()
    optimize: OptimizeConfig = field(default_factory=OptimizeConfig)

    def __post_init__(self) -> None:
        self._take_painting_as_style()
        self._take_picture_as_style()
        parse_style(self.style)
        if self.style_end and parse_regions(self.style):
            raise ValueError("styles of regions do not fade; leave --style-end out")
        check_settings(self)
        check_dials(self.dials, self.style, self.style_end)

    @property
    def dials(self) -> Dials:
        """How styles are predicted from pictures."""
        return Dials(self.paint, self.stillness)

    def _take_painting_as_style(self) -> None:
        """Make the paintings, where the picture is optimized, the style that a start may have."""
        if self.method == "network":
            if self.paintings:
                raise ValueError("--painting is for --method optimize; --style-image takes the style of a picture")
            return
        if not self.paintings:
            raise ValueError("--method optimize needs --painting IMAGE")
        if self.style_end is not None:
            raise ValueError("--method optimize cannot fade; leave out --style-end")
        if parse_regions(self.style):
            raise ValueError("--method optimize has no styles of regions; give one --style")
        if self.precision == "fp16":
            raise ValueError("--method optimize runs with --precision fp32 or bf16")
        check_pictures(self.painting)
        if not self.style and self.style_image is None:
            object.__setattr__(self, "style", self.painting)

    @property
    def painting(self) -> str:
        """The paintings with their weights, as a blend."""
        return ",".join(self.paintings)

    def _take_picture_as_style(self) -> None:
        """Make ``style_image``, if given, the style."""
        if self.style and self.style_image is not None:
            raise ValueError(
                "--style and --style-image exclude each other; a blend may have both: --style a.jpg:0.7,great-wave:0.3"
            )
        if self.style_image is not None:
            check_pictures(self.style_image)
            object.__setattr__(self, "style", self.style_image)
            object.__setattr__(self, "style_image", None)
        if not self.style:
            raise ValueError("a style is missing; give --style STYLE, or --style-image IMAGE for any picture")


def read_paths(value: object) -> tuple[Path, ...]:
    """Return the paths of a list of texts, or of one."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str | Path) for text in texts):
        raise WrongTypeError(f"must be a path or a list of paths, not {value!r}")
    return tuple(map(Path, texts))


@dataclass(frozen=True, slots=True, kw_only=True)
class RefineConfig:
    """How to improve the style of a picture on the clip itself, before the render starts."""

    seconds: Annotated[
        float,
        Option(
            "First improve the style of the picture on this clip, for so many seconds.",
            name="refine",
            metavar="SECONDS",
            min=0,
            max=LONGEST_REFINEMENT_SECONDS,
        ),
    ] = 0.0
    loss_weights: Annotated[
        Sequence[Path],
        Option(
            "Weights of a loss network for --refine; repeatable. Default: torchvision's VGG-19.",
            metavar="FILE",
            read=read_paths,
        ),
    ] = ()

    def __post_init__(self) -> None:
        check_settings(self)


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
