"""What can be asked of a training: which paintings, practised on what, for how long, into which file."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.registry import BUNDLED

if TYPE_CHECKING:
    from models.training.objective import Weights
    from models.training.trainer import TrainingConfig

SMALLEST_PAINTING_PX, LARGEST_PAINTING_PX = 64, 1600
STEPS, MINUTES = 650, 9.0
"""For each painting, where neither is asked for."""

UNLIMITED_STEPS = 10**6
SHORTEST_COMPILED_MINUTES = 2
"""Below this the compiler would use up a good part of the time."""

NETWORK_RATE, VECTORS_FIRST, PLATEAU = 0.3, 0.2, 4
"""From a trained network on: its share of the rate, the share of steps that leave it as it is; patience."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """What to learn, from what, into which file.

    Attributes:
        paintings: pictures to paint like, or clips whose look is averaged, by the name of their style.
        content: photos and clips to practise on, or folders of them; none means the sample clips.
        output: the weight file.
        loss_weights: files of loss networks; none means torchvision's VGG-19, downloaded once.
        start: weight file whose network and styles are the beginning; None begins at random.
        cards: JSON file of what is known of the paintings, by style name: painting, painter, year, status, licence,
            painting_px, weights and figures, as in `StyleMetadata`.
        licence: of the weights.
        painting_px: short side at which the paintings are seen where ``stroke_size`` is 1.
        stroke_size: of the strokes; 2 shows the paintings twice as large.
        steps: optimiser steps, shared by the paintings in turn; None for as many as ``minutes`` allow.
        minutes: of training, compiling and reading the content included, downloads not; None for as long as ``steps``
            take. With neither, both have a default that grows with the number of paintings.
        batch: pairs of frames a step.
        crop_px: side of the crops.
        style_weight: on likeness to the painting.
        content_weight: on likeness to the photo.
        variation_weight: on smoothness.
        output_weight: on the painting's stillness from frame to frame.
        feature_weight: on the stillness of the network's own features.
        stillness: times which the two weights on stillness count.
        learning_rate: the highest of the schedule.
        network_rate: the network learns at this share of the rate of the styles' vectors.
        vectors_first: share of the way in which the vectors alone learn.
        plateau: validations without improvement that bring the end forward; 0 for never. Of this and the two above,
            None means 1, 0 and 4 from scratch, 0.3, 0.2 and 4 from ``start``, and what was before with ``resume``.
        validate_every: steps between validations, checkpoints and previews.
        validation_crops: pictures to validate on, at most.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``, ``mps``.
        compile: let ``torch.compile`` speed the steps up, where it works and time allows.
        resume: go on from the checkpoint beside the output.
        overwrite: replace an existing output.
        seed: of crops and first weights.
    """

    paintings: Mapping[str, Path]
    output: Path
    content: Sequence[Path] = ()
    loss_weights: Sequence[Path] = ()
    start: Path | None = BUNDLED
    cards: Path | None = None
    licence: str = "not stated"
    painting_px: int = 400
    stroke_size: float = 1.0
    steps: int | None = None
    minutes: float | None = None
    batch: int = 2
    crop_px: int = 256
    style_weight: float = 14.0
    content_weight: float = 0.7
    variation_weight: float = 2.0
    output_weight: float = 250.0
    feature_weight: float = 0.5
    stillness: float = 1.0
    learning_rate: float = 3e-3
    network_rate: float | None = None
    vectors_first: float | None = None
    plateau: int | None = None
    validate_every: int = 50
    validation_crops: int = 6
    device: str = "auto"
    compile: bool = True
    resume: bool = False
    overwrite: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.paintings:
            raise ValueError("at least one painting is needed")
        for name in self.paintings:
            if not name or set(name) & set("#/\\"):
                raise ValueError(f"{name!r} cannot be the name of a style; write NAME=FILE, without #, / and \\")
        if self.output.suffix != ".safetensors":
            raise ValueError(f"{self.output}: a weight file ends in .safetensors")
        if self.painting_px < SMALLEST_PAINTING_PX:
            raise ValueError(f"painting_px must be at least {SMALLEST_PAINTING_PX}, not {self.painting_px}")
        if not (math.isfinite(self.stroke_size) and self.stroke_size > 0):
            raise ValueError(f"stroke size must be above 0, not {self.stroke_size}")
        if not SMALLEST_PAINTING_PX <= self.seen_px <= LARGEST_PAINTING_PX:
            least, most = (px / self.painting_px for px in (SMALLEST_PAINTING_PX, LARGEST_PAINTING_PX))
            raise ValueError(f"stroke size must be from {least:g} to {most:g}, not {self.stroke_size:g}")

    @property
    def seen_px(self) -> int:
        """Short side at which the paintings are shown to the loss networks."""
        return round(self.painting_px * self.stroke_size)

    def settings(self) -> "TrainingConfig":
        """How long and on what the trainer is to work.

        Raises:
            ValueError: a number is out of its range.
        """
        from models.training.trainer import TrainingConfig

        steps, minutes = self._length()
        begins = self.start is not None
        return TrainingConfig(
            steps=steps,
            minutes=minutes,
            batch=self.batch,
            crop_px=self.crop_px,
            learning_rate=self.learning_rate,
            network_rate=_either(self.network_rate, NETWORK_RATE if begins else 1.0),
            vectors_first=_either(self.vectors_first, VECTORS_FIRST if begins else 0.0),
            plateau=int(_either(self.plateau, PLATEAU)),
            validate_every=self.validate_every,
            validation_crops=self.validation_crops,
            seed=self.seed,
            compile=self.compile and (minutes is None or minutes >= SHORTEST_COMPILED_MINUTES),
        )

    def _length(self) -> tuple[int, float | None]:
        if self.steps is None and self.minutes is None:
            return STEPS * len(self.paintings), MINUTES * len(self.paintings)
        return UNLIMITED_STEPS if self.steps is None else self.steps, self.minutes

    def following(self, before: Mapping[str, Any]) -> "TrainConfig":
        """This, with what was left open taken from the settings of the run that goes on."""
        from models.training.trainer import TrainingConfig

        known = asdict(TrainingConfig()) | dict(before)
        left_open = ("steps", "minutes", "network_rate", "vectors_first", "plateau")
        return replace(self, **{name: known[name] for name in left_open if getattr(self, name) is None})

    def weights(self) -> "Weights":
        """How much each loss counts.

        Raises:
            ValueError: one of them is negative.
        """
        from models.training.objective import Weights

        return Weights(
            self.style_weight,
            self.content_weight,
            self.variation_weight,
            self.output_weight * self.stillness,
            self.feature_weight * self.stillness,
        )

    @property
    def checkpoint(self) -> Path:
        """Where the run keeps what it needs to go on."""
        return self.output.with_suffix(".checkpoint")

    @property
    def preview(self) -> Path:
        """Held-out photos and their paintings, renewed at each validation."""
        return self.output.with_suffix(".preview.png")


def _either(value: float | None, default: float) -> float:
    return default if value is None else value
