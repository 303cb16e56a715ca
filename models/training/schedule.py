"""Progress of a training run by steps and by the clock, and the learning rate that goes with it."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

COOL_DOWN = 0.25
"""Steps of an early end, in which the learning rate falls, as a share of the steps before."""


def one_cycle(progress: float, *, warm_up: float = 0.05, first: float = 0.05, last: float = 0.005) -> float:
    """Return the share of the peak learning rate at ``progress`` in [0, 1].

    It rises from ``first`` to 1 within ``warm_up``, then follows a cosine down to ``last``. Smith & Topin,
    "Super-Convergence", arXiv:1708.07120.
    """
    if progress < warm_up:
        return first + (1 - first) * progress / warm_up
    fall = (progress - warm_up) / (1 - warm_up)
    return last + (1 - last) * 0.5 * (1 + math.cos(math.pi * min(1.0, fall)))


class Schedule:
    """Progress from 0 to 1: the share of the steps or of the time that is used up, whichever is larger.

    Progress never falls. The first step after each start, in which ``torch.compile`` works, takes time without making
    progress: the remaining progress is spread over the remaining time. An early end (`end_early`) follows the same
    curve of learning rates, only faster: most of the gain comes while the rate falls.

    Args:
        steps: in all.
        seconds: in all; None for no limit.
        clock: seconds since any start.

    Attributes:
        progress: in [0, 1].
        elapsed: seconds used, earlier runs included; a caller may add time spent before the first step.
    """

    def __init__(self, steps: int, seconds: float | None = None, *, clock: Callable[[], float] = time.monotonic):
        self._steps = steps
        self._seconds = seconds
        self._clock = clock
        self.progress = 0.0
        self.elapsed = 0.0
        self._early_end: tuple[int, float] | None = None
        self._last: float | None = None
        self._is_first = True

    @property
    def is_over(self) -> bool:
        """Whether the run is complete."""
        return self.progress >= 1

    @property
    def ends_early(self) -> bool:
        """Whether `end_early` was called."""
        return self._early_end is not None

    def start(self) -> None:
        """Start the clock, at first or after a pause."""
        self._last = self._clock()
        self._is_first = True

    def advance(self, step: int) -> None:
        """Count step number ``step`` and the time since the step before."""
        now = self._clock()
        spent = now - (now if self._last is None else self._last)
        by_time = self.progress if self._is_first else self._by_time(spent)
        self._last, self._is_first = now, False
        self.elapsed += spent
        self.progress = min(1.0, max(self.progress, step / self._steps, by_time, self._by_early_end(step)))

    def end_early(self, step: int) -> None:
        """Start the early end after step number ``step``; later calls have no effect."""
        if self._early_end is None:
            self._early_end = (step, self.progress)

    def _by_time(self, spent: float) -> float:
        if self._seconds is None:
            return 0.0
        left = self._seconds - self.elapsed
        return 1.0 if spent >= left else self.progress + (1 - self.progress) * spent / left

    def _by_early_end(self, step: int) -> float:
        if self._early_end is None:
            return 0.0
        start, progress = self._early_end
        return progress + (1 - progress) * (step - start) / max(1, round(COOL_DOWN * start))

    def state(self) -> dict[str, Any]:
        """Return plain values for `load_state`."""
        return {"progress": self.progress, "elapsed": self.elapsed, "finish": self._early_end}

    def load_state(self, state: Mapping[str, Any], step: int) -> None:
        """Continue at ``step`` from a `state`."""
        self.progress = max(state["progress"], step / self._steps)
        self.elapsed = state["elapsed"]
        finish = state["finish"]
        self._early_end = None if finish is None else (int(finish[0]), float(finish[1]))
