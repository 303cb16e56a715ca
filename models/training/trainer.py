"""The training loop: one network, one or more styles, checkpoints that go on exactly where they stopped."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from models.engines.capabilities import native_precision
from models.network import Style, StyleNetwork
from models.training.content import central_crops, random_crops, split
from models.training.objective import Objective, Stylized, Weights
from models.training.pairs import MARGIN_PX, ClipPair, Motion, Pairs, clip_crops, moved_pairs
from models.training.schedule import Schedule, one_cycle

FIELDS = ("scale", "shift", "weight", "bias")
CHANGEABLE = frozenset({"compile", "validate_every", "validation_crops", "patience", "minutes", "plateau"})
GAIN = 0.01
"""Share by which validation must have fallen for the run to count as still improving."""


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How long and on what to train.

    Attributes:
        steps: optimiser steps in all, shared by the styles in turn.
        minutes: of the clock in all, after which the run is over even where steps are left; None for no limit.
        batch: pairs of frames a step.
        crop_px: side of a crop.
        learning_rate: the highest of the one-cycle schedule.
        network_rate: the network learns at this share of the rate of the styles' vectors.
        vectors_first: share of the steps in which the vectors alone learn.
        clip_share: share of the steps that train on real clips, where there are any.
        validate_every: steps between two validations.
        validation_crops: at most this many held-out pictures are used.
        overfit: a validation loss above the best by this share counts as worse.
        patience: worse validations in a row that stop the run.
        plateau: validations in a row without improvement after which the run is brought to its end; 0 for never.
        seed: of the crops and of the first weights.
        compile: let ``torch.compile`` fuse network and losses.
    """

    steps: int = 2000
    minutes: float | None = None
    batch: int = 2
    crop_px: int = 256
    learning_rate: float = 3e-3
    network_rate: float = 1.0
    vectors_first: float = 0.0
    clip_share: float = 0.3
    validate_every: int = 100
    validation_crops: int = 16
    overfit: float = 0.02
    patience: int = 5
    plateau: int = 0
    seed: int = 0
    compile: bool = True

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "validate_every", "validation_crops", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.crop_px < 64 or self.crop_px % StyleNetwork.MULTIPLE:
            raise ValueError(f"crop_px must be a multiple of {StyleNetwork.MULTIPLE}, at least 64, not {self.crop_px}")
        for name in ("network_rate", "vectors_first", "clip_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, not {getattr(self, name)}")
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise ValueError(f"minutes must be above 0, not {self.minutes}")
        if self.plateau < 0:
            raise ValueError(f"plateau must be 0 or more, not {self.plateau}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be at least 0 and below 2**63, not {self.seed}")


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What one step did.

    Attributes:
        step: counted from 1.
        losses: the weighted terms of the step, by name; none where an interrupted validation is only made again.
        validation: the weighted terms on the held-out pictures, by name, mean over the styles; None at most steps.
        best: True where this validation is the lowest so far.
        overfitting: True at the step at which the run stops because validation has grown worse.
        progress: of the whole run, in [0, 1].
    """

    step: int
    losses: Mapping[str, float]
    validation: Mapping[str, float] | None = None
    best: bool = False
    overfitting: bool = False
    progress: float = 0.0


class DivergedError(ArithmeticError):
    """Training has run away: the losses are no longer finite numbers."""


class StyleBank(nn.Module):
    """The trainable vectors of some styles.

    Args:
        styles: where each begins.
    """

    def __init__(self, styles: Sequence[Style]) -> None:
        super().__init__()
        self.scale = nn.ParameterList(s.scale.clone() for s in styles)
        self.shift = nn.ParameterList(s.shift.clone() for s in styles)
        self.weight = nn.ParameterList(s.weight.clone() for s in styles)
        self.bias = nn.ParameterList(s.bias.clone() for s in styles)

    def style(self, index: int) -> Style:
        """The style at ``index``, differentiable."""
        return Style(*(getattr(self, field)[index] for field in FIELDS))


class Trainer:
    """Train one network on several paintings at once, one painting a step, in turn.

    Args:
        network: to train, in place.
        styles: where each style begins; one for each painting.
        paintings: ``(K, 3, H, W)`` float32 in [0, 1] each, at the size at which they are to be seen; K is 1, or the
            number of pictures whose look is averaged.
        content: ``(3, H, W)`` uint8 pictures.
        objective: what to minimise.
        config: how long and on what.
        device: where to train.
        weights: how much each loss counts, for each painting; the defaults where not given.
        clips: pairs of consecutive frames of real clips, beside the pictures.
        motion: how the pictures are moved.

    Raises:
        ValueError: fewer than two content pictures, or as many styles as paintings are not given.
    """

    def __init__(
        self,
        network: StyleNetwork,
        styles: Sequence[Style],
        paintings: Sequence[Tensor],
        content: Sequence[Tensor],
        objective: Objective,
        config: TrainingConfig,
        device: torch.device,
        *,
        weights: Sequence[Weights] | None = None,
        clips: Sequence[ClipPair] = (),
        motion: Motion | None = None,
    ) -> None:
        weights = weights or [Weights()] * len(paintings)
        if not len(styles) == len(paintings) == len(weights):
            raise ValueError(f"{len(styles)} styles and {len(weights)} weights for {len(paintings)} paintings")
        self.config = config
        self.device = device
        self._is_mixed = native_precision(device) == "bf16"  # elsewhere bf16 is slower, and fp16 would overflow
        self.network = network.to(device).to(memory_format=torch.channels_last)
        self.bank = StyleBank(styles).to(device)
        self.objective = objective
        self.step = 0
        self.best_loss = math.inf
        self.best: Mapping[str, float] = {}
        self.worse = 0
        self.validated = 0
        self.reference, self.stale = math.inf, 0
        self.schedule = Schedule(config.steps, None if config.minutes is None else 60 * config.minutes)
        self._generator = torch.Generator().manual_seed(config.seed)
        train, held = split(content, self._generator)
        self._settled = self._generator.get_state()
        self._train = [picture.to(device) for picture in train]
        self._clips = list(clips)
        self._motion = motion or Motion()
        self.validation = self._moved(central_crops(held[: config.validation_crops], self._source_px), config.seed)
        self._targets = [objective.targets(p.to(device), w) for p, w in zip(paintings, weights, strict=True)]
        groups = [{"params": list(part.parameters())} for part in (self.network, self.bank)]
        self._optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
        self._terms = (
            torch.compile(self._stylize_and_compare, dynamic=False) if config.compile else self._stylize_and_compare
        )

    def run(self) -> Iterator[TrainingReport]:
        """Train to the end, a report a step; the caller may stop at any of them.

        A validation counts once it was accepted, which happens at the latest when the caller asks for the next report.
        One that did not come to that is made again, with a report that has no losses of a step.

        Raises:
            DivergedError: the losses are no longer numbers.
        """
        if self._due() and self.validated != self.step:
            yield from self._judged({})
        self.schedule.start()
        while not self.schedule.is_over and not self.overfitting:
            losses = self._train_step()
            if self._due():
                yield from self._judged(losses)
            else:
                yield TrainingReport(self.step, losses, progress=self.schedule.progress)

    @property
    def overfitting(self) -> bool:
        """Validation has grown worse for so long that the run is over."""
        return self.worse >= self.config.patience

    @property
    def ended(self) -> Literal["steps", "minutes", "plateau", "worse"]:
        """Why the run is over, once it is: nothing left, validation stopped to improve, or grew worse."""
        if self.overfitting:
            return "worse"
        if self.schedule.is_finishing:
            return "plateau"
        return "steps" if self.step >= self.config.steps else "minutes"

    def accept(self, report: TrainingReport) -> None:
        """Count the validation of ``report``, once; call it when the weights of a best one are safe."""
        if report.validation is None or report.step == self.validated:
            return
        loss = sum(report.validation.values())
        self.worse = self._worse(loss)
        if report.best:
            self.best, self.best_loss = report.validation, loss
        self._look_for_plateau(loss)
        self.validated = report.step

    def _look_for_plateau(self, loss: float) -> None:
        """Bring the end forward where validation has stopped to fall; not while the vectors alone learn."""
        improves = loss < self.reference * (1 - GAIN) or self.schedule.progress < self.config.vectors_first
        self.reference = min(loss, self.reference) if improves else self.reference
        self.stale = 0 if improves else self.stale + 1
        if 0 < self.config.plateau <= self.stale:
            self.schedule.finish(self.step)

    def forget_best(self) -> None:
        """Let the next validation be the best so far, that of the present step included."""
        self.best, self.best_loss, self.worse, self.validated = {}, math.inf, 0, 0
        self.reference, self.stale = math.inf, 0

    def _due(self) -> bool:
        return self.step % self.config.validate_every == 0 or self.schedule.is_over

    def _judged(self, losses: Mapping[str, float]) -> Iterator[TrainingReport]:
        validation = self.validate()
        total = sum(validation.values())
        if not math.isfinite(total):
            raise DivergedError(f"at step {self.step} the losses are no longer numbers: {validation}")
        overfitting = self._worse(total) >= self.config.patience
        report = TrainingReport(
            self.step, losses, validation, total < self.best_loss, overfitting, self.schedule.progress
        )
        yield report
        self.accept(report)

    @property
    def _source_px(self) -> int:
        return self.config.crop_px + 2 * MARGIN_PX

    def _train_step(self) -> dict[str, float]:
        index = self.step % len(self._targets)
        pairs = self._pairs()
        rate = self.config.learning_rate * one_cycle(self.schedule.progress)
        network, bank = self._optimizer.param_groups
        network["lr"] = rate * self.config.network_rate if self.schedule.progress >= self.config.vectors_first else 0.0
        bank["lr"] = rate
        terms = self._terms(pairs.tensors(), self.bank.style(index), self._targets[index])
        self._optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self.step += 1
        self.schedule.advance(self.step)
        self._settled = self._generator.get_state()
        return {name: float(value.detach()) for name, value in terms.items()}

    def _pairs(self) -> Pairs:
        config = self.config
        if self._clips and float(torch.rand((), generator=self._generator)) < config.clip_share:
            pairs = clip_crops(self._clips, config.batch, config.crop_px, self._generator)
            return Pairs(*(tensor.to(self.device) for tensor in pairs.tensors()))
        crops = random_crops(self._train, config.batch, self._source_px, self._generator)
        return self._moved(crops, int(torch.randint(2**31, (), generator=self._generator)))

    def _moved(self, crops: Tensor, seed: int) -> Pairs:
        """Crops in motion, the next of them passing over each; random numbers are drawn on the device."""
        generator = torch.Generator(self.device).manual_seed(seed)
        crops = crops.to(self.device)
        return moved_pairs(crops, crops.roll(1, 0), generator, self._motion)

    def _stylize_and_compare(
        self, pairs: tuple[Tensor, ...], style: Style, targets: Sequence[Tensor]
    ) -> dict[str, Tensor]:
        frames = Pairs(*pairs)
        both = torch.cat((frames.first, frames.second)).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._is_mixed):
            painting, features = self.network.with_features(both, style)
            stylized = Stylized(*painting.float().chunk(2), *features.chunk(2))
            return self.objective.terms(frames, stylized, targets)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """The weighted terms on the held-out pictures, mean over the styles."""
        sums: dict[str, float] = {}
        for index, targets in enumerate(self._targets):
            for chunk in self.validation.split(self.config.batch):
                terms = self._stylize_and_compare(chunk.tensors(), self.bank.style(index), targets)
                share = len(chunk) / len(self.validation) / len(self._targets)
                for name, value in terms.items():
                    sums[name] = sums.get(name, 0.0) + share * float(value)
        return sums

    def _worse(self, loss: float) -> int:
        """How many validations in a row have been worse, with one of ``loss``."""
        return self.worse + 1 if loss > self.best_loss * (1 + self.config.overfit) else 0

    @torch.no_grad()
    def preview(self, count: int = 4) -> list[Tensor]:
        """Held-out pictures and their paintings: rows of ``(count, 3, H, W)`` float32 in [0, 1], pictures first."""
        pictures = self.validation.clean_first[:count]
        rows = [pictures]
        for index in range(len(self._targets)):
            stylized, _ = self.network(pictures, self.bank.style(index))
            rows.append(stylized.float())
        return rows

    def styles(self) -> list[Style]:
        """The styles as they are now, detached, on the CPU, float32."""
        indices = range(len(self._targets))
        return [Style(*(t.detach().float().cpu().clone() for t in self.bank.style(i).tensors())) for i in indices]

    def state(self) -> dict[str, Any]:
        """All that a run needs to go on; only tensors and plain values, so that it loads without pickle."""
        return {
            "config": asdict(self.config),
            "step": self.step,
            "best_loss": self.best_loss,
            "best": dict(self.best),
            "validated": self.validated,
            "worse": self.worse,
            "reference": self.reference,
            "stale": self.stale,
            "schedule": self.schedule.state(),
            "network": self.network.state_dict(),
            "bank": self.bank.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "generator": self._settled,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned; what states of earlier versions lack is as it was by default.

        Raises:
            ValueError: the state is of a run with other settings.
        """
        was, now = asdict(TrainingConfig()) | state["config"], asdict(self.config)
        changed = [f"{k} {was[k]} -> {now[k]}" for k in now if k not in CHANGEABLE and was[k] != now[k]]
        if changed:
            raise ValueError(f"the checkpoint is of a run with other settings: {', '.join(changed)}")
        self.network.load_state_dict(state["network"])
        self.bank.load_state_dict(state["bank"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._settled = state["generator"].cpu()
        self._generator.set_state(self._settled)
        self.step, self.best_loss, self.worse = state["step"], state["best_loss"], state["worse"]
        self.best, self.validated = state.get("best", {}), state.get("validated", 0)
        self.reference, self.stale = state.get("reference", math.inf), state.get("stale", 0)
        self.schedule.load_state(state.get("schedule", {}), self.step)
