"""What a render is made from and with, so that another run can tell whether it may go on with it."""

import hashlib
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict
from fractions import Fraction
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.registry import WeightsError, find
from pipeline.config import VideoConfig
from pipeline.errors import InputError, StyleError
from pipeline.style_spec import parse_blend

if TYPE_CHECKING:
    from pipeline.encode.output_plan import OutputPlan
    from pipeline.stylize.stylizer import Stylizer

# A file up to this size is hashed whole; of a larger one, `SAMPLES` pieces spread evenly, its size and its time.
LARGEST_HASHED_BYTES = 256 * 2**20
SAMPLES, SAMPLE_BYTES = 64, 2**20

# What changes neither a picture nor its encoding.
_IRRELEVANT = {
    "stylize": {"max_memory", "style", "style_end"},  # these stand among the weights, by their content
    "decode": {"threads", "strict"},
    "encode": {"overwrite", "codec", "quality", "preset", "streams"},
}
_PACKAGES = ("flowbrush", "torch", "av", "numpy", "opencv-python")


def identify(config: VideoConfig, plan: "OutputPlan") -> dict[str, Any]:
    """Everything that the frames of a render, and their encoding, depend on; as JSON knows it.

    Raises:
        InputError: the input cannot be read.
        StyleError: a weight file cannot be read.
    """
    return {
        "input": content_of(config.source),
        "mask": mask_of(config),
        "settings": _settings(config, plan),
        "weights": styles_of(config),
        "software": _software() | {"python": platform.python_version()},
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "usable_cores": _usable_cores()},
    }


def differences_here(config: VideoConfig, identity: Mapping[str, Any]) -> list[str]:
    """What a process, perhaps on another machine, finds otherwise than `identify` did: mask, weights or software.

    Args:
        config: with paths that mean the same here.
        identity: of `identify`; what it does not tell is not compared.

    Raises:
        InputError: the mask cannot be read.
        StyleError: a weight file cannot be read.
    """
    here: Mapping[str, Callable[[], Any]] = {
        "mask": lambda: mask_of(config),
        "weights": lambda: styles_of(config),
        "software": lambda: {**identity["software"], **_software()},
    }
    return changes(identity, {part: look() for part, look in here.items() if part in identity})


def engine_of(stylizer: "Stylizer") -> dict[str, Any]:
    """What paints, as JSON knows it."""
    return {
        "engine": stylizer.engine,
        "precision": stylizer.precision,
        "device": str(stylizer.device),
        "workers": stylizer.workers,
        "strip_rows": stylizer.tiling.rows if stylizer.tiling else None,
    }


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two identities, a few words each; empty where they are the same."""
    found: list[str] = []
    for part in now:
        was, is_now = before.get(part), now[part]
        if was == is_now:
            continue
        if isinstance(was, dict) and isinstance(is_now, dict) and part != "input" and part != "mask":
            names = [name for name in is_now | was if was.get(name) != is_now.get(name)]
            found.append(f"{part} ({', '.join(name.replace('_', ' ') for name in names)})")
        else:
            found.append(part)
    return found


def content_of(path: str) -> dict[str, Any]:
    """A hash of a file's content; of a large file of a sample, with its size and time.

    Raises:
        InputError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        found = os.stat(path)
        with open(path, "rb") as file:
            if found.st_size <= LARGEST_HASHED_BYTES:
                while piece := file.read(SAMPLE_BYTES):
                    digest.update(piece)
                return {"bytes": found.st_size, "sha256": digest.hexdigest()}
            for number in range(SAMPLES):
                file.seek(number * (found.st_size - SAMPLE_BYTES) // (SAMPLES - 1))
                digest.update(file.read(SAMPLE_BYTES))
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})") from error
    return {"bytes": found.st_size, "time_ns": found.st_mtime_ns, "sha256_of_sample": digest.hexdigest()}


def is_same(content: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two of `content_of` are of the same content, whenever it was written."""
    return {**content, "time_ns": None} == {**other, "time_ns": None}


def styles_of(config: VideoConfig) -> dict[str, Any]:
    """Of the style, and of the one at the end: name inside the file, hash of the file, and share of each part.

    Raises:
        StyleError: a weight file cannot be read.
    """
    specs = {"style": config.stylize.style, "style_end": config.stylize.style_end}
    return {
        name: None if spec is None else [[*_weights_of(part.style), part.weight] for part in parse_blend(spec)]
        for name, spec in specs.items()
    }


def mask_of(config: VideoConfig) -> dict[str, Any] | None:
    """`content_of` the mask; None without one.

    Raises:
        InputError: it cannot be read.
    """
    return None if config.mask is None else content_of(config.mask)


def _software() -> dict[str, str | None]:
    return {name: _version(name) for name in _PACKAGES}


def _weights_of(style: str) -> tuple[str, str]:
    """Its name, and a hash of its file, wherever that lies."""
    try:
        catalog, card = find(style)
        return card.name, hashlib.sha256(Path(catalog.path).read_bytes()).hexdigest()
    except (WeightsError, OSError) as error:
        raise StyleError(str(error)) from error


def _settings(config: VideoConfig, plan: "OutputPlan") -> dict[str, Any]:
    """All that was asked for, and what became of it in the plan."""
    stages = {name: asdict(getattr(config, name)) for name in ("stylize", "decode", "encode")}
    asked = {
        option: _plain(value)
        for name, options in stages.items()
        for option, value in options.items()
        if option not in _IRRELEVANT.get(name, ())
    }
    return asked | {
        "codec": plan.encoder.name,
        "codec options": dict(plan.options),
        "container": plan.container.name,
        "pixel format": plan.pixel_format,
        "size": [plan.width, plan.height],
        "time base": str(plan.time_base),
        "color": asdict(plan.color),
        "segment": [str(config.segment_seconds), config.segment_frames],
    }


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Fraction) else value


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    """Kernels choose their instructions by it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def _usable_cores() -> int | None:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
