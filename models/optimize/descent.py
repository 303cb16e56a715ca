"""Gradient descent on the pixels of a picture: L-BFGS or Adam, until nothing improves."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.optimize.loss import Evaluation
from models.optimize.settings import PATIENCE, Method

ADAM_RATE = 0.03
"""Learning rate of Adam at the start, in pixel values; it falls to a tenth along a cosine."""

HISTORY = 50
"""Most steps that L-BFGS remembers, each as two images."""

LINE_SEARCH = 12
"""Most evaluations of a step of L-BFGS; nearly all steps take one."""

FAILURES = 2
"""Steps of L-BFGS in a row that improve nothing, after which it ends."""

Evaluate = Callable[[Tensor], Evaluation]


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the descent.

    Attributes:
        number: counted from 1.
        evaluations: of losses and gradient, so far.
        losses: weighted, by name.
        image: ``(1, 3, H, W)`` in [0, 1] with these losses; of the last step, the best one.
        reason: why it ends here; empty before the last step.
    """

    number: int
    evaluations: int
    losses: Mapping[str, float]
    image: Tensor
    reason: str = ""

    @property
    def total(self) -> float:
        """The sum of the losses."""
        return sum(self.losses.values())


class _Problem:
    """Evaluates the losses for an optimizer; remembers the last evaluation, which L-BFGS asks for twice, and the best.

    The optimizer moves pixels freely. The losses see them within [0, 1], and the gradient of a pixel beyond that leads
    back: so the losses of the picture are those of what is stored.
    """

    def __init__(self, pixels: Tensor, evaluate: Evaluate) -> None:
        self.pixels = pixels
        self.count = 0
        self.best: tuple[Evaluation, Tensor] | None = None
        self._evaluate = evaluate
        # Torch's L-BFGS learns nothing from steps whose product with the change of the gradient is below 1e-10.
        self._scale = float(pixels.numel())
        self._last: tuple[Tensor, Evaluation] | None = None

    def __call__(self) -> Evaluation:
        pixels = self.pixels.detach()
        if self._last is not None and torch.equal(self._last[0], pixels):
            evaluation = self._last[1]
        else:
            evaluation = self._evaluate(pixels.clamp(0, 1))
            self.count += 1
            self._last = pixels.clone(), evaluation
        if math.isfinite(evaluation.total) and (self.best is None or evaluation.total < self.best[0].total):
            self.best = evaluation, pixels.clamp(0, 1)
        leads_out = ((pixels <= 0) & (evaluation.gradient > 0)) | ((pixels >= 1) & (evaluation.gradient < 0))
        self.pixels.grad = self._scale * evaluation.gradient.masked_fill(leads_out, 0)
        return evaluation

    @property
    def lowest(self) -> float:
        """The lowest loss so far."""
        return self.best[0].total if self.best else math.inf

    def restart(self) -> None:
        """Go back to the best picture."""
        if self.best is not None:
            self.pixels.data.copy_(self.best[1])

    def closure(self) -> float:
        """Return the loss as torch's optimizers expect it."""
        return self._scale * self().total


def descend(
    start: Tensor, evaluate: Evaluate, *, method: Method, steps: int, tolerance: float, history: int = HISTORY
) -> Iterator[Step]:
    """Yield the steps of the descent from ``start``; the last one has a reason, and the best image of all.

    Args:
        start: ``(1, 3, H, W)`` in [0, 1].
        evaluate: returns the losses.
        method: the optimizer.
        steps: most steps.
        tolerance: smallest improvement within `PATIENCE` steps, as a share of the loss.
        history: steps that L-BFGS remembers.
    """
    problem = _Problem(start.detach().clone().requires_grad_(), evaluate)
    optimizer, schedule = _optimizer(method, problem.pixels, steps, history)
    totals: deque[float] = deque(maxlen=PATIENCE + 1)
    number, reason, failed = 0, "", 0
    while not reason:
        number += 1
        before = problem.lowest
        optimizer.step(problem.closure)
        if schedule is not None:
            schedule.step()
        evaluation = problem()
        totals.append(problem.lowest)
        failed = failed + 1 if method == "lbfgs" and problem.lowest >= before else 0
        if failed:  # the remembered steps mislead the search; begin again with the gradient
            problem.restart()
            optimizer.state.clear()
        reason = _reason(totals, evaluation.total, number, steps, tolerance, failed)
        if not reason:
            yield Step(number, problem.count, evaluation.losses, problem.pixels.detach().clamp(0, 1))
    evaluation, image = problem.best or (evaluation, start)
    yield Step(number, problem.count, evaluation.losses, image, reason)


def _optimizer(method: Method, pixels: Tensor, steps: int, history: int) -> tuple[torch.optim.Optimizer, Any]:
    if method == "adam":
        adam = torch.optim.Adam([pixels], lr=ADAM_RATE)
        return adam, torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps, eta_min=ADAM_RATE / 10)
    lbfgs = torch.optim.LBFGS(
        [pixels],
        max_iter=1,
        max_eval=LINE_SEARCH,
        history_size=history,
        tolerance_grad=0,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )
    return lbfgs, None


def _reason(totals: deque[float], total: float, number: int, steps: int, tolerance: float, failed: int) -> str:
    if not math.isfinite(total):
        return "the losses are no longer finite numbers"
    if number >= steps:
        return f"all {steps} steps are done"
    if failed >= FAILURES:
        return "the line search finds no better picture"
    if len(totals) > PATIENCE and totals[0] - totals[-1] < tolerance * totals[0]:
        return f"the last {PATIENCE} steps improved the loss by less than {tolerance:.1%}"
    return ""
