"""How much memory painting takes, how much there is, and which way of painting stays within it.

Estimates come from measurements (docs/decisions/memory.md): bytes a pixel for each engine, plus decoder, encoder and
stabilizer. They err on the safe side; what a codec takes is known only roughly.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import TooLittleMemoryError
from pipeline.frames import VideoInfo

if TYPE_CHECKING:
    import torch

    from models.network import Architecture
    from models.tiled.tiling import Tiling

# Where nothing is asked for: of the machine's memory, or of that which its group of processes may have, or of a GPU's.
# Not of what is free at the moment: a render that is gone on with must be painted as it began.
SHARE = 0.7

# Of the network on a whole picture, by engine, for numbers of two bytes; those of four take 1.6 times as much.
WHOLE_BYTES_PER_PX = {"compile": 130, "eager": 400, "openvino": 200}
OF_FLOAT = 1.2

# Around the network, for each pixel of the video: frames that wait, the stability's averages, decoder and encoder.
AROUND_BYTES_PER_PX = {"none": 170, "smooth": 230, "flow": 270}
# What is loaded: Python, torch, OpenCV, codecs, the network.
BASE_BYTES = 800 * 2**20

# Rows of a strip. On a GPU as many as go, so that all of it has work; on a CPU as many as its caches hold.
STRIPS = (512, 256, 128, 64, 32)
STRIPS_OF_CPU = (32,)
SMALLEST_STRIPS = (32, 8, 4)

# Frames that wait between two stages, in bytes; one may always.
WAITING_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class ExecutionMode:
    """How frames are painted.

    Attributes:
        workers: how many at once.
        tiling: in which strips; None for whole pictures.
    """

    workers: int
    tiling: "Tiling | None" = None


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """What decides how much memory painting takes.

    Attributes:
        pixels: of a frame.
        canvas: height and width in pixels at which the network paints.
        architecture: of the network.
        precision: of its convolutions.
        stability: see `pipeline.stylize.stabilizer`.
        on_gpu: whether the network runs elsewhere, so that its memory is all that counts.
        is_16_bit: whether frames have 16 bits.
    """

    pixels: int
    canvas: tuple[int, int]
    architecture: "Architecture"
    precision: str
    stability: str
    on_gpu: bool
    is_16_bit: bool = False

    def bytes(self, engine: str, way: ExecutionMode) -> int:
        """What painting ``way`` with ``engine`` takes: all of the process, or of it what is on a GPU."""
        return self._around() + way.workers * self._network(engine, way.tiling)

    def _around(self) -> int:
        if self.on_gpu:
            return 12 * self.pixels  # the frame, its painting, and what torch keeps of the last ones
        around = AROUND_BYTES_PER_PX[self.stability] * (2 if self.is_16_bit else 1)
        return BASE_BYTES + around * self.pixels

    def _network(self, engine: str, tiling: "Tiling | None") -> int:
        height, width = self.canvas
        if tiling is None:
            wide = OF_FLOAT if self.precision == "fp32" else 1
            return round(height * width * WHOLE_BYTES_PER_PX[engine] * wide) + 24 * self.pixels
        from models.tiled.tiling import peak_bytes

        return peak_bytes(self.architecture, tiling, height, width, 4 if self.precision == "fp32" else 2)


def whole_frame_modes(workers: int) -> list[ExecutionMode]:
    """Whole pictures, fewer and fewer at once."""
    return [ExecutionMode(count) for count in range(workers, 0, -1)]


def strip_modes(workers: int, height: int, *, on_gpu: bool) -> list[ExecutionMode]:
    """Strips, each way with less memory than the one before, the last with the least there is."""
    from models.tiled.tiling import Tiling

    rows = [count for count in (STRIPS if on_gpu else STRIPS_OF_CPU) if count < height] or [SMALLEST_STRIPS[-1]]
    first = [ExecutionMode(count, Tiling(rows[0])) for count in range(workers, 0, -1)]
    smaller = [ExecutionMode(1, Tiling(count)) for count in rows[1:]]
    return (
        first
        + smaller
        + [ExecutionMode(1, Tiling(count, keeps_half=False)) for count in SMALLEST_STRIPS if count <= rows[-1]]
    )


def choose_mode(
    ways: list[ExecutionMode], bytes_of: Callable[[ExecutionMode], int], bound: int
) -> ExecutionMode | None:
    """The first that stays within ``bound`` bytes; None where none does."""
    return next((way for way in ways if bytes_of(way) <= bound), None)


def too_little(bound: int, least: int) -> TooLittleMemoryError:
    """What to raise where nothing stays within the bound."""
    return TooLittleMemoryError(
        f"{shown(bound)} of memory are too little for this video, the least is {shown(least)};"
        " choose a larger --max-memory or a smaller --height"
    )


def queue_depth(depth: int, info: VideoInfo) -> int:
    """How many frames may wait between two stages: ``depth``, fewer where they are large."""
    frame_bytes = info.height * info.width * (6 if info.is_16_bit else 3)
    return max(min(depth, WAITING_BYTES // frame_bytes), 1)


def shown(count: int) -> str:
    """``4.2G``, as `pipeline.arguments.read_memory` reads it, rounded up."""
    unit, letter = (2**30, "G") if count >= 2**30 else (2**20, "M")
    tenths = -(-10 * count // unit)
    return f"{tenths // 10}{letter}" if letter == "M" and tenths % 10 == 0 else f"{tenths / 10:.1f}{letter}"


def default_bound(device: "torch.device") -> int | None:
    """How much memory may be taken where nothing is asked for; None where the system does not tell."""
    total = _gpu_bytes(device) if device.type != "cpu" else _machine_bytes()
    return None if total is None else round(total * SHARE)


def _gpu_bytes(device: "torch.device") -> int | None:
    import torch

    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return torch.mps.recommended_max_memory() if device.type == "mps" else None


def _machine_bytes() -> int | None:
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        return None
    return min([total, *_group_limits()])


def _group_limits() -> list[int]:
    """Limits of the control group that a container puts its processes into: version 2, version 1."""
    found = []
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            found.append(int(Path("/sys/fs/cgroup", name).read_text(encoding="ascii")))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return found
