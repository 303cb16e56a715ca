"""The configurations of a preview of all styles, and of a benchmark."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Literal

from pipeline.config import Device, Paint, Stillness
from pipeline.config.options import Option, check_settings
from pipeline.config.style_spec import Dials, check_dials, check_pictures


def read_pictures(texts: Iterable[str]) -> tuple[str, ...]:
    """Return paths of pictures, or blends of several.

    Raises:
        ValueError: one is not the name of a picture.
    """
    found = tuple(texts)
    for text in found:
        check_pictures(text)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewConfig:
    """Which frame to show, and in which styles besides the bundled ones."""

    clip: Annotated[str | None, Option("Clip to take the frame from. Default: a sample clip.", metavar="FILE")] = None
    at_seconds: Annotated[Fraction | None, Option("Time of the frame. Default: the middle of the clip.")] = None
    style_files: Annotated[
        Sequence[str], Option("Show the styles of this weight file too; repeatable.", name="style_file", metavar="FILE")
    ] = ()
    style_images: Annotated[
        Sequence[str],
        Option(
            "Show the style of this picture too; repeatable.",
            name="style_image",
            metavar="IMAGE",
            read=read_pictures,
        ),
    ] = ()
    paint: Paint = 1.0
    stillness: Stillness = 1.0
    device: Device = "auto"
    overwrite: Annotated[bool, Option("Replace an existing image.")] = False

    def __post_init__(self) -> None:
        check_settings(self)
        check_dials(self.dials, *self.style_images)

    @property
    def dials(self) -> Dials:
        """How styles are predicted from pictures."""
        return Dials(self.paint, self.stillness)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkConfig:
    """What to measure."""

    engine: Annotated[
        Literal["auto", "eager", "compile", "openvino"],
        Option("How to run the network; auto measures what need not compile first."),
    ] = "auto"
    device: Device = "auto"

    def __post_init__(self) -> None:
        check_settings(self)
