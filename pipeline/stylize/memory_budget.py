"""Estimate the memory that stylizing takes, and choose a mode of execution within a bound.

The estimates come from measured figures (docs/decisions/memory.md): bytes per pixel of each engine, and of everything
besides the network. They are rather too high than too low; the memory of codecs is known only roughly.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import TooLittleMemoryError
from pipeline.frames import VideoInfo

if TYPE_CHECKING:
    import torch

    from models.network import Architecture
    from models.tiled.tiling import Tiling

# Default bound: this share of the memory of the machine, of its control group, or of the GPU. Not of the memory that is
# free at the moment, because a resumed render must be stylized as it started.
SHARE = 0.7

# The network on a whole frame, by engine, with 2 bytes a number; with 4 bytes it takes `FP32_FACTOR` times as much.
WHOLE_FRAME_BYTES_PER_PX = {"compile": 130, "eager": 400, "openvino": 200}
FP32_FACTOR = 1.2

# Everything besides the network, per pixel of the video: queues, averages of the stabilizer, decoder and encoder.
OTHER_BYTES_PER_PX = {"none": 170, "smooth": 230, "flow": 270}
# Python, torch, OpenCV, codecs and the weights.
BASE_BYTES = 800 * 2**20

# Rows of a strip: as many as fit on a GPU, to give all of it work; as many as the caches hold on a CPU.
GPU_STRIP_ROWS = (512, 256, 128, 64, 32)
CPU_STRIP_ROWS = (32,)
SMALLEST_STRIP_ROWS = (32, 8, 4)

# Frames that wait between two stages, in bytes; one frame may always wait.
QUEUE_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class ExecutionMode:
    """How frames are stylized.

    Attributes:
        workers: number of frames at once.
        tiling: the strips of a frame; None for whole frames.
    """

    workers: int
    tiling: "Tiling | None" = None


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """What decides how much memory stylizing takes.

    Attributes:
        pixels: number of pixels of a frame.
        canvas: height and width in pixels at which the network runs.
        architecture: of the network.
        precision: of its convolutions.
        stability: see `pipeline.stylize.stabilizer`.
        on_gpu: whether the network runs on a GPU, whose memory is then the only one that counts.
        is_16_bit: whether frames have 16 bits.
    """

    pixels: int
    canvas: tuple[int, int]
    architecture: "Architecture"
    precision: str
    stability: str
    on_gpu: bool
    is_16_bit: bool = False

    def bytes(self, engine: str, mode: ExecutionMode) -> int:
        """Return the memory of the process, or of the GPU, that ``engine`` takes in ``mode``."""
        return self._other_bytes() + mode.workers * self._network_bytes(engine, mode.tiling)

    def _other_bytes(self) -> int:
        if self.on_gpu:
            return 12 * self.pixels  # the frame, the stylized frame, and what torch caches of the last ones
        return BASE_BYTES + OTHER_BYTES_PER_PX[self.stability] * (2 if self.is_16_bit else 1) * self.pixels

    def _network_bytes(self, engine: str, tiling: "Tiling | None") -> int:
        height, width = self.canvas
        if tiling is None:
            factor = FP32_FACTOR if self.precision == "fp32" else 1
            return round(height * width * WHOLE_FRAME_BYTES_PER_PX[engine] * factor) + 24 * self.pixels
        from models.tiled.tiling import peak_bytes

        return peak_bytes(self.architecture, tiling, height, width, 4 if self.precision == "fp32" else 2)


def strip_modes(workers: int, height: int, *, on_gpu: bool) -> list[ExecutionMode]:
    """Return the modes with strips for frames of ``height`` rows, each with less memory than the one before."""
    from models.tiled.tiling import Tiling

    rows = [count for count in (GPU_STRIP_ROWS if on_gpu else CPU_STRIP_ROWS) if count < height]
    rows = rows or [SMALLEST_STRIP_ROWS[-1]]
    return [
        *(ExecutionMode(count, Tiling(rows[0])) for count in range(workers, 0, -1)),
        *(ExecutionMode(1, Tiling(count)) for count in rows[1:]),
        *(ExecutionMode(1, Tiling(count, keeps_half=False)) for count in SMALLEST_STRIP_ROWS if count <= rows[-1]),
    ]


def choose_mode(engine: str, estimate: MemoryEstimate, workers: int, bound: int) -> tuple[str, ExecutionMode]:
    """Return engine and mode within ``bound`` bytes: fewer frames at once, then strips, which eager alone supports.

    Raises:
        TooLittleMemoryError: the smallest strips take more.
    """
    modes = [(engine, ExecutionMode(count)) for count in range(workers, 0, -1)]
    modes += [("eager", mode) for mode in strip_modes(workers, estimate.canvas[0], on_gpu=estimate.on_gpu)]
    for name, mode in modes:
        least = estimate.bytes(name, mode)
        if least <= bound:
            return name, mode
    raise TooLittleMemoryError(
        f"{format_bytes(bound)} of memory is too little for this video, which takes at least {format_bytes(least)};"
        " choose a larger --max-memory or a smaller --height"
    )


def queue_depth(depth: int, info: VideoInfo) -> int:
    """Return how many frames may wait between two stages: ``depth``, or fewer if they are large."""
    frame_bytes = info.height * info.width * (6 if info.is_16_bit else 3)
    return max(min(depth, QUEUE_BYTES // frame_bytes), 1)


def format_bytes(count: int) -> str:
    """Return ``count`` as `pipeline.arguments.read_memory` reads it, rounded up to one decimal: ``4.2G``, ``500M``."""
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
