"""Estimate the memory that stylizing takes, and choose workers and strips within a bound.

The estimates come from measured figures (docs/decisions/memory.md): bytes per pixel of each engine, and of everything
besides the network. They are rather too high than too low; the memory of codecs is known only roughly.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import TooLittleMemoryError
from pipeline.frames import VideoInfo

if TYPE_CHECKING:
    import torch

    from models.engines.engine import EngineName, EngineSpec
    from models.tiled.tiling import Tiling

# Default bound: this share of the memory of the machine, of its control group, or of the GPU. Not of the memory that is
# free at the moment, because a resumed render must be stylized as it started.
SHARE = 0.7

# The network on a whole frame, by engine, with 2 bytes a number; with 4 bytes it takes `FP32_FACTOR` times as much.
WHOLE_FRAME_BYTES_PER_PX = {"compile": 130, "eager": 400, "openvino": 200}
FP32_FACTOR = 1.2

# Everything besides the network, per pixel of the video: queues, averages of the stabilizer, decoder and encoder; of a
# picture: the one that is read, the one that is stylized with its mask, and the one that is written.
OTHER_BYTES_PER_PX = {"none": 170, "smooth": 230, "flow": 270, "picture": 40}
# On a CPU a larger single picture is stylized in strips: three times as fast as memory that was never used before.
LARGEST_WHOLE_PICTURE_PX = 1_000_000
# On a GPU, counted, not measured: for each frame in flight the frame, the stylized frame, and what torch caches of the
# last ones; once the noise filter of ``smooth``, with its averages and what it computes in between.
GPU_FRAME_BYTES_PER_PX, GPU_FILTER_BYTES_PER_PX = 12, 120
# Python, torch, OpenCV, codecs and the weights.
BASE_BYTES = 800 * 2**20

# Rows of a strip: as many as fit on a GPU, to give all of it work; as many as the caches hold on a CPU.
GPU_STRIP_ROWS = (512, 256, 128, 64, 32)
CPU_STRIP_ROWS = (32,)
SMALLEST_STRIP_ROWS = (32, 8, 4)

# Frames that wait between two stages, in bytes; one frame may always wait.
QUEUE_BYTES = 256 * 2**20


def estimate_bytes(name: str, spec: "EngineSpec", usage: str) -> int:
    """Return the memory of the process, or of the GPU, that stylizing with the engine ``name`` takes.

    Args:
        name: of the engine.
        spec: the engine, with its workers and strips.
        usage: ``picture``, or for a video its stability, see `pipeline.stylize.stabilizer`.
    """
    pixels = spec.height * spec.width
    depth = 2 if spec.is_16_bit else 1
    if spec.device.type != "cpu":
        other = GPU_FRAME_BYTES_PER_PX * depth * spec.workers + (GPU_FILTER_BYTES_PER_PX if usage == "smooth" else 0)
        return other * pixels + _network_bytes(name, spec)  # one frame is in the network at a time
    return BASE_BYTES + OTHER_BYTES_PER_PX[usage] * depth * pixels + spec.workers * _network_bytes(name, spec)


def _network_bytes(name: str, spec: "EngineSpec") -> int:
    height, width = spec.canvas or (spec.height, spec.width)
    if spec.tiling is None:
        factor = FP32_FACTOR if spec.precision == "fp32" else 1
        return round(height * width * WHOLE_FRAME_BYTES_PER_PX[name] * factor) + 24 * spec.height * spec.width
    from models.tiled.tiling import peak_bytes

    return peak_bytes(spec.network.architecture, spec.tiling, height, width, 4 if spec.precision == "fp32" else 2)


def strip_tilings(spec: "EngineSpec") -> "list[Tiling]":
    """Return the strips for the frames of ``spec``, each with less memory than the one before."""
    from models.tiled.tiling import Tiling

    height, _ = spec.canvas or (spec.height, spec.width)
    rows = [count for count in (CPU_STRIP_ROWS if spec.device.type == "cpu" else GPU_STRIP_ROWS) if count < height]
    rows = rows or [SMALLEST_STRIP_ROWS[-1]]
    smallest = [Tiling(count, keeps_half=False) for count in SMALLEST_STRIP_ROWS if count <= rows[-1]]
    return [*map(Tiling, rows), *smallest]


def fit_to_memory(
    name: "EngineName", spec: "EngineSpec", usage: str, workers: int, bound: int | None
) -> "tuple[EngineName, EngineSpec]":
    """Return engine and spec within ``bound`` bytes: fewer frames at once, then strips, which eager alone supports.

    Args:
        name: the engine for whole frames.
        spec: what to build; its workers and strips are replaced.
        usage: ``picture``, or for a video its stability, see `pipeline.stylize.stabilizer`.
        workers: most frames at once.
        bound: in bytes; None for none.

    Raises:
        TooLittleMemoryError: the smallest strips take more.
    """
    counts, (largest, *smaller) = range(workers, 0, -1), strip_tilings(spec)
    choices = [(name, replace(spec, workers=count)) for count in counts]
    choices += [("eager", replace(spec, workers=count, tiling=largest)) for count in counts]
    choices += [("eager", replace(spec, workers=1, tiling=tiling)) for tiling in smaller]
    if usage == "picture" and name == "eager" and spec.device.type == "cpu" and _is_large(spec):
        del choices[0]
    if bound is None:
        return choices[0]
    for choice in choices:
        least = estimate_bytes(*choice, usage)
        if least <= bound:
            return choice
    raise TooLittleMemoryError(
        f"{format_bytes(bound)} of memory is too little for this {'picture' if usage == 'picture' else 'video'}, which"
        f" takes at least {format_bytes(least)}; choose a larger --max-memory or a smaller --height"
    )


def _is_large(spec: "EngineSpec") -> bool:
    height, width = spec.canvas or (spec.height, spec.width)
    return height * width > LARGEST_WHOLE_PICTURE_PX


def queue_depth(depth: int, info: VideoInfo) -> int:
    """Return how many frames may wait between two stages: ``depth``, or fewer if they are large."""
    frame_bytes = info.height * info.width * (6 if info.is_16_bit else 3)
    return max(min(depth, QUEUE_BYTES // frame_bytes), 1)


def format_bytes(count: int) -> str:
    """Return ``count`` as `read_memory` reads it, rounded up to one decimal: ``4.2G``, ``500M``."""
    unit, letter = (2**30, "G") if count >= 2**30 else (2**20, "M")
    tenths = -(-10 * count // unit)
    return f"{tenths // 10}{letter}" if letter == "M" and tenths % 10 == 0 else f"{tenths / 10:.1f}{letter}"


def default_bound(device: "torch.device", control_group: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the bytes that may be taken without ``--max-memory``; None if the system does not report its memory."""
    total = _gpu_bytes(device) if device.type != "cpu" else _machine_bytes(control_group)
    return None if total is None else round(total * SHARE)


def _gpu_bytes(device: "torch.device") -> int | None:
    import torch

    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return torch.mps.recommended_max_memory() if device.type == "mps" else None


def _machine_bytes(control_group: Path) -> int | None:
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        return None
    return min([total, *_control_group_limits(control_group)])


def _control_group_limits(folder: Path) -> list[int]:
    """Return the limits of the control group that a container runs in: version 2, version 1."""
    limits = []
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            limits.append(int((folder / name).read_text(encoding="ascii")))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return limits
