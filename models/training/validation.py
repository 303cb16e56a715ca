"""The history of validations: the best one, whether the run overfits, whether it still improves."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

SMALLEST_GAIN = 0.01
"""Share by which the validation loss must fall to count as an improvement."""


@dataclass(slots=True)
class ValidationHistory:
    """The record of the accepted validations of a run.

    Attributes:
        best: weighted losses of the best one, by name; empty before the first.
        best_loss: their sum.
        worse: how many in a row were worse than the best.
        reference: loss against which improvement is measured.
        stale: how many in a row brought no improvement.
        validated: step of the last one.
    """

    best: Mapping[str, float] = field(default_factory=dict)
    best_loss: float = math.inf
    worse: int = 0
    reference: float = math.inf
    stale: int = 0
    validated: int = 0

    def worse_after(self, loss: float, tolerance: float) -> int:
        """Return what `worse` is after a validation with ``loss``; losses within ``tolerance`` of the best are not."""
        return self.worse + 1 if loss > self.best_loss * (1 + tolerance) else 0

    def add(self, step: int, losses: Mapping[str, float], *, tolerance: float, is_vectors_only: bool) -> None:
        """Record a validation; while only the vectors are trained, each counts as an improvement."""
        loss = sum(losses.values())
        self.worse = self.worse_after(loss, tolerance)
        if loss < self.best_loss:
            self.best, self.best_loss = losses, loss
        improves = loss < self.reference * (1 - SMALLEST_GAIN) or is_vectors_only
        self.reference = min(loss, self.reference) if improves else self.reference
        self.stale = 0 if improves else self.stale + 1
        self.validated = step

    def state(self) -> dict[str, Any]:
        """Return plain values for `from_state`."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "ValidationHistory":
        """Return what `state` described."""
        return cls(**{f.name: state[f.name] for f in fields(cls)})
