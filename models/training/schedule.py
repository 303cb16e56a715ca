"""How far a training has come, by steps and by the clock, and how fast it learns there."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

COOL_DOWN = 0.25
"""Steps that an early end takes to bring the rate down, as a share of the steps done before."""


def one_cycle(progress: float, *, warm_up: float = 0.05, first: float = 0.05, last: float = 0.005) -> float:
    """Share of the highest learning rate at ``progress`` in [0, 1]: up from ``first``, then down a cosine to ``last``.

    Smith & Topin, "Super-Convergence", arXiv:1708.07120.
    """
    if progress < warm_up:
        return first + (1 - first) * progress / warm_up
    fall = (progress - warm_up) / (1 - warm_up)
    return last + (1 - last) * 0.5 * (1 + math.cos(math.pi * min(1.0, fall)))


class Schedule:
    """Progress from 0 to 1: as far as steps or time are used up, whichever is further; never back.

    The first step after each start, in which ``torch.compile`` works, uses up time without being progress: what is
    left of the way is spread over what is left of the time. An early end (`finish`) brings the rate down in the usual
    curve, only faster: most of what training gains, it gains while the rate falls.

    Args:
        steps: in all.
        seconds: in all; None for as long as the steps take.
        clock: seconds from any beginning.

    Attributes:
        progress: in [0, 1].
        elapsed: seconds used up, by earlier runs too; what a caller spent beforehand can be added.
    """

    def __init__(self, steps: int, seconds: float | None = None, *, clock: Callable[[], float] = time.monotonic):
        self._steps = steps
        self._seconds = seconds
        self._clock = clock
        self.progress = 0.0
        self.elapsed = 0.0
        self._finish: tuple[int, float] | None = None
        self._last: float | None = None
        self._is_first = True

    @property
    def is_over(self) -> bool:
        """Nothing is left of the way."""
        return self.progress >= 1

    @property
    def is_finishing(self) -> bool:
        """The end was brought forward."""
        return self._finish is not None

    def start(self) -> None:
        """Let the clock run, at the beginning and after a pause."""
        self._last = self._clock()
        self._is_first = True

    def advance(self, step: int) -> None:
        """Count a step, the ``step``-th, and the time since the one before."""
        now = self._clock()
        spent = now - (now if self._last is None else self._last)
        by_time = self.progress if self._is_first else self._by_time(spent)
        self._last, self._is_first = now, False
        self.elapsed += spent
        self.progress = min(1.0, max(self.progress, step / self._steps, by_time, self._by_finish(step)))

    def finish(self, step: int) -> None:
        """Bring the end forward, from the ``step``-th step on."""
        if self._finish is None:
            self._finish = (step, self.progress)

    def _by_time(self, spent: float) -> float:
        if self._seconds is None:
            return 0.0
        left = self._seconds - self.elapsed
        return 1.0 if spent >= left else self.progress + (1 - self.progress) * spent / left

    def _by_finish(self, step: int) -> float:
        if self._finish is None:
            return 0.0
        begun, progress = self._finish
        return progress + (1 - progress) * (step - begun) / max(1, round(COOL_DOWN * begun))

    def state(self) -> dict[str, Any]:
        """Plain values to go on from."""
        return {"progress": self.progress, "elapsed": self.elapsed, "finish": self._finish}

    def load_state(self, state: Mapping[str, Any], step: int) -> None:
        """Go on at ``step`` from what `state` returned; what earlier versions lack follows from the step."""
        self.progress = max(state.get("progress", 0.0), step / self._steps)
        self.elapsed = state.get("elapsed", 0.0)
        finish = state.get("finish")
        self._finish = None if finish is None else (int(finish[0]), float(finish[1]))
