"""Builds the trainer of a style predictor from a configuration: pictures, content, initial weights, loss networks."""

import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.registry import WeightsError, bundled
from models.registry import load as load_style
from pipeline.errors import InputError, StyleError, first_line
from pipeline.notices import Notify
from pipeline.stylize.loss_networks import digest
from pipeline.train.data import Content, flow_estimator, read_content
from pipeline.train.predictor.config import PredictorTrainConfig
from pipeline.train.setup import compiling, digest_of_names, find_objective, training_device

if TYPE_CHECKING:
    from torch import Tensor

    from models.predictor.predictor import StylePredictor
    from models.training.predictor.trainer import PredictorTrainer

MOST_PICTURES = 20_000
EVERY = 10
"""One picture of this many is held out, if no list is given."""

CENTER = "minotaur"
"""The bundled style that is nearest to pictures of other painters, see docs/decisions/any_picture.md."""


def build_trainer(config: PredictorTrainConfig, notify: Notify) -> tuple["PredictorTrainer", dict[str, Any]]:
    """Read all that the run needs.

    Returns:
        The trainer, and the recipe: what it was made from, in plain values.

    Raises:
        InputError: pictures, content, the encoder or a loss network cannot be read.
        StyleError: ``start`` cannot be used.
        DeviceError: the device is not available.
    """
    import torch

    from models.training.predictor.trainer import PredictorTrainer

    started = time.monotonic()
    torch.manual_seed(config.seed)
    device = training_device(config.device, notify)
    predictor, start = _initial_predictor(config)
    read = partial(
        read_content,
        crop_px=config.crop_px,
        seed=config.seed,
        make_estimator=partial(flow_estimator, device),
        notify=notify,
    )
    pictures = read(config.pictures, most_photos=MOST_PICTURES)
    content = read(config.content)
    train, held_out = _split(config, pictures, notify)
    objective, sources, download_seconds = find_objective(config.loss_weights, device, notify)
    started += download_seconds
    settings, cache = compiling(config.settings(), device, notify)
    try:
        trainer = PredictorTrainer(
            predictor,
            train,
            held_out,
            content.photos,
            objective,
            settings,
            device,
            weights=config.weights(),
            clips=content.pairs,
            cache=cache,
        )
    except ValueError as error:
        raise InputError(config.pictures[0], str(error)) from error
    trainer.schedule.elapsed = time.monotonic() - started
    chosen = {"trained on": len(train), "held out": len(held_out), "files": digest_of_names(pictures.images)}
    made_from = _recipe(config, content) | {"settings": asdict(settings), "loss_networks": sources}
    return trainer, {"start": start, "pictures": chosen} | made_from


def _recipe(config: PredictorTrainConfig, content: Content) -> dict[str, Any]:
    """Return what the run is made from; a checkpoint resumes only with the same."""
    import torch

    return {
        "torch": torch.__version__,
        "encoder": "" if config.encoder is None else f"{config.encoder.name} {digest(config.encoder)}",
        "content": {"pictures": len(content.images), "files": digest_of_names(content.images)},
        "clips": {"pairs": len(content.pairs), "files": digest_of_names(content.clips)},
        "weights": asdict(config.weights()),
    }


def _initial_predictor(config: PredictorTrainConfig) -> tuple["StylePredictor", str]:
    """Return the predictor to start from, and the digest of its files."""
    from models.predictor.file import load
    from models.predictor.predictor import StylePredictor

    try:
        if config.start is not None:
            predictor = load(config.start).predictor
            for name, parameter in predictor.named_parameters():
                parameter.requires_grad_(not name.startswith("encoder."))
            files = [config.start]
        else:
            catalogs = bundled()
            styles = {name: load_style(f"{catalog.path}#{name}") for name, catalog in catalogs.items()}
            predictor = StylePredictor(styles[CENTER].network.architecture)
            predictor.start_from(styles[CENTER].style, [each.style for each in styles.values()])
            files = sorted({catalog.path for catalog in catalogs.values()})
    except WeightsError as error:
        raise StyleError(str(error)) from error
    if config.encoder is not None:
        _load_encoder(predictor, config.encoder)
    return predictor, digest(*files)


def _load_encoder(predictor: "StylePredictor", path: Path) -> None:
    import torch

    try:
        predictor.encoder.load(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch.load raises anything; each is a file that cannot be used
        raise InputError(path, f"not the weights of the encoder ({first_line(error)})") from error


def _split(config: PredictorTrainConfig, pictures: Content, notify: Notify) -> tuple[list["Tensor"], list["Tensor"]]:
    """Return pictures to train on, and those that are held out."""
    named = list(zip(pictures.images, pictures.photos, strict=False))  # frames of clips follow the photos
    if config.held_out is None:
        return [each for i, (_, each) in enumerate(named) if i % EVERY], [each for _, each in named[::EVERY]]
    try:
        lines = config.held_out.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(config.held_out, f"cannot be read as text ({error})") from error
    names = {line.split("\t")[0].strip() for line in lines}
    held_out = [each for path, each in named if path.name in names]
    if not held_out:
        raise InputError(config.held_out, "names none of the pictures; write a file name on each line")
    notify(f"{len(named) - len(held_out)} pictures to learn from, {len(held_out)} held out")
    return [each for path, each in named if path.name not in names], held_out
