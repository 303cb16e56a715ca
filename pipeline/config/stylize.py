"""Which style to apply, how, and on which device."""

import re
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias

from pipeline.config.arguments import read_memory
from pipeline.config.optimize import OptimizeConfig
from pipeline.config.options import Option, Setting, check_settings
from pipeline.config.style_spec import Dials, check_dials, check_pictures, parse_blend, parse_regions, parse_style

_DEVICE = re.compile(r"auto|cpu|cuda(:\d{1,3})?|mps", re.ASCII)


def check_device(name: str) -> None:
    """Raise ValueError if ``name`` is not the name of a device; whether the device exists is not checked."""
    if not _DEVICE.fullmatch(name):
        raise ValueError(f"device must be auto, cpu, cuda, cuda:N or mps, not {name!r}")


def gpu_number(device: str) -> int | None:
    """Return N of the device ``cuda:N``; None for other devices, and for ``cuda``."""
    kind, _, number = device.partition(":")
    return int(number) if kind == "cuda" and number else None


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
        float, Option("2 makes strokes twice as large, in a third of the time.", min=0.25, max=4)
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
