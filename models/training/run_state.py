"""Where a training run is, and what it stores beside its weights: steps, time, random numbers, the optimizer."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from models.training.optimizer_state import load_optimizer, optimizer_tensors
from models.training.schedule import Schedule, one_cycle

if TYPE_CHECKING:
    from models.training.config import TrainingConfig
    from models.training.predictor.config import PredictorTrainingConfig

CHANGEABLE = frozenset(
    {"compile", "validate_every", "validation_crops", "validation_pictures", "patience", "minutes", "plateau"}
)
"""Settings that a resumed run may change."""


class RunState:
    """Counts the steps of a run, sets its learning rates, stores it and resumes it.

    Args:
        config: settings of the run.
        optimizer: of the run; its learning rates are not stored: they follow from the step.
        generator: on the CPU, the source of the random numbers, as it is before the first step.

    Attributes:
        step: number of steps so far, earlier runs included.
        schedule: progress and time.
    """

    def __init__(
        self,
        config: "TrainingConfig | PredictorTrainingConfig",
        optimizer: torch.optim.Adam,
        generator: torch.Generator,
    ) -> None:
        self.step = 0
        self.schedule = Schedule(config.steps, None if config.minutes is None else 60 * config.minutes)
        self._config, self._optimizer, self._generator = config, optimizer, generator
        self._before_next_step = generator.get_state()

    @property
    def is_validation_due(self) -> bool:
        """Whether the weights of this step are to be validated."""
        return self.step % self._config.validate_every == 0 or self.schedule.is_over

    @property
    def used_up(self) -> Literal["steps", "minutes"]:
        """What a run that is over has used up."""
        return "steps" if self.step >= self._config.steps else "minutes"

    def set_rates(self, *shares: float) -> None:
        """Set the learning rate of each group of parameters to a share of that of the schedule."""
        rate = self._config.learning_rate * one_cycle(self.schedule.progress)
        for group, share in zip(self._optimizer.param_groups, shares, strict=True):
            group["lr"] = rate * share

    def complete_step(self) -> None:
        """Count a step. A run that is interrupted before that repeats the step with the same random numbers."""
        self.step += 1
        self.schedule.advance(self.step)
        self._before_next_step = self._generator.get_state()

    def state(self, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return values that JSON can express, and ``tensors``: those given, and those of the run, by name."""
        return {
            "config": asdict(self._config),
            "step": self.step,
            "schedule": self.schedule.state(),
            "tensors": {**tensors, **optimizer_tensors(self._optimizer), "generator": self._before_next_step},
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Resume from a `state`.

        Raises:
            ValueError: it comes from a run with other settings, or the optimizer's part does not fit.
            Exception: anything else, if it is no state of a run.
        """
        self._check_settings(state["config"])
        load_optimizer(self._optimizer, state["tensors"])
        self._before_next_step = state["tensors"]["generator"].cpu()
        self._generator.set_state(self._before_next_step)
        self.step = state["step"]
        self.schedule.load_state(state["schedule"], self.step)

    def _check_settings(self, stored: Mapping[str, Any]) -> None:
        """Check that a run is resumed with its own settings, but for those that may change.

        Raises:
            ValueError: there are others.
        """
        before, now = asdict(type(self._config)()) | dict(stored), asdict(self._config)
        changed = [f"{k} {before[k]} -> {now[k]}" for k in now if k not in CHANGEABLE and before[k] != now[k]]
        if changed:
            raise ValueError(f"the checkpoint comes from a run with other settings: {', '.join(changed)}")
