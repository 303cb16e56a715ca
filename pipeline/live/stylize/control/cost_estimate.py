"""What a frame costs in a mode that was not measured: estimated from the modes that were. Reads no clock."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.live.stylize.modes import Mode
from pipeline.stylize.engine.engine_choice import CORE_SECONDS, GPU_SECONDS

if TYPE_CHECKING:
    from models.engines.engine import EngineName, Precision

# Pixels that take as long as what a frame costs at any size.
FIXED_PIXELS = 5000
# What each further core adds to one frame, as a share of the first: threads that share a frame wait for each other.
SHARED_GAIN = {"eager": 0.4, "openvino": 0.8, "compile": 0.7}
# Frames side by side slow each other down by this factor.
SIDE_BY_SIDE = 1.1


class CostEstimate:
    """Estimates the seconds of a frame from those of other modes.

    Args:
        device_type: ``cpu``, ``cuda`` or ``mps``.
        precision: of the network.
        cores: that frames share on a CPU.
    """

    def __init__(self, device_type: str, precision: "Precision", cores: int) -> None:
        self._device_type, self._precision, self._cores = device_type, precision, cores

    def seconds(self, mode: Mode, known: Mapping[Mode, float], present: Mode | None) -> float:
        """Return the seconds that a frame would take in ``mode``.

        Args:
            mode: that is not in ``known``.
            known: seconds of a frame in other modes.
            present: the mode in use; where nothing is known of the engine of ``mode``, its engine is compared with.
        """
        groups = _groups(known)
        own = groups.get((mode.engine, mode.workers))
        if own is not None:
            return _at(mode.pixels, own)
        prior = self._prior(mode.engine, mode.workers)
        if not groups:
            return prior * (mode.pixels + FIXED_PIXELS) / 1e6
        used = present and (present.engine, present.workers)
        other = used if used in groups else next(reversed(groups))
        return _at(mode.pixels, groups[other]) * prior / self._prior(*other)

    def most(self, mode: Mode, known: Mapping[Mode, float]) -> float:
        """Return the most that a frame takes in ``mode`` if ``known`` is right; infinity if that says nothing.

        It takes no longer than a larger one, nor than a smaller one in proportion to their pixels.
        """
        own = _groups(known).get((mode.engine, mode.workers), {})
        ratios = {pixels: max((mode.pixels + FIXED_PIXELS) / (pixels + FIXED_PIXELS), 1.0) for pixels in own}
        return min((seconds * ratios[pixels] for pixels, seconds in own.items()), default=math.inf)

    def _prior(self, engine: "EngineName", workers: int) -> float:
        """Return the seconds for a million pixels on some machine; only ratios matter once anything is measured."""
        if self._device_type != "cpu":
            return GPU_SECONDS.get(engine, GPU_SECONDS["eager"])
        seconds = CORE_SECONDS["bf16" if self._precision == "bf16" else "fp32"][engine]
        threads = max(self._cores // workers, 1)
        return seconds / (1 + (threads - 1) * SHARED_GAIN[engine]) * (SIDE_BY_SIDE if workers > 1 else 1.0)


def _groups(known: Mapping[Mode, float]) -> "dict[tuple[EngineName, int], dict[int, float]]":
    """Return what is known, for each engine and number of workers: seconds by pixels."""
    groups: dict[tuple[EngineName, int], dict[int, float]] = {}
    for mode, seconds in known.items():
        groups.setdefault((mode.engine, mode.workers), {})[mode.pixels] = seconds
    return groups


def _at(pixels: int, known: Mapping[int, float]) -> float:
    """Return the seconds at ``pixels`` from those at other numbers of pixels: on the line through the nearest two.

    Between two it is the lower one of that and what follows from the smaller, so that a step up is tried.
    """
    if pixels in known:
        return known[pixels]
    nearest = sorted(known, key=lambda each: abs(each - pixels))[:2]
    below = max((each for each in nearest if each <= pixels), default=nearest[0])
    proportional = known[below] * (pixels + FIXED_PIXELS) / (below + FIXED_PIXELS)
    if len(nearest) < 2:
        return proportional
    smaller, larger = sorted(nearest)
    slope = max((known[larger] - known[smaller]) / (larger - smaller), 0.0)
    on_line = known[smaller] + slope * (pixels - smaller)
    if smaller < pixels < larger:
        return min(on_line, proportional)
    return max(on_line, min(known[smaller], proportional) / 2)
