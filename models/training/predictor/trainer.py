"""The training loop of the style predictor: in each step some pictures, each with pairs of frames of its own."""

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.network import Style
from models.predictor.predictor import PAINT_RANGE, STILLNESS_RANGE, StylePredictor
from models.training.data.pair_source import PairSource
from models.training.data.pairs import ClipPair, FramePairs
from models.training.losses.objective import LossWeights, Objective
from models.training.optimizer_state import below
from models.training.pair_stylizer import PairStylizer
from models.training.predictor.config import PredictorTrainingConfig
from models.training.predictor.pictures import PictureSource, central_picture
from models.training.report import DivergedError, TrainingReport, add_losses
from models.training.run_state import RunState

LARGEST_GRADIENT = 3.0
"""Norm of a gradient, as a multiple of the running mean of norms, to which it is shortened: a picture without any
texture has a relative loss without bounds."""

MOST_SKIPPED = 20
"""Steps in a row that a gradient without bounds may spoil; black frames have one now and then."""


class PredictorTrainer:
    """Trains a style predictor, and averages its weights over the steps.

    The weights of the losses are multiplied by two dials, which are drawn at random for each picture and given to the
    predictor: Babaeizadeh & Ghiasi, "Adjustable Real-time Style Transfer", ICLR 2020, arXiv:1811.08560.

    Args:
        predictor: initial weights, from `StylePredictor.start_from`.
        paintings: ``(3, H, W)`` uint8 images to learn from.
        held_out: paintings of other painters, to validate on: those that need not be enlarged, if there are any.
        content: ``(3, H, W)`` uint8 images.
        objective: what to minimize.
        config: how long to train, and on what.
        device: where to train.
        weights: of the losses, where both dials are 1.
        clips: pairs of consecutive frames of real clips, used beside ``content``.
        cache: folder of compiled code that only this user can write to; None if ``config`` compiles nothing.

    Attributes:
        best: weighted validation losses of the best averaged weights so far, by name; empty before the first.
        schedule: progress and time.
        average: the averaged weights, which are validated and shipped.

    Raises:
        ValueError: fewer than two content images, no picture to learn from or to validate on, or ``cache`` is missing.
    """

    def __init__(
        self,
        predictor: StylePredictor,
        paintings: Sequence[Tensor],
        held_out: Sequence[Tensor],
        content: Sequence[Tensor],
        objective: Objective,
        config: PredictorTrainingConfig,
        device: torch.device,
        *,
        weights: LossWeights | None = None,
        clips: Sequence[ClipPair] = (),
        cache: Path | None = None,
    ) -> None:
        if not held_out:
            raise ValueError("there is no held-out picture to validate on")
        self.config, self.device, self.objective = config, device, objective
        self.predictor = predictor.to(device).train()
        self.best: Mapping[str, float] = {}
        self._weights = weights or LossWeights()
        self._stylize = PairStylizer(self.predictor.network, device, is_compiled=config.compile, cache=cache)
        self._generator = torch.Generator().manual_seed(config.seed)
        self._pairs = PairSource(content, clips, config, generator=self._generator, device=device)
        self._pictures = PictureSource(
            [painting.to(device) for painting in paintings],
            side=config.picture_px,
            drawings=config.drawings,
            drawing_share=config.drawing_share,
            recolor_share=config.recolor_share,
            generator=self._generator,
        )
        whole = [picture for picture in held_out if min(picture.shape[1:]) >= config.picture_px] or held_out
        count = min(len(whole), config.validation_pictures)
        chosen = [whole[index * len(whole) // count] for index in range(count)]  # of all folders
        self._held_out = [central_picture(picture, config.picture_px).to(device) for picture in chosen]
        self.validation = self._pairs.validation(len(chosen), config.seed)
        if predictor.is_new:
            self._learn_inputs()
            predictor.learn_colors(self.validation.clean_first)
        self.average = copy.deepcopy(self.predictor).eval().requires_grad_(False)
        self._gradient_norm = 0.0
        self._skipped = 0
        trunk = list(self.predictor.trunk)
        known = {id(parameter) for parameter in trunk}
        learned = [p for p in self.predictor.parameters() if p.requires_grad and id(p) not in known]
        self._optimizer = torch.optim.Adam([{"params": learned}, {"params": trunk}], betas=(0.9, 0.99))
        self._run_state = RunState(config, self._optimizer, self._generator)
        self.schedule = self._run_state.schedule

    def _learn_inputs(self) -> None:
        pictures = (self._pictures.draw().to(self.device) for _ in range(self.config.described))
        self.predictor.learn_inputs(torch.stack([self.predictor.describe(picture) for picture in pictures]))

    @property
    def step(self) -> int:
        """Number of steps so far, earlier runs included."""
        return self._run_state.step

    @property
    def best_loss(self) -> float:
        """Sum of the best validation losses; infinite before the first validation."""
        return sum(self.best.values()) if self.best else math.inf

    @property
    def ended(self) -> str:
        """Why the run is over: ``steps`` or ``minutes`` are used up."""
        return self._run_state.used_up

    def run(self) -> Iterator[TrainingReport]:
        """Train to the end, one report per step; the caller may stop at any of them.

        Raises:
            DivergedError: the losses are no longer finite numbers.
        """
        self.schedule.start()
        while not self.schedule.is_over:
            losses = self._train_step()
            if self._skipped > MOST_SKIPPED:
                raise DivergedError(f"at step {self.step} the losses are no longer numbers: {losses}")
            if not self._run_state.is_validation_due:
                yield TrainingReport(self.step, losses, progress=self.schedule.progress)
                continue
            validation = self.validate()
            is_best = sum(validation.values()) < self.best_loss
            report = TrainingReport(self.step, losses, validation, is_best, progress=self.schedule.progress)
            yield report
            self.accept(report)

    def accept(self, report: TrainingReport) -> None:
        """Count the validation of ``report``; call it when the weights of a best one are saved."""
        if report.validation is not None and report.best:
            self.best = report.validation

    def forget_best(self) -> None:
        """Make the next validation the best so far."""
        self.best = {}

    def _train_step(self) -> dict[str, float]:
        config = self.config
        self._run_state.set_rates(1.0, config.trunk_rate)
        self._optimizer.zero_grad(set_to_none=True)
        sums: dict[str, float] = {}
        for _ in range(config.styles):
            picture, dials = self._pictures.draw().to(self.device), self._draw_dials()
            targets = self.objective.targets(picture, self._weights.turned(*torch.exp2(dials).tolist()))
            style = self.predictor(self.predictor.describe(picture), dials.to(self.device))
            losses = self._losses(self._pairs.draw(), style, targets, is_training=True)
            (torch.stack(list(losses.values())).sum() / config.styles).backward()  # type: ignore[no-untyped-call]
            add_losses(sums, losses, 1 / config.styles)
        if self._limit_gradient():
            self._optimizer.step()
            self._average()
            self._skipped = 0
        else:
            self._skipped += 1
        self._run_state.complete_step()
        return sums

    def _draw_dials(self) -> Tensor:
        """Return log2 of paint and stillness ``(2,)``, most near 0."""
        config = self.config
        spread = torch.tensor((config.paint_spread, config.stillness_spread))
        least, most = (
            torch.tensor([math.log2(limit[end]) for limit in (PAINT_RANGE, STILLNESS_RANGE)]) for end in (0, 1)
        )
        return (torch.randn(2, generator=self._generator) * spread).clamp(least, most)

    def _losses(
        self, pairs: FramePairs, style: Style, targets: Sequence[Tensor], *, is_training: bool
    ) -> dict[str, Tensor]:
        return self.objective.terms(pairs, self._stylize(pairs, style, is_training=is_training), targets)

    def _limit_gradient(self) -> bool:
        """Shorten a large gradient; return whether it is finite."""
        parameters = [p for group in self._optimizer.param_groups for p in group["params"]]
        usual = self._gradient_norm
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, LARGEST_GRADIENT * usual if usual else math.inf))
        if not math.isfinite(norm):
            return False
        seen = min(norm, LARGEST_GRADIENT * usual) if usual else norm
        self._gradient_norm = 0.98 * usual + 0.02 * seen if usual else seen
        return True

    @torch.no_grad()
    def _average(self) -> None:
        """Move the averaged weights towards the current ones; the first ones count less, as they are worse."""
        kept = min(self.config.averaging, (1 + self.step) / (10 + self.step))
        for average, current in zip(self.average.parameters(), self.predictor.parameters(), strict=True):
            average.lerp_(current, 1 - kept)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Return the weighted losses of the averaged weights on held-out pictures and photos, both dials at 1."""
        sums: dict[str, float] = {}
        batches = self.validation.split(1)
        for index, picture in enumerate(self._held_out):
            targets = self.objective.targets(picture, self._weights)
            style = self.average(self.average.describe(picture), torch.zeros(2, device=self.device))
            losses = self._losses(batches[index % len(batches)], style, targets, is_training=False)
            add_losses(sums, losses, 1 / len(self._held_out))
        return sums

    @torch.no_grad()
    def preview(self, count: int = 4) -> list[Tensor]:
        """Return rows of ``(count + 1, 3, H, W)``: photos, then held-out pictures and the photos in their style."""
        images = self.validation.clean_first[:count]
        side = images.shape[-1]
        rows = [torch.cat((torch.ones_like(images[:1]), images))]
        for picture in self._held_out[:6]:
            style = self.average(self.average.describe(picture), torch.zeros(2, device=self.device))
            shown = torch.nn.functional.interpolate(picture, (side, side), mode="bilinear", antialias=True)
            rows.append(torch.cat((shown, self.predictor.network(images, style)[0].float())))
        return rows

    def state(self) -> dict[str, Any]:
        """Return all that a run needs to resume: values that JSON can express, and ``tensors`` by name."""
        tensors = {f"predictor.{name}": tensor for name, tensor in self.predictor.state_dict().items()}
        tensors |= {f"average.{name}": tensor for name, tensor in self.average.state_dict().items()}
        own = {"best": dict(self.best), "gradient_norm": self._gradient_norm}
        return own | self._run_state.state(tensors)

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Resume from a `state`.

        Raises:
            ValueError: the state comes from a run with other settings.
            Exception: anything else, if it is no state of a run with this network.
        """
        self._run_state.load_state(state)
        self.predictor.load_state_dict(below("predictor.", state["tensors"]))
        self.average.load_state_dict(below("average.", state["tensors"]))
        self.best = dict(state["best"])
        self._gradient_norm = float(state["gradient_norm"])
