"""Improve the predicted style of a picture on the clip that is to be stylized: a short training that starts from it."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from models.registry import to_bytes
from pipeline.config import VideoConfig
from pipeline.media.style_image import at_size, read_picture
from pipeline.notices import Notify

if TYPE_CHECKING:
    import torch

    from models.network import Style
    from models.registry import LoadedStyle
    from models.training.report import TrainingReport
    from models.training.trainer import Trainer
    from pipeline.train.data import Content

ReportRefinement = Callable[["TrainingReport"], None]
CROP_PX, VALIDATION_CROPS, VALIDATE_EVERY = 256, 4, 20
LEARNING_RATE = 1e-3
"""A third of that of `flowbrush train`: the start is near the goal."""


def refine_picture(
    config: VideoConfig, picture: Path, preview: Path, *, report: ReportRefinement, notify: Notify
) -> bytes:
    """Return the weight file of a picture's style, improved on frames of the clip for ``config.refine.seconds``.

    What counts is the loss of `flowbrush train` on frames that are held out: the result is never worse than the
    prediction. Reading the clip and the loss networks counts as time, a download does not.

    Args:
        config: the clip, the dials, and how long.
        picture: an image.
        preview: image that is rewritten at each validation: frames, and their stylized versions.
        report: called after each step; what it raises ends the refinement.
        notify: called with each notice, one line.

    Raises:
        InputError: the picture, the clip or a loss network cannot be read.
        StyleError: the weights of the predictor cannot be used.
        DeviceError: the device is not available.
    """
    from pipeline.stylize.picture_style import predict_style

    predicted = predict_style(picture, config.stylize.dials)
    trainer = _trainer(config, picture, predicted, notify)
    style = predicted.style
    if trainer is not None:
        seconds, name = config.refine.seconds, predicted.metadata.name
        notify(f"refining {name} on frames of the clip for {seconds:g} s; its preview: {preview}")
        style = _best(trainer, style, preview, report, notify)
    recipe = {"refined_seconds": config.refine.seconds, "steps_run": trainer.step if trainer else 0}
    return to_bytes(predicted.network, [style], [predicted.metadata], recipe)


def _trainer(config: VideoConfig, picture: Path, predicted: "LoadedStyle", notify: Notify) -> "Trainer | None":
    """Return the trainer; None, with a notice, if the clip is too short."""
    from models.training.config import TrainingConfig
    from models.training.losses.objective import LossWeights
    from models.training.trainer import Trainer
    from pipeline.train.config import UNLIMITED_STEPS
    from pipeline.train.setup import compiling, find_objective, training_device
    from pipeline.train.shared_options import SHORTEST_COMPILED_MINUTES

    started, minutes = time.monotonic(), config.refine.seconds / 60
    device = training_device(config.stylize.device, notify)
    objective, _, download_seconds = find_objective(config.refine.loss_weights, device, notify)
    content = _frames(config, device)
    if len(content.photos) < 2:
        notify("the clip has too few frames to refine the style on: it is used as predicted")
        return None
    settings = TrainingConfig(
        steps=UNLIMITED_STEPS,
        minutes=minutes,
        batch=1,
        crop_px=CROP_PX,
        learning_rate=LEARNING_RATE,
        validate_every=VALIDATE_EVERY,
        validation_crops=VALIDATION_CROPS,
        patience=UNLIMITED_STEPS,
        compile=minutes >= SHORTEST_COMPILED_MINUTES,
    )
    settings, cache = compiling(settings, device, notify)
    trainer = Trainer(
        predicted.network,
        [predicted.style],
        [at_size(read_picture(picture), predicted.metadata.painting_px)],
        content.photos,
        objective,
        settings,
        device,
        weights=[LossWeights().turned(config.stylize.paint, config.stylize.stillness)],
        clips=content.pairs,
        cache=cache,
    )
    trainer.schedule.elapsed = time.monotonic() - started - download_seconds
    return trainer


def _frames(config: VideoConfig, device: "torch.device") -> "Content":
    from pipeline.train.data import flow_estimator, read_content

    make_estimator = partial(flow_estimator, device)
    return read_content(
        [Path(config.source)], crop_px=CROP_PX, seed=0, make_estimator=make_estimator, notify=lambda line: None
    )


def _best(trainer: "Trainer", style: "Style", preview: Path, report: ReportRefinement, notify: Notify) -> "Style":
    """Train, and return the style of the best validation, that of ``style`` before the first step included."""
    from models.training.report import DivergedError
    from pipeline.train.run_loop import write_preview

    lowest = sum(trainer.validate().values())
    try:
        for each in trainer.run():
            if each.validation is not None:
                if (loss := sum(each.validation.values())) < lowest:
                    lowest, (style,) = loss, trainer.styles()
                trainer.accept(each)
                write_preview(trainer, preview)  # if that fails, only the preview is missing
            report(each)
    except DivergedError as error:
        notify(f"the refinement diverged, {error}; the best style before is used")
    return style
