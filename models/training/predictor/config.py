"""Settings of the training of a style predictor."""

from dataclasses import dataclass

from models.predictor.encoder import SMALLEST_PX
from models.training.config import check_ranges, check_run


@dataclass(frozen=True, slots=True)
class PredictorTrainingConfig:
    """How long to train a predictor, and on what.

    Attributes:
        steps: optimizer steps in all.
        minutes: time limit in all, after which the run ends even if steps are left; None for no limit.
        styles: pictures per step, whose gradients are averaged.
        batch: pairs of frames for each picture.
        crop_px: side of a crop of the content, in pixels.
        picture_px: side of a crop of a picture, in pixels; smaller pictures are not enlarged.
        learning_rate: peak of the one-cycle schedule.
        trunk_rate: learning rate of the shared convolutions as a share of it, 0 to 1.
        clip_share: share of the draws of content that are of real clips, 0 to 1; needs clips.
        drawings: number of pictures drawn by code, beside the given ones; 0 for none.
        drawing_share: share of the pictures that are drawings, 0 to 1.
        recolor_share: share of the pictures that take the colors of another one, 0 to 1.
        described: pictures whose descriptions show what is usual.
        paint_spread: standard deviation of log2 of the paint dial, which is drawn at random.
        stillness_spread: the same of the stillness dial.
        averaging: share of the averaged weights that is kept at each step, 0 to below 1.
        validate_every: steps between two validations.
        validation_pictures: at most this many held-out pictures are used.
        seed: of the crops and of the initial weights.
        compile: let ``torch.compile`` fuse the style network.
    """

    steps: int = 6000
    minutes: float | None = None
    styles: int = 2
    batch: int = 1
    crop_px: int = 256
    picture_px: int = 256
    learning_rate: float = 3e-4
    trunk_rate: float = 0.3
    clip_share: float = 0.3
    drawings: int = 128
    drawing_share: float = 0.2
    recolor_share: float = 0.2
    described: int = 160
    paint_spread: float = 0.7
    stillness_spread: float = 0.8
    averaging: float = 0.998
    validate_every: int = 200
    validation_pictures: int = 12
    seed: int = 0
    compile: bool = True

    def __post_init__(self) -> None:
        check_run(self.minutes, self.crop_px, self.seed)
        check_ranges(
            self,
            counts=("steps", "styles", "batch", "described", "validate_every", "validation_pictures"),
            shares=("trunk_rate", "clip_share", "drawing_share", "recolor_share"),
            amounts=("learning_rate", "paint_spread", "stillness_spread", "drawings"),
        )
        if self.picture_px < SMALLEST_PX:
            raise ValueError(f"picture_px must be at least {SMALLEST_PX}, not {self.picture_px}")
        if not 0 <= self.averaging < 1:
            raise ValueError(f"averaging must be from 0 to below 1, not {self.averaging}")
