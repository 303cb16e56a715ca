"""Make a texture in the manner of paintings: no photo, only their style, from noise."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import TooLittleMemoryError
from pipeline.frames import Pixels
from pipeline.image.pattern_config import PatternConfig
from pipeline.media.stills import check_image_target, write_image
from pipeline.notices import Notices, Notify
from pipeline.stylize.device import device_errors
from pipeline.stylize.optimize.setup import build_optimizer
from pipeline.stylize.optimize.stylizer import Preview, ReportStep, to_pixels

if TYPE_CHECKING:
    from models.optimize.picture import Report

TILES = 3


@dataclass(frozen=True, slots=True)
class PatternSummary:
    """How a texture was made.

    Attributes:
        output: the file that was written.
        width: in pixels.
        height: in pixels.
        steps: of the optimizer, at all sizes.
        reason: why it ended.
        style_loss: weighted.
        seconds: time of the whole run.
        notices: what the user was told.
    """

    output: str
    width: int
    height: int
    steps: int
    reason: str
    style_loss: float
    seconds: float
    notices: tuple[str, ...]


def make_pattern(
    config: PatternConfig,
    *,
    report: ReportStep = lambda report: None,
    notify: Notify = lambda line: None,
) -> PatternSummary:
    """Make a texture, and write it.

    Args:
        config: which one, and where.
        report: called after each step of the optimizer.
        notify: called with each notice, one line.

    Raises:
        PipelineError: see its subclasses in `pipeline.errors`.
    """
    from models.optimize.pattern import optimize_pattern

    started, notices = time.perf_counter(), Notices(notify)
    for target in filter(None, (config.output, config.tiled)):
        check_image_target(target, overwrite=config.overwrite, what="texture")
    preview = Preview(config.optimize.preview)
    optimizer, device, _ = build_optimizer(config.stylize, notices, is_periodic=config.seamless)

    def step(state: "Report") -> None:
        report(state)
        preview(state)

    width, height = config.size
    with device_errors(device):
        try:
            result = optimize_pattern((height, width), optimizer, step)
        except ValueError as error:
            raise TooLittleMemoryError(f"the memory is too small ({error}); choose a larger --max-memory") from error
    pixels = to_pixels(result.image, np.dtype(np.uint8))
    write_image(config.output, pixels)
    if config.tiled is not None:
        write_image(config.tiled, tiled(pixels))
    return PatternSummary(
        output=str(config.output),
        width=width,
        height=height,
        steps=result.steps,
        reason=result.reason,
        style_loss=result.losses["style"],
        seconds=time.perf_counter() - started,
        notices=notices.lines,
    )


def tiled(pixels: Pixels) -> Pixels:
    """Return a texture ``(H, W, 3)`` repeated `TILES` times in both directions."""
    return np.tile(pixels, (TILES, TILES, 1))
