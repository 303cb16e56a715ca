"""The identity of a render: everything its frames depend on. A run resumes only partial output of its own identity."""

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
from pipeline.config import StylizeConfig, VideoConfig
from pipeline.config.mask_spec import parse_mask
from pipeline.config.style_spec import blends_of, is_picture, parse_blend, style_name
from pipeline.errors import InputError, StyleError
from pipeline.media.image_sequence import ImageSequence, find_sequence
from pipeline.system.files.reading import input_signature, open_input

if TYPE_CHECKING:
    from pipeline.encode.output_plan import OutputPlan

# A file up to this size is hashed completely; of a larger one, `SAMPLES` evenly spaced samples, its size and mtime.
LARGEST_HASHED_BYTES = 256 * 2**20
SAMPLES, SAMPLE_BYTES = 64, 2**20

# Options that change neither frames nor encoding, or are part of the identity elsewhere.
_IRRELEVANT = {
    "stylize": {"max_memory", "style", "style_image", "style_end", "paintings", "optimize"},
    "decode": {"threads", "strict", "hwaccel"},
    "encode": {"overwrite", "codec", "quality", "preset", "streams"},
}
_PACKAGES = ("flowbrush", "torch", "av", "numpy", "opencv-python")


def identify(config: VideoConfig, plan: "OutputPlan") -> dict[str, Any]:
    """Return everything that the frames of a render, and their encoding, depend on, as JSON types.

    Raises:
        InputError: the input cannot be read.
        StyleError: a weight file cannot be read.
    """
    return {
        "input": content_hash(config.source),
        "mask": mask_hash(config),
        "settings": _settings(config, plan),
        "weights": style_hashes(config),
        "refine": refine_hashes(config),
        "optimize": optimize_identity(config.stylize),
        "software": software() | {"python": platform.python_version()},
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "usable_cores": usable_cores()},
    }


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs between two identities, a few words each; only the parts of ``now`` are compared."""
    found: list[str] = []
    for part in now:
        old, new = before.get(part), now[part]
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict) and part not in ("input", "mask"):
            names = [name for name in new | old if old.get(name) != new.get(name)]
            found.append(f"{part} ({', '.join(name.replace('_', ' ') for name in names)})")
        else:
            found.append(part)
    return found


def differences_here(config: VideoConfig, identity: Mapping[str, Any]) -> list[str]:
    """Return which of mask, weights and software differ between ``identity`` and this process, on any machine.

    Args:
        config: with paths that are valid here.
        identity: made by `identify`; parts that it lacks are not compared.

    Raises:
        InputError: the mask cannot be read.
        StyleError: a weight file cannot be read.
    """
    here: Mapping[str, Callable[[], Any]] = {
        "mask": lambda: mask_hash(config),
        "weights": lambda: style_hashes(config),
        "optimize": lambda: optimize_identity(config.stylize),
        "software": lambda: {**identity["software"], **different_versions(identity["software"])},
    }
    return differences(identity, {part: value() for part, value in here.items() if part in identity})


def different_versions(others: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the packages whose version differs from that of ``others``, with the version that is installed here.

    Builds for another device (``2.11.0+cpu``) count as the same version: a machine without a GPU has another one.
    """
    return {name: here for name, here in software().items() if _public(here) != _public(others.get(name))}


class InputCheck:
    """Finds out whether the input was changed since this was made, which is before `identify`.

    Frames of one file must not be combined with the audio of another.

    Attributes:
        bytes: size of the input.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._signature = source_signature(path)
        self.bytes = self._signature[2] if self._signature else 0

    def __call__(self, identity: Mapping[str, Any]) -> None:
        """Compare the input with that of ``identity``.

        Raises:
            InputError: the input was changed or removed.
        """
        signature = source_signature(self._path)
        if signature is None:
            raise InputError(self._path, "was removed during the run; put it back")
        if signature != self._signature and not is_same_content(content_hash(self._path), identity["input"]):
            raise InputError(self._path, "was changed during the run; run again")
        self._signature = signature


def content_hash(path: str) -> dict[str, Any]:
    """Return size and hash of a file; of a large file hash of samples, size and mtime. Of an image sequence likewise.

    Raises:
        InputError: the file cannot be read.
    """
    sequence = find_sequence(path)
    if sequence is not None:
        return _sequence_hash(sequence)
    digest = hashlib.sha256()
    try:
        with open_input(path) as file:
            status = os.fstat(file.fileno())
            if status.st_size <= LARGEST_HASHED_BYTES:
                while chunk := file.read(SAMPLE_BYTES):
                    digest.update(chunk)
                return {"bytes": status.st_size, "sha256": digest.hexdigest()}
            for number in range(SAMPLES):
                file.seek(number * (status.st_size - SAMPLE_BYTES) // (SAMPLES - 1))
                digest.update(file.read(SAMPLE_BYTES))
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})") from error
    return {"bytes": status.st_size, "time_ns": status.st_mtime_ns, "sha256_of_sample": digest.hexdigest()}


def _sequence_hash(sequence: ImageSequence) -> dict[str, Any]:
    """Return number and size of the pictures, and a hash of names and content; of a long one hash of samples."""
    digest, names = hashlib.sha256(), [sequence.path(number) for number in sequence.numbers()]
    try:
        stats = [os.stat(name) for name in names]
        total = sum(stat.st_size for stat in stats)
        is_long = total > LARGEST_HASHED_BYTES
        sampled = {number * (len(names) - 1) // (SAMPLES - 1) for number in range(SAMPLES)} if is_long else None
        for index, (name, stat) in enumerate(zip(names, stats, strict=True)):
            digest.update(f"{name.name}\0{stat.st_size}\0".encode("utf-8", "surrogateescape"))
            if sampled is None or index in sampled:
                with open_input(name) as file:
                    digest.update(file.read(SAMPLE_BYTES if is_long else LARGEST_HASHED_BYTES))
    except OSError as error:
        raise InputError(sequence.pattern, f"cannot be read ({error.strerror})") from error
    found: dict[str, Any] = {"pictures": len(names), "bytes": total}
    if is_long:
        newest = max((stat.st_mtime_ns for stat in stats), default=0)
        return found | {"time_ns": newest, "sha256_of_sample": digest.hexdigest()}
    return found | {"sha256": digest.hexdigest()}


def source_signature(path: str) -> tuple[int, ...] | None:
    """Return what differs if the input was changed meanwhile, see `input_signature`; its third number is the size."""
    sequence = find_sequence(path)
    if sequence is None:
        return input_signature(path)
    pictures = [input_signature(str(sequence.path(number))) for number in sequence.numbers()]
    found = [each for each in pictures if each is not None]
    if not found:
        return None
    return len(found), sum(each[1] for each in found), sum(each[2] for each in found), max(each[4] for each in found)


def is_same_content(content: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two results of `content_hash` are equal except for the mtime."""
    return {**content, "time_ns": None} == {**other, "time_ns": None}


def style_hashes(config: VideoConfig) -> dict[str, Any]:
    """Return name, hash of the weights, and weight in the blend, for each style at the start and end of the clip.

    Raises:
        StyleError: a weight file or a picture cannot be read.
    """
    stylize = config.stylize
    if stylize.method == "optimize" and stylize.optimize.init != "style":
        return {}  # no network runs
    start, *background = blends_of(stylize.style)
    specs = {"style": start, "style_end": stylize.style_end, **({"bg": background[0]} if background else {})}
    return {
        name: None if spec is None else [[*_weights_of(part.style), part.weight] for part in parse_blend(spec)]
        for name, spec in specs.items()
    }


def refine_hashes(config: VideoConfig) -> list[Any] | None:
    """Return seconds and loss networks of the refinement, None without one.

    Raises:
        InputError: the weights of a loss network cannot be read.
    """
    refine = config.refine
    return [refine.seconds, *(content_hash(str(path)) for path in refine.loss_weights)] if refine.seconds else None


def optimize_identity(config: StylizeConfig) -> dict[str, Any] | None:
    """Return what optimized pictures depend on: paintings, loss networks, options; None for other pictures.

    Raises:
        InputError: a file cannot be read.
    """
    if config.method == "network":
        return None
    options = asdict(config.optimize)
    del options["preview"]
    return options | {
        "paintings": [[content_hash(part.style), part.weight] for part in parse_blend(config.painting)],
        "loss_weights": [content_hash(str(path)) for path in config.optimize.loss_weights],
    }


def mask_hash(config: VideoConfig) -> dict[str, Any] | None:
    """Return the `content_hash` of the mask, or what it is made of, and its edges; None without a mask.

    Raises:
        InputError: the mask cannot be read.
    """
    if config.mask is None:
        return None
    content = content_hash(config.mask) if parse_mask(config.mask) is None else {"of_frame": config.mask}
    tracked = {"tracked": True} if config.mask_track else {}
    return content | {"feather_px": config.feather_px, "inverted": config.invert_mask} | tracked


def software() -> dict[str, str | None]:
    """Return the versions of the packages that frames depend on, None for one that is not installed."""
    return {name: _version(name) for name in _PACKAGES}


def _weights_of(style: str) -> tuple[str, str]:
    """Return the name of a style and the hash of its weight file or picture, whatever its path."""
    try:
        if is_picture(style):
            from pipeline.stylize.picture_style import picture_hash

            return style_name(Path(style)), picture_hash(Path(style))
        catalog, metadata = find(style)
        return metadata.name, hashlib.sha256(Path(catalog.path).read_bytes()).hexdigest()
    except (WeightsError, OSError) as error:
        raise StyleError(str(error)) from error


def _settings(config: VideoConfig, plan: "OutputPlan") -> dict[str, Any]:
    """Return all relevant options, and what the plan makes of them."""
    stages = {name: asdict(getattr(config, name)) for name in ("stylize", "decode", "encode")}
    options = {
        option: _plain(value)
        for name, values in stages.items()
        for option, value in values.items()
        if option not in _IRRELEVANT.get(name, ())
    }
    return options | {
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


def _public(version: str | None) -> str:
    return (version or "").partition("+")[0]


def _processor() -> str:
    """Return the name of the processor, by which kernels choose their instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def usable_cores() -> int:
    """Return the number of cores that this process may use; `taskset` can limit them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
