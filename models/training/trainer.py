"""The training loop: one network, one or more styles, checkpoints that resume exactly where they stopped."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from models.engines.cache import use_compiler_cache
from models.engines.capabilities import native_precision
from models.network import Style, StyleNetwork
from models.training.adversary import Adversary
from models.training.config import TrainingConfig
from models.training.objective import LossWeights, Objective, StylizedPairs
from models.training.optimizer_state import below, check_settings, load_optimizer, optimizer_tensors
from models.training.pair_source import PairSource
from models.training.pairs import ClipPair, FramePairs
from models.training.schedule import Schedule, one_cycle
from models.training.synthetic_motion import MotionConfig
from models.training.validation import ValidationHistory

CHANGEABLE = frozenset({"compile", "validate_every", "validation_crops", "patience", "minutes", "plateau"})
"""Settings that a resumed run may change."""


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


RunNetwork = Callable[..., tuple[Tensor, Tensor]]
"""Frames and the tensors of a style in; stylized frames and features out."""


class DivergedError(ArithmeticError):
    """The losses are no longer finite numbers."""


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
        step: number of steps so far, earlier runs included.
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
        if config.compile:
            if cache is None:
                raise ValueError("compiled code needs a cache folder that only this user can write to")
            use_compiler_cache(cache)  # before the optimizer, which imports torch's compiler
        self.config = config
        self.device = device
        self.network = network
        self.bank = StyleBank(styles).to(device)
        self.objective = objective
        self.step = 0
        self.history = ValidationHistory()
        self.schedule = Schedule(config.steps, None if config.minutes is None else 60 * config.minutes)
        self._uses_autocast = native_precision(device) == "bf16"  # elsewhere bf16 is slower, and fp16 would overflow
        self._generator = torch.Generator().manual_seed(config.seed)
        self._pairs = PairSource(content, clips, config, generator=self._generator, device=device, motion=motion)
        self._generator_state = self._generator.get_state()
        self.adversary = self._make_adversary(style_images) if config.adversarial else None
        self.validation = self._pairs.validation(config.validation_crops, config.seed)
        self._targets = [objective.targets(i.to(device), w) for i, w in zip(style_images, weights, strict=True)]
        groups = [{"params": list(module.parameters())} for module in (self.bank.convolutions, self.bank.vectors)]
        self._optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
        self._stylize = torch.compile(self._run_network, dynamic=False) if config.compile else self._run_network

    def run(self) -> Iterator[TrainingReport]:
        """Train to the end, one report per step; the caller may stop at any of them.

        A validation counts once it is accepted: by `accept`, or when the caller asks for the next report. One that was
        not accepted is repeated by the next run, in a report without losses of a step.

        Raises:
            DivergedError: the losses are no longer finite numbers.
        """
        if self._is_validation_due() and self.history.validated != self.step:
            yield from self._validated({})
        self.schedule.start()
        while not self.schedule.is_over and not self.overfitting:
            losses = self._train_step()
            if self._is_validation_due():
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
        return "steps" if self.step >= self.config.steps else "minutes"

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

    def _is_validation_due(self) -> bool:
        return self.step % self.config.validate_every == 0 or self.schedule.is_over

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
        self._set_rates()
        pairs = self._pairs.draw()
        index = self.step % len(self._targets)
        stylized = self._stylized(pairs, index, self._stylize)
        losses = self.objective.terms(pairs, stylized, self._targets[index])
        if self.adversary is not None:
            losses["adversarial"] = self.config.adversarial * self.adversary.loss(stylized.first, index)
        self._optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        if self.adversary is not None:
            self.adversary.learn(stylized.first, index)
        self.step += 1
        self.schedule.advance(self.step)
        self._generator_state = self._generator.get_state()
        return {name: float(value.detach()) for name, value in losses.items()}

    def _set_rates(self) -> None:
        rate = self.config.learning_rate * one_cycle(self.schedule.progress)
        convolutions, vectors = self._optimizer.param_groups
        convolutions["lr"] = (
            rate * self.config.network_rate if self.schedule.progress >= self.config.vectors_first else 0.0
        )
        vectors["lr"] = rate

    def _stylized(self, pairs: FramePairs, index: int, stylize: RunNetwork) -> StylizedPairs:
        """Stylize the pairs in the style at ``index``; the losses, outside of it, are faster if not compiled."""
        both = torch.cat((pairs.first, pairs.second)).contiguous(memory_format=torch.channels_last)
        stylized, features = stylize(both, *self.bank.style(index).tensors())
        return StylizedPairs(*stylized.chunk(2), *features.chunk(2))

    def _make_adversary(self, style_images: Sequence[Tensor]) -> Adversary:
        seed, autocast = self.config.seed, self._uses_autocast
        return Adversary(style_images, self.device, self._generator, seed=seed, uses_autocast=autocast)

    def _run_network(self, frames: Tensor, *style: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._uses_autocast):
            stylized, features = self.network.with_features(frames, Style.of(style))
            return stylized.float(), features

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Return the weighted losses on the held-out images, averaged over the styles."""
        sums: dict[str, float] = {}
        for index in range(len(self._targets)):
            for batch in self.validation.split(self.config.batch):
                stylized = self._stylized(batch, index, self._run_network)
                losses = self.objective.terms(batch, stylized, self._targets[index])
                share = len(batch) / len(self.validation) / len(self._targets)
                for name, value in losses.items():
                    sums[name] = sums.get(name, 0.0) + share * float(value)
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
        """Return all that a run needs to resume: values that JSON can express, and ``tensors`` by name.

        The learning rates are not part of it: they follow from the step.
        """
        tensors = {f"bank.{name}": tensor for name, tensor in self.bank.state_dict().items()}
        tensors |= optimizer_tensors(self._optimizer) | ({} if self.adversary is None else self.adversary.tensors())
        return self.history.state() | {
            "config": asdict(self.config),
            "step": self.step,
            "schedule": self.schedule.state(),
            "tensors": tensors | {"generator": self._generator_state},
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Resume from a `state`.

        Raises:
            ValueError: the state comes from a run with other settings, or the optimizer's part does not fit.
            Exception: anything else, if it is no state of a run with this network.
        """
        check_settings(asdict(TrainingConfig()) | state["config"], asdict(self.config), CHANGEABLE)
        tensors = state["tensors"]
        self.bank.load_state_dict(below("bank.", tensors))
        load_optimizer(self._optimizer, tensors)
        if self.adversary is not None:
            self.adversary.load_tensors(tensors)
        self._generator_state = tensors["generator"].cpu()
        self._generator.set_state(self._generator_state)
        self.step = state["step"]
        self.history = ValidationHistory.from_state(state)
        self.schedule.load_state(state["schedule"], self.step)
