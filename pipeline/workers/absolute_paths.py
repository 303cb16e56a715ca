"""That a part is painted as it was meant wherever it is painted: in another folder, or on another machine."""

import os
import platform
from dataclasses import replace

from models.registry import is_weight_file
from pipeline.config import VideoConfig
from pipeline.errors import DeviceError
from pipeline.resume.fingerprint import differences_here
from pipeline.style_spec import rename_styles
from pipeline.workers.protocol import SegmentJob


def for_elsewhere(config: VideoConfig) -> VideoConfig:
    """``config`` with paths that do not depend on the folder in which a process runs."""
    style, end = config.stylize.style, config.stylize.style_end
    return replace(
        config,
        source=_whole(config.source),
        target=_whole(config.target),
        mask=None if config.mask is None else _whole(config.mask),
        stylize=replace(
            config.stylize,
            style=rename_styles(style, _whole_style),
            style_end=None if end is None else rename_styles(end, _whole_style),
        ),
    )


def _whole(path: str) -> str:
    return os.path.join(os.getcwd(), path)  # `os.path.abspath` loses the way where .. leads out of a link


def _whole_style(style: str) -> str:
    return _whole(style) if is_weight_file(style) else style


def check_here(task: SegmentJob) -> None:
    """Find out whether what lies here is what the clip was begun with.

    Raises:
        DeviceError: it is not.
        InputError: the mask cannot be read.
        StyleError: a weight file cannot be read.
    """
    different = differences_here(task.config, task.identity)
    if different:
        where = f"the worker on {platform.node() or 'another machine'}"
        what = f"other {' and '.join(different)} than the machine that divided it"
        raise DeviceError(f"{task.config.source}: {where} has {what}; install the same there")
