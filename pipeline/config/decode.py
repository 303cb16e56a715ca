"""Which part of a clip to read, and how."""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated

from pipeline.config.arguments import LARGEST_SIDE_PX, SMALLEST_SIDE_PX, read_rate
from pipeline.config.options import Option, Setting, check_settings

# Four months. FFmpeg counts in 64 bits, in ticks as fine as a nanosecond.
LONGEST_SECONDS = 10**7

_HWACCEL = re.compile(r"none|cuda(:\d{1,3})?", re.ASCII)


def check_hwaccel(name: str) -> None:
    """Raise ValueError if ``name`` is not the name of a device that decodes; whether it exists is not checked."""
    if not _HWACCEL.fullmatch(name):
        raise ValueError(f"hwaccel must be none, cuda or cuda:N, not {name!r}")


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
