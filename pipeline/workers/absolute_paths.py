"""What makes a segment job independent of the process that runs it: absolute paths, and the same files and software."""

import os
import platform
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.registry import is_weight_file
from pipeline.config import VideoConfig
from pipeline.config.mask_spec import parse_mask
from pipeline.config.style_spec import is_picture, rename_styles
from pipeline.errors import DeviceError, InputError, OutputError
from pipeline.resume.fingerprint import content_hash, differences_here, is_same_content
from pipeline.resume.work_folder.manifest import NAME, work_dir_path
from pipeline.system.files.reading import file_signature
from pipeline.workers.protocol import JoinJob, SegmentJob


def with_absolute_paths(config: VideoConfig) -> VideoConfig:
    """Return ``config`` with paths that are valid in every working directory."""
    style, end, optimize = config.stylize.style, config.stylize.style_end, config.stylize.optimize
    return replace(
        config,
        source=_absolute(config.source),
        target=_absolute(config.target),
        mask=config.mask if config.mask is None or parse_mask(config.mask) else _absolute(config.mask),
        stylize=replace(
            config.stylize,
            style=rename_styles(style, _absolute_style),
            style_end=None if end is None else rename_styles(end, _absolute_style),
            paintings=tuple(rename_styles(painting, _absolute_style) for painting in config.stylize.paintings),
            optimize=replace(
                optimize,
                loss_weights=tuple(Path(_absolute(str(path))) for path in optimize.loss_weights),
                preview=None if optimize.preview is None else Path(_absolute(str(optimize.preview))),
            ),
        ),
    )


def check_machine(job: SegmentJob | JoinJob) -> None:
    """Check that input, mask, weights and software are those of the machine that split the clip.

    Raises:
        DeviceError: mask, weights or software are not.
        InputError: another file is here in place of the input, or none; or the mask cannot be read.
        OutputError: the work folder is not visible here.
        StyleError: a weight file cannot be read.
    """
    different = differences_here(job.config, job.identity)
    if different:
        what = f"other {' and '.join(different)} than the machine that split the clip"
        raise DeviceError(f"{job.config.source}: {_worker()} has {what}; install the same there")
    if job.input_signature is not None:
        _check_folders(job.config, job.input_signature, job.identity["input"])


def _check_folders(config: VideoConfig, signature: tuple[int, int], content: Mapping[str, Any]) -> None:
    """Check that input and work folder are those of the machine that split the clip; equal copies of the input pass."""
    source, advice = config.source, "mount the same folder there, under the same path"
    here = file_signature(source)
    if here is None:
        raise InputError(source, f"{_worker()} does not see it; {advice}")
    if here != signature and (here[0] != signature[0] or not is_same_content(content_hash(source), content)):
        sizes = f"{here[0]} instead of {signature[0]} bytes" if here[0] != signature[0] else "of the same size"
        raise InputError(source, f"{_worker()} sees another file there, {sizes}; {advice}")
    if not os.path.exists(os.path.join(work_dir_path(config.target), NAME)):
        raise OutputError(config.target, f"{_worker()} does not see its work folder; {advice}")


def _worker() -> str:
    return f"the worker on {platform.node() or 'another machine'}"


def _absolute(path: str) -> str:
    return os.path.join(os.getcwd(), path)  # `os.path.abspath` is wrong if .. follows a link


def _absolute_style(style: str) -> str:
    return _absolute(style) if is_weight_file(style) or is_picture(style) else style
