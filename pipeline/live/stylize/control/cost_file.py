"""What frames cost in each mode, kept in the cache for the next session."""

import hashlib
import json
import math
import platform
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pipeline.live.stylize.modes import Mode
from pipeline.system.files.atomic import write_atomically
from pipeline.system.folders import cache_folder

if TYPE_CHECKING:
    from pipeline.stylize.frame_stylizer import FrameStylizer

NAME = "live_costs.json"
# Machines that share a cache, and networks, of which the costs are kept; and modes of each.
MOST_MACHINES, MOST_MODES = 20, 100
# A frame takes no longer on any machine; a file that says so is damaged.
LONGEST_SECONDS = 60.0


def read_costs(core: "FrameStylizer") -> dict[Mode, float]:
    """Return the seconds that frames took in earlier sessions on this machine; empty if unknown or damaged."""
    costs: dict[Mode, float] = {}
    with suppress(ValueError, TypeError, AttributeError):
        for height, width, engine, workers, seconds in _read().get(_key(core), []):
            if engine in ("eager", "compile", "openvino") and 0 < float(seconds) < LONGEST_SECONDS and workers >= 1:
                costs[Mode((int(height), int(width)), engine, int(workers))] = float(seconds)
    return costs


def write_costs(core: "FrameStylizer", costs: Mapping[Mode, float]) -> None:
    """Keep the seconds that frames took; a cache that cannot be written is no error, as they only save a second."""
    if not costs:
        return
    modes = [
        [*mode.size, mode.engine, mode.workers, round(seconds, 5)]
        for mode, seconds in list(costs.items())[-MOST_MODES:]
        if math.isfinite(seconds)
    ]
    with suppress(OSError):
        content = {key: value for key, value in _read().items() if key != _key(core)} | {_key(core): modes}
        newest = dict(list(content.items())[-MOST_MACHINES:])
        write_atomically(str(cache_folder() / NAME), json.dumps(newest).encode())


def _read() -> dict[str, Any]:
    with suppress(OSError, ValueError):
        content = json.loads((cache_folder() / NAME).read_bytes())
        if isinstance(content, dict):
            return content
    return {}


def _key(core: "FrameStylizer") -> str:
    """Return what costs depend on besides the mode: processor, cores, precision, network and torch."""
    import torch

    spec = core.spec(64, 64)
    facts = (
        f"{platform.node()} {platform.machine()} {torch.backends.cpu.get_cpu_capability()} {core.device} {core.cores} "
        f"{core.precision} {core.stability} {spec.stroke_size} {spec.network.architecture} {torch.__version__}"
    )
    return hashlib.sha256(facts.encode()).hexdigest()[:16]
