"""What makes a segment job independent of the process that runs it: absolute paths, and the same files and software."""

import os
import platform
from dataclasses import replace

from models.registry import is_weight_file
from pipeline.config import VideoConfig
from pipeline.errors import DeviceError
from pipeline.resume.fingerprint import differences_here
from pipeline.style_spec import is_picture, rename_styles
from pipeline.workers.protocol import SegmentJob


def with_absolute_paths(config: VideoConfig) -> VideoConfig:
    """Return ``config`` with paths that are valid in every working directory."""
    style, end = config.stylize.style, config.stylize.style_end
    return replace(
        config,
        source=_absolute(config.source),
        target=_absolute(config.target),
        mask=None if config.mask is None else _absolute(config.mask),
        stylize=replace(
            config.stylize,
            style=rename_styles(style, _absolute_style),
            style_end=None if end is None else rename_styles(end, _absolute_style),
        ),
    )


def check_machine(job: SegmentJob) -> None:
    """Check that mask, weights and software are those of the machine that split the clip.

    Raises:
        DeviceError: they are not.
        InputError: the mask cannot be read.
        StyleError: a weight file cannot be read.
    """
    different = differences_here(job.config, job.identity)
    if different:
        worker = f"the worker on {platform.node() or 'another machine'}"
        what = f"other {' and '.join(different)} than the machine that split the clip"
        raise DeviceError(f"{job.config.source}: {worker} has {what}; install the same there")


def _absolute(path: str) -> str:
    return os.path.join(os.getcwd(), path)  # `os.path.abspath` is wrong if .. follows a link


def _absolute_style(style: str) -> str:
    return _absolute(style) if is_weight_file(style) or is_picture(style) else style
