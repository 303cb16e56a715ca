"""How to compress the output."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pipeline.config.options import Option, Setting, check_settings


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
