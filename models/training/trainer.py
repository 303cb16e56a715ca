"""The training loop: one network, one or more styles, checkpoints that resume exactly where they stopped."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from models.network import Style, StyleNetwork
from models.training.config import TrainingConfig
from models.training.data.pair_source import PairSource
from models.training.data.pairs import ClipPair
from models.training.data.synthetic_motion import MotionConfig
from models.training.losses.adversary import Adversary
from models.training.losses.objective import LossWeights, Objective
from models.training.optimizer_state import below
from models.training.pair_stylizer import PairStylizer
from models.training.report import DivergedError, TrainingReport, add_losses
from models.training.run_state import RunState
from models.training.validation import ValidationHistory

VECTORS = tuple(f.name for f in fields(Style) if f.name != "convolutions")
"""What each style has for itself, where several share their convolutions."""


class StyleBank(nn.Module):
    """The trainable parameters of several styles that share their convolutions.

    Args:
        styles: their initial values; the convolutions are those of the first.
    """

    def __init__(self, styles: Sequence[Style]) -> None:
        super().__init__()
        kernels = (kernel.clone(memory_format=torch.channels_last) for kernel in styles[0].convolutions)
        self.convolutions = nn.ParameterList(kernels)
        self.vectors = nn.ModuleDict(
            {name: nn.ParameterList(getattr(style, name).clone() for style in styles) for name in VECTORS}
        )

    def style(self, index: int) -> Style:
        """Return the style at ``index``, differentiable."""
        return Style(tuple(self.convolutions), **{name: self.vectors[name][index] for name in VECTORS})  # type: ignore[index]


class Trainer:
    """Trains one network on one or more styles, which take turns.

    Args:
        network: what to train for.
        styles: initial values, one for each style image; they share the convolutions of the first.
        style_images: ``(K, 3, H, W)`` float32 in [0, 1] each, at the size to compare with; K is 1, or the number of
            images whose style is averaged.
        content: ``(3, H, W)`` uint8 images.
        objective: what to minimize.
        config: how long to train, and on what.
        device: where to train.
        weights: of the losses, for each style; defaults if None.
        clips: pairs of consecutive frames of real clips, used beside ``content``.
        motion: how the images are moved.
        cache: folder of compiled code that only this user can write to; None if ``config`` compiles nothing.

    Attributes:
        history: the validations so far.
        schedule: progress and time.
        validation: pairs of held-out images.
        adversary: discriminators of the styles; None without an adversarial loss.

    Raises:
        ValueError: fewer than two content images, the numbers of styles, style images and weights differ, ``cache``
            is missing, or a style image is too small for an adversary.
    """

    def __init__(
        self,
        network: StyleNetwork,
        styles: Sequence[Style],
        style_images: Sequence[Tensor],
        content: Sequence[Tensor],
        objective: Objective,
        config: TrainingConfig,
        device: torch.device,
        *,
        weights: Sequence[LossWeights] | None = None,
        clips: Sequence[ClipPair] = (),
        motion: MotionConfig | None = None,
        cache: Path | None = None,
    ) -> None:
        weights = weights or [LossWeights()] * len(style_images)
        if not len(styles) == len(style_images) == len(weights):
            raise ValueError(f"{len(styles)} styles and {len(weights)} weights for {len(style_images)} style images")
        self.config = config
        self.network = network
        self.bank = StyleBank(styles).to(device)
        self.objective = objective
        self.history = ValidationHistory()
        self._stylize = PairStylizer(network, device, is_compiled=config.compile, cache=cache)
        generator = torch.Generator().manual_seed(config.seed)
        self._pairs = PairSource(content, clips, config, generator=generator, device=device, motion=motion)
        self.validation = self._pairs.validation(config.validation_crops, config.seed)
        self.adversary: Adversary | None = None
        if config.adversarial:
            autocast = self._stylize.uses_autocast
            self.adversary = Adversary(style_images, device, generator, seed=config.seed, uses_autocast=autocast)
        self._targets = [objective.targets(i.to(device), w) for i, w in zip(style_images, weights, strict=True)]
        groups = [{"params": list(module.parameters())} for module in (self.bank.convolutions, self.bank.vectors)]
        self._optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
        self._run_state = RunState(config, self._optimizer, generator)
        self.schedule = self._run_state.schedule

    @property
    def step(self) -> int:
        """Number of steps so far, earlier runs included."""
        return self._run_state.step

    def run(self) -> Iterator[TrainingReport]:
        """Train to the end, one report per step; the caller may stop at any of them.

        A validation counts once it is accepted: by `accept`, or when the caller asks for the next report. One that was
        not accepted is repeated by the next run, in a report without losses of a step.

        Raises:
            DivergedError: the losses are no longer finite numbers.
        """
        if self._run_state.is_validation_due and self.history.validated != self.step:
            yield from self._validated({})
        self.schedule.start()
        while not self.schedule.is_over and not self.overfitting:
            losses = self._train_step()
            if self._run_state.is_validation_due:
                yield from self._validated(losses)
            else:
                yield TrainingReport(self.step, losses, progress=self.schedule.progress)

    @property
    def overfitting(self) -> bool:
        """Whether the run is over because validation grew worse."""
        return self.history.worse >= self.config.patience

    @property
    def ended(self) -> Literal["steps", "minutes", "plateau", "worse"]:
        """Why the run is over: steps or time are used up, or validation stopped improving or grew worse."""
        if self.overfitting:
            return "worse"
        if self.schedule.ends_early:
            return "plateau"
        return self._run_state.used_up

    def accept(self, report: TrainingReport) -> None:
        """Count the validation of ``report``, once; call it when the weights of a best one are saved."""
        if report.validation is None or report.step == self.history.validated:
            return
        is_vectors_only = self.schedule.progress < self.config.vectors_first
        self.history.add(report.step, report.validation, tolerance=self.config.overfit, is_vectors_only=is_vectors_only)
        if 0 < self.config.plateau <= self.history.stale:
            self.schedule.end_early(self.step)

    def forget_best(self) -> None:
        """Make the next validation the best so far, even that of the current step."""
        self.history = ValidationHistory()

    def _validated(self, losses: Mapping[str, float]) -> Iterator[TrainingReport]:
        validation = self.validate()
        total = sum(validation.values())
        if not math.isfinite(total):
            raise DivergedError(f"at step {self.step} the losses are no longer numbers: {validation}")
        is_best = total < self.history.best_loss
        overfitting = self.history.worse_after(total, self.config.overfit) >= self.config.patience
        report = TrainingReport(self.step, losses, validation, is_best, overfitting, self.schedule.progress)
        yield report
        self.accept(report)

    def _train_step(self) -> dict[str, float]:
        only_vectors = self.schedule.progress < self.config.vectors_first
        self._run_state.set_rates(0.0 if only_vectors else self.config.network_rate, 1.0)
        pairs = self._pairs.draw()
        index = self.step % len(self._targets)
        stylized = self._stylize(pairs, self.bank.style(index), is_training=True)
        losses = self.objective.terms(pairs, stylized, self._targets[index])
        if self.adversary is not None:
            losses["adversarial"] = self.config.adversarial * self.adversary.loss(stylized.first, index)
        self._optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        if self.adversary is not None:
            self.adversary.learn(stylized.first, index)
        self._run_state.complete_step()
        return {name: float(value.detach()) for name, value in losses.items()}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Return the weighted losses on the held-out images, averaged over the styles."""
        sums: dict[str, float] = {}
        for index in range(len(self._targets)):
            for batch in self.validation.split(self.config.batch):
                stylized = self._stylize(batch, self.bank.style(index), is_training=False)
                losses = self.objective.terms(batch, stylized, self._targets[index])
                add_losses(sums, losses, len(batch) / len(self.validation) / len(self._targets))
        return sums

    @torch.no_grad()
    def preview(self, count: int = 4) -> list[Tensor]:
        """Return rows of ``(count, 3, H, W)`` float32 in [0, 1]: held-out images, then each style of them."""
        images = self.validation.clean_first[:count]
        styles = (self.bank.style(index) for index in range(len(self._targets)))
        return [images, *(self.network(images, style)[0].float() for style in styles)]

    def styles(self) -> list[Style]:
        """Return the current styles, detached, on the CPU, float32."""
        styles = (self.bank.style(index) for index in range(len(self._targets)))
        return [Style.of([t.detach().float().cpu().clone() for t in style.tensors()]) for style in styles]

    def state(self) -> dict[str, Any]:
        """Return all that a run needs to resume: values that JSON can express, and ``tensors`` by name."""
        tensors = {f"bank.{name}": tensor for name, tensor in self.bank.state_dict().items()}
        if self.adversary is not None:
            tensors |= self.adversary.tensors()
        return self.history.state() | self._run_state.state(tensors)

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Resume from a `state`.

        Raises:
            ValueError: the state comes from a run with other settings, or the optimizer's part does not fit.
            Exception: anything else, if it is no state of a run with this network.
        """
        self._run_state.load_state(state)
        self.bank.load_state_dict(below("bank.", state["tensors"]))
        if self.adversary is not None:
            self.adversary.load_tensors(state["tensors"])
        self.history = ValidationHistory.from_state(state)
