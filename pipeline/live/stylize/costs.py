"""What a frame costs in each mode: measured where that was done, estimated elsewhere. Reads no clock.

All costs are those of a quiet machine. How busy the machine is now shows in the present mode: its time over its cost
is the load, by which the costs of all other modes are multiplied. So what was measured stays true when other programs
come and go.
"""

from collections import deque
from collections.abc import Mapping
from statistics import median
from typing import TYPE_CHECKING

from pipeline.live.stylize.modes import Mode
from pipeline.stylize.engine.engine_choice import CORE_SECONDS, GPU_SECONDS

if TYPE_CHECKING:
    from models.engines.engine import EngineName, Precision

# The median of so many frames is the time that a mode takes now: a single slow frame changes nothing.
MEDIAN_OF, LEAST_FRAMES = 5, 3
# From the first frames in a mode its cost is learned, from later ones the load.
LEARNING_FRAMES = 12
# Under more load than this, what was known about a mode is better than what is measured.
QUIET_LOAD = 1.25
# Pixels that take as long as what a frame costs at any size.
FIXED_PIXELS = 5000
# The longer ago a mode was used, the less its cost is believed: it may be so much lower, at most.
DOUBT_PER_SECOND, LARGEST_DOUBT = 0.0005, 0.3
# What each further core adds to one frame, as a share of the first: threads that share a frame wait for each other.
SHARED_GAIN = {"eager": 0.4, "openvino": 0.8, "compile": 0.7}
# Frames side by side slow each other down by this factor.
SIDE_BY_SIDE = 1.1


class Costs:
    """Knows, or estimates, how many seconds a frame takes in each mode.

    Args:
        device_type: ``cpu``, ``cuda`` or ``mps``.
        precision: of the network.
        cores: that frames share on a CPU.
        known: seconds that frames took on a quiet machine before.

    Attributes:
        load: time of a frame now over that on a quiet machine.
    """

    def __init__(
        self, device_type: str, precision: "Precision", cores: int, known: Mapping[Mode, float] | None = None
    ) -> None:
        self.load = 1.0
        self._device_type, self._precision, self._cores = device_type, precision, cores
        self._known = dict(known or {})
        self._used_at: dict[Mode, float] = {}
        self._mode: Mode | None = None
        self._last: deque[float] = deque(maxlen=MEDIAN_OF)
        self._count = 0
        self._is_new = False

    @property
    def known(self) -> dict[Mode, float]:
        """Seconds of a frame on a quiet machine, of all modes that were measured."""
        return dict(self._known)

    def add(self, now: float, mode: Mode, seconds: float) -> None:
        """Record that a frame took ``seconds`` in ``mode``."""
        if mode != self._mode:
            self._change(mode)
        self._last.append(seconds)
        self._count += 1
        self._used_at[mode] = now
        if self._count < LEAST_FRAMES:
            return
        if self._count <= LEARNING_FRAMES and (self._is_new or self._is_credible(mode)):
            self._learn(mode)
        else:
            self._note_load(mode)

    def now(self, mode: Mode) -> float | None:
        """Return the seconds that a frame in ``mode``, the present one, takes now; None until that is measured."""
        return median(self._last) if mode == self._mode and self._count >= LEAST_FRAMES else None

    def is_known(self, mode: Mode) -> bool:
        """Return whether the cost of ``mode`` was measured."""
        return mode in self._known

    def expected(self, now: float, mode: Mode) -> float:
        """Return the seconds that a frame would take in ``mode`` at the present load."""
        measured = self.now(mode)
        if measured is not None:
            return measured
        known = self._known.get(mode)
        if known is None:
            return self._estimate(mode) * self.load
        doubt = min((now - self._used_at.setdefault(mode, now)) * DOUBT_PER_SECOND, LARGEST_DOUBT)
        return known * self.load * (1 - doubt)

    def _change(self, mode: Mode) -> None:
        """Begin to measure another mode; the first shows how fast the machine is, compared with earlier sessions."""
        if self._mode is None and self._known and mode not in self._known:
            self._known[mode] = self._estimate(mode)
        self._mode, self._count, self._is_new = mode, 0, mode not in self._known
        self._last.clear()

    def _is_credible(self, mode: Mode) -> bool:
        """Return whether the last frames show what ``mode`` costs, and not that the machine has become busy."""
        change = median(self._last) / (self.load * self._known[mode])
        return self.load <= QUIET_LOAD and 1 / QUIET_LOAD <= change <= QUIET_LOAD

    def _learn(self, mode: Mode) -> None:
        """Take the time of the first frames in a mode, without the load of before, for its cost."""
        measured = median(self._last) / self.load
        known = self._known.get(mode, measured)
        self._known[mode] = known + (measured - known) / 2

    def _note_load(self, mode: Mode) -> None:
        """Take the time of a mode whose cost is known for the load; a machine that is faster than known is quiet."""
        self.load = median(self._last) / self._known[mode]
        if self.load < 1:
            self._known = {each: seconds * self.load for each, seconds in self._known.items()}
            self.load = 1.0

    def _estimate(self, mode: Mode) -> float:
        """Return the seconds that a frame would take on a quiet machine, from what is known of other modes."""
        groups = self._groups()
        own = groups.get((mode.engine, mode.workers))
        if own is not None:
            return _at(mode.pixels, own)
        prior = self._prior(mode.engine, mode.workers)
        if not groups:
            return prior * (mode.pixels + FIXED_PIXELS) / 1e6
        present = self._mode and (self._mode.engine, self._mode.workers)
        other = present if present in groups else next(reversed(groups))
        return _at(mode.pixels, groups[other]) * prior / self._prior(*other)

    def _groups(self) -> "dict[tuple[EngineName, int], dict[int, float]]":
        """Return what is known, for each engine and number of workers: seconds by pixels."""
        groups: dict[tuple[EngineName, int], dict[int, float]] = {}
        for known, seconds in self._known.items():
            groups.setdefault((known.engine, known.workers), {})[known.pixels] = seconds
        return groups

    def _prior(self, engine: "EngineName", workers: int) -> float:
        """Return the seconds for a million pixels on some machine; only ratios matter once anything is measured."""
        if self._device_type != "cpu":
            return GPU_SECONDS.get(engine, GPU_SECONDS["eager"])
        seconds = CORE_SECONDS["bf16" if self._precision == "bf16" else "fp32"][engine]
        threads = max(self._cores // workers, 1)
        return seconds / (1 + (threads - 1) * SHARED_GAIN[engine]) * (SIDE_BY_SIDE if workers > 1 else 1.0)


def _at(pixels: int, known: Mapping[int, float]) -> float:
    """Return the seconds at ``pixels`` from those at other numbers of pixels: on the line through the nearest two.

    Between two it is the lower one of that and what follows from the smaller, so that a step up is tried.
    """
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
