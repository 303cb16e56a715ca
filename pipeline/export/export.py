"""Export a style: make the file, compare it with PyTorch, then put it in place."""

import importlib.util
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.registry import StyleMetadata
from pipeline.errors import OutputError, PipelineError, first_line, reason_of
from pipeline.export.config import SUFFIX, ExportConfig
from pipeline.media.stills import check_image_target
from pipeline.stylize.stabilizer import KEEP, MEMORY
from pipeline.stylize.style import load_style_settings
from pipeline.system.files.atomic import write_atomically

if TYPE_CHECKING:
    from models.export.comparison import Difference

EXTRA = ("onnx", "onnxruntime", "onnxscript")
"""Modules of the extra."""

# Heights and widths on which a file for any size is compared: the smallest, a multiple of 8, of 4, and of nothing.
COMPARED_PX = ((16, 16), (64, 96), (100, 132), (123, 77))


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """The result of an export.

    Attributes:
        output: the file.
        style: name of the style.
        size: height and width of the frames in pixels; None for any.
        precision: of the convolutions.
        bytes: size of the file.
        difference: from PyTorch in float32, on random frames.
        tolerance: what the difference may be.
    """

    output: Path
    style: str
    size: tuple[int, int] | None
    precision: str
    bytes: int
    difference: "Difference"
    tolerance: "Difference"


def export(config: ExportConfig) -> ExportSummary:
    """Write a style as an ONNX file that onnxruntime computes as PyTorch does.

    Raises:
        PipelineError: a package of the extra is missing.
        StyleError: there is no such style, or styles cannot be mixed.
        InputError: a picture in place of a style cannot be read.
        OutputError: the file exists, cannot be written, or onnxruntime computes something else.
    """
    if missing := [name for name in EXTRA if importlib.util.find_spec(name) is None]:
        raise PipelineError(f"export needs {' and '.join(missing)}; pip install 'flowbrush[onnx]'")
    check_image_target(config.target, overwrite=config.overwrite, what="model", endings=(SUFFIX,))
    style = load_style_settings(config.style).start
    from models.export.comparison import TOLERANCE, ExportError, compare
    from models.export.onnx_model import to_onnx

    content = to_onnx(style, config.precision, config.size, file_metadata(style.metadata, config.precision))
    try:
        difference = compare(content, style, COMPARED_PX if config.size is None else [config.size])
    except ExportError as error:
        raise OutputError(
            config.target, f"onnxruntime cannot run it ({first_line(error)}); nothing is written"
        ) from error
    tolerance = TOLERANCE[config.precision]
    if not difference.is_within(tolerance):
        raise OutputError(config.target, _too_different(difference, tolerance))
    _write(config, content)
    name, size = style.metadata.name, config.size
    return ExportSummary(config.target, name, size, config.precision, len(content), difference, tolerance)


def file_metadata(style: StyleMetadata, precision: str) -> dict[str, str]:
    """Return what is written into the file: the style, as videos are tagged, and how to pass on the statistics."""
    known = {name: text for name, text in asdict(style).items() if isinstance(text, str) and text}
    return known | style.tag | {"precision": precision, "past_weight": f"{KEEP:g}", "memory": f"{MEMORY:g}"}


def _too_different(difference: "Difference", tolerance: "Difference") -> str:
    return (
        f"onnxruntime computes something else than PyTorch: {describe(difference)}; allowed: {describe(tolerance)}; "
        "nothing is written; try other versions of onnxscript and onnxruntime"
    )


def describe(difference: "Difference") -> str:
    """Return a difference in words."""
    return (
        f"{difference.levels} of 255 levels, {difference.mean_levels:.2g} on average, "
        f"{difference.statistics:.2g} of the statistics"
    )


def _write(config: ExportConfig, content: bytes) -> None:
    try:
        write_atomically(str(config.target), content, may_replace=config.overwrite)
    except OSError as error:
        raise OutputError(config.target, f"cannot be written ({reason_of(error)})") from error
