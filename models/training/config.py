"""Settings of a training run."""

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from models.network import StyleNetwork


def check_run(minutes: float | None, crop_px: int, seed: int) -> None:
    """Check settings that every training has.

    Raises:
        ValueError: one is out of range.
    """
    if minutes is not None and not 0 < minutes < math.inf:
        raise ValueError(f"minutes must be above 0, not {minutes}")
    if crop_px < 64 or crop_px % StyleNetwork.MULTIPLE:
        raise ValueError(f"crop_px must be a multiple of {StyleNetwork.MULTIPLE}, at least 64, not {crop_px}")
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed must be at least 0 and below 2**63, not {seed}")


def check_ranges(config: object, *, counts: Iterable[str], shares: Iterable[str], amounts: Iterable[str]) -> None:
    """Check fields of ``config`` by name: counts from 1, shares from 0 to 1, finite amounts from 0.

    Raises:
        ValueError: one is out of range.
    """
    for names, least, most, words in (
        (counts, 1, math.inf, "at least 1"),
        (shares, 0, 1, "from 0 to 1"),
        (amounts, 0, sys.float_info.max, "0 or more"),
    ):
        for name in names:
            if not least <= getattr(config, name) <= most:
                raise ValueError(f"{name} must be {words}, not {getattr(config, name)}")


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How long to train, and on what.

    Attributes:
        steps: optimizer steps in all; the styles take turns.
        minutes: time limit in all, after which the run ends even if steps are left; None for no limit.
        batch: pairs of frames per step.
        crop_px: side of a crop, in pixels.
        learning_rate: peak of the one-cycle schedule.
        network_rate: learning rate of the network as a share of that of the styles' vectors, 0 to 1.
        vectors_first: share of the steps in which only the vectors are trained, 0 to 1.
        clip_share: share of the steps that train on real clips, 0 to 1; needs clips.
        validate_every: steps between two validations.
        validation_crops: at most this many held-out images are used.
        overfit: a validation loss above the best by this share counts as worse.
        patience: worse validations in a row that stop the run.
        plateau: validations in a row without improvement that end the run early; 0 for never.
        adversarial: weight of the adversarial loss; 0 for none. Validation leaves it out: it is relative to a network
            that learns as well, so its values at two steps cannot be compared.
        seed: of the crops and of the initial weights.
        compile: let ``torch.compile`` fuse the network and the losses.
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
    adversarial: float = 0.0
    seed: int = 0
    compile: bool = True

    def __post_init__(self) -> None:
        check_run(self.minutes, self.crop_px, self.seed)
        check_ranges(
            self,
            counts=("steps", "batch", "validate_every", "validation_crops", "patience"),
            shares=("network_rate", "vectors_first", "clip_share"),
            amounts=("adversarial", "plateau"),
        )
