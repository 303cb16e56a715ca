"""Builds a trainer from a configuration: style images, content, initial network, loss networks."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import models.predictor
from models.registry import Catalog, LoadedStyle, StyleMetadata, WeightsError, bundled, load, read_catalog
from pipeline.config.style_spec import Dials
from pipeline.errors import DeviceError, InputError, StyleError, first_line
from pipeline.media.stills import is_still_image
from pipeline.media.style_image import at_size, is_flat
from pipeline.notices import Notify
from pipeline.stylize.device import find_device
from pipeline.stylize.loss_networks import digest, find_loss_networks
from pipeline.system.folders import cache_folder
from pipeline.train.config import TrainConfig
from pipeline.train.data import Content, flow_estimator, read_content
from pipeline.train.style_images import read_style_image

if TYPE_CHECKING:
    import torch

    from models.network import Style, StyleNetwork
    from models.training.config import TrainingConfig
    from models.training.losses.objective import StyleTransferObjective
    from models.training.predictor.config import PredictorTrainingConfig
    from models.training.trainer import Trainer

Settings = TypeVar("Settings", "TrainingConfig", "PredictorTrainingConfig")


def build_trainer(
    config: TrainConfig, styles: Sequence[StyleMetadata], notify: Notify
) -> tuple["Trainer", dict[str, Any]]:
    """Read all that the run needs; the time this takes counts as training, except that of a download.

    Returns:
        The trainer, and the recipe: what it was made from, in plain values.

    Raises:
        InputError: a style image, the content or a loss network cannot be read.
        StyleError: ``start`` cannot be used.
        DeviceError: the device is not available.
    """
    from models.training.losses.objective import LossWeights
    from models.training.trainer import Trainer

    started = time.monotonic()
    device = training_device(config.device, notify)
    style_images = _style_images(config, styles, notify)
    network, initial, start = _initial_network(config)
    content = read_content(
        config.content,
        crop_px=config.crop_px,
        seed=config.seed,
        make_estimator=partial(flow_estimator, device),
        notify=notify,
    )
    objective, sources, download_seconds = find_objective(config.loss_weights, device, notify)
    started += download_seconds
    settings, cache = compiling(config.settings(), device, notify)
    try:
        trainer = Trainer(
            network,
            initial,
            style_images,
            content.photos,
            objective,
            settings,
            device,
            weights=[LossWeights(**style.weights) for style in styles],
            clips=content.pairs,
            cache=cache,
        )
    except ValueError as error:
        raise InputError(config.content[0] if config.content else "", str(error)) from error
    trainer.schedule.elapsed = time.monotonic() - started
    made_from = _recipe(config, styles, content) | {"settings": asdict(settings), "loss_networks": sources}
    return trainer, {"start": start} | made_from


def find_objective(
    loss_weights: Sequence[Path], device: "torch.device", notify: Notify
) -> tuple["StyleTransferObjective", list[dict[str, str]], float]:
    """Return what training minimizes, the sources of its loss networks, and the seconds that it took to find them."""
    from models.engines.capabilities import native_precision
    from models.training.losses.objective import StyleTransferObjective

    started = time.monotonic()
    networks, sources = find_loss_networks(loss_weights, device, notify)
    seconds = time.monotonic() - started
    if native_precision(device) == "bf16":
        networks = [network.bfloat16() for network in networks]
    return StyleTransferObjective(networks), sources, seconds


def training_device(name: str, notify: Notify) -> "torch.device":
    """Return the device called ``name``; the CPU if it is ``auto`` and the device lacks what training needs."""
    import torch

    device = find_device(name)
    try:  # what models.training.data.synthetic_motion does; some backends lack bicubic sampling
        image, grid = torch.zeros(1, 3, 8, 8, device=device), torch.zeros(1, 8, 8, 2, device=device)
        torch.nn.functional.grid_sample(image, grid, "bicubic", "reflection", align_corners=True)
    except (RuntimeError, NotImplementedError) as error:
        reason = f"{device} lacks an operation that training needs ({first_line(error)})"
        if name != "auto":
            raise DeviceError(f"{reason}; use --device cpu") from error
        notify(f"training on the CPU: {reason}")
        return torch.device("cpu")
    return device


def _style_images(config: TrainConfig, styles: Sequence[StyleMetadata], notify: Notify) -> list["torch.Tensor"]:
    tensors = []
    for path, style in zip(config.paintings.values(), styles, strict=True):
        images = read_style_image(path)
        if is_flat(images):
            notify(f"{path} has one color: there are no strokes to learn, and the result will be flat too")
        tensors.append(at_size(images, style.painting_px))
    return tensors


def _initial_network(config: TrainConfig) -> tuple["StyleNetwork", list["Style"], str]:
    """Return the network and the styles to start from: random, or known ones, or what is predicted for a new style.

    Several styles that are trained together share their convolutions. If they are not known together, and where nothing
    can be predicted, they start from the mean of the known ones.

    Returns:
        The network, the styles, and the digest of their files, empty if they are random.
    """
    import torch

    from models.network import Style, StyleNetwork

    torch.manual_seed(config.seed)
    if config.from_scratch:
        network = StyleNetwork()
        initial = network.initial_style()
        return network, [initial for _ in config.paintings], ""
    if predicted := _predicted(config):
        return predicted.network, [predicted.style], digest(models.predictor.BUNDLED)
    try:
        catalogs = _start(config)
        known = {name: load(f"{catalog.path}#{name}") for name, catalog in catalogs.items()}
    except WeightsError as error:
        raise StyleError(str(error)) from error
    tensors = zip(*(each.style.tensors() for each in known.values()), strict=True)
    mean = Style.of([torch.stack(each).mean(dim=0) for each in tensors])
    styles = [known[name].style if name in known else mean for name in config.paintings]
    first = styles[0].convolutions
    if not all(torch.equal(a, b) for style in styles for a, b in zip(style.convolutions, first, strict=True)):
        styles = [replace(style, convolutions=mean.convolutions) for style in styles]
    files = sorted({catalog.path for catalog in catalogs.values()})
    return next(iter(known.values())).network, styles, digest(*files)


def _predicted(config: TrainConfig) -> "LoadedStyle | None":
    """Return the predicted style of a picture; None if it is not the start, as that of a bundled style's name."""
    (name, path), *others = config.paintings.items()
    if others or config.start is not None or name in bundled() or not is_still_image(path):
        return None
    if not models.predictor.BUNDLED.is_file():
        return None
    from models.predictor.predictor import STILLNESS_RANGE
    from pipeline.stylize.picture_style import predict_style

    least, most = STILLNESS_RANGE
    return predict_style(path, Dials(stillness=min(max(config.stillness, least), most)))


def _start(config: TrainConfig) -> Mapping[str, Catalog]:
    """Return the file of each style that training may start from."""
    if config.start is None:
        return bundled()
    catalog = read_catalog(config.start)
    return dict.fromkeys(catalog.styles, catalog)


def compiling(settings: Settings, device: "torch.device", notify: Notify) -> tuple[Settings, Path | None]:
    """Return the settings and the folder of compiled code; settings without compiling, if one of them is missing."""
    from models.engines.capabilities import can_compile

    if not settings.compile:
        return settings, None
    if can_compile(device):
        try:
            return settings, cache_folder()
        except OSError as error:
            reason = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
            remedy = f" ({reason}; or set FLOWBRUSH_CACHE to a private folder)"
    else:
        remedy = {"cpu": "; install g++", "cuda": "; pip install triton"}.get(device.type, "")
    notify(f"torch.compile is not available: each step takes about twice as long{remedy}")
    return replace(settings, compile=False), None


def _recipe(config: TrainConfig, styles: Sequence[StyleMetadata], content: Content) -> dict[str, Any]:
    """Return what the run is made from; a checkpoint resumes only with the same."""
    import torch

    files = {name: {"file": path.name, "sha256": digest(path)} for name, path in config.paintings.items()}
    clips = {"files": digest_of_names(content.clips), "pairs": len(content.pairs)}
    return {
        "torch": torch.__version__,
        "paintings": files,
        "painting_px": {style.name: style.painting_px for style in styles},
        "weights": {style.name: dict(style.weights) for style in styles},
        "content": {"pictures": len(content.images), "sha256": digest(*content.images)},
        "content_files": digest_of_names(content.images),
        **({"clips": clips} if content.clips else {}),
    }


def digest_of_names(paths: Sequence[Path]) -> str:
    """Return the first 16 hex digits of the SHA-256 of names and sizes of files, in order."""
    listing = "".join(f"{path.name}\0{path.stat().st_size}\n" for path in paths)
    return hashlib.sha256(listing.encode(errors="surrogateescape")).hexdigest()[:16]
