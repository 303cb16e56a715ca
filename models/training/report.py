"""What a training run reports: its steps and validations, or that it diverged."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """The result of one step.

    Attributes:
        step: counted from 1.
        losses: weighted losses of the step, by name; empty if an interrupted validation is only repeated.
        validation: weighted losses on the held-out images, by name, averaged over the styles; None at most steps.
        best: whether this validation is the best so far.
        overfitting: whether the run stops here because validation grew worse.
        progress: of the whole run, in [0, 1].
    """

    step: int
    losses: Mapping[str, float]
    validation: Mapping[str, float] | None = None
    best: bool = False
    overfitting: bool = False
    progress: float = 0.0


class DivergedError(ArithmeticError):
    """The losses are no longer finite numbers."""


def add_losses(sums: dict[str, float], losses: Mapping[str, Tensor], share: float) -> None:
    """Add ``share`` of each loss to ``sums``, by name."""
    for name, value in losses.items():
        sums[name] = sums.get(name, 0.0) + share * float(value.detach())
