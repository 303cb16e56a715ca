"""Everything a training needs, read and put together: paintings, content, the network it begins with, its judges."""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.registry import StyleMetadata, WeightsError, load, read_catalog
from pipeline.errors import DeviceError, InputError, StyleError, first_line
from pipeline.stylize.device import find_device
from pipeline.train.config import TrainConfig
from pipeline.train.data import Content, flow_finder, read_content
from pipeline.train.loss_networks import digest, find_loss_networks
from pipeline.train.style_images import at_size, is_flat, read_painting

if TYPE_CHECKING:
    import torch

    from models.network import Style, StyleNetwork
    from models.training.trainer import Trainer, TrainingConfig

Notify = Callable[[str], None]


def set_up(config: TrainConfig, cards: Sequence[StyleMetadata], notify: Notify) -> tuple["Trainer", dict[str, Any]]:
    """Read all that the run needs; the time this takes, a download apart, counts as training.

    Returns:
        The trainer, and the recipe: what it was made from, in plain values.

    Raises:
        InputError: a painting, the content or a loss network cannot be read.
        StyleError: ``start`` cannot be used.
        DeviceError: the device is not there.
    """
    from models.training.objective import PaintingObjective, Weights
    from models.training.trainer import Trainer

    begun = time.monotonic()
    device = _device(config.device, notify)
    paintings = _paintings(config, cards, notify)
    network, styles = _beginning(config)
    content = read_content(
        config.content, crop_px=config.crop_px, seed=config.seed, find=partial(flow_finder, device), notify=notify
    )
    waited = time.monotonic()
    judges, sources = find_loss_networks(config.loss_weights, device, notify)
    begun += time.monotonic() - waited
    weights = [Weights(**card.weights) for card in cards]
    settings, objective = _settings(config, device, notify), PaintingObjective(judges)
    parts = (network, styles, paintings, content.photos, objective, settings, device)
    try:
        trainer = Trainer(*parts, weights=weights, clips=content.pairs)
    except ValueError as error:
        raise InputError(config.content[0] if config.content else "", str(error)) from error
    trainer.schedule.elapsed = time.monotonic() - begun
    return trainer, _recipe(config, cards, content) | {"settings": asdict(settings), "loss_networks": sources}


def _device(name: str, notify: Notify) -> "torch.device":
    """The device called ``name``, found to move pictures as training needs it; for ``auto`` else the CPU."""
    import torch

    device = find_device(name)
    try:
        _move_a_picture(device)
    except (RuntimeError, NotImplementedError) as error:
        reason = f"{device} lacks an operation that training needs ({first_line(error)})"
        if name != "auto":
            raise DeviceError(f"{reason}; use --device cpu") from error
        notify(f"training on the CPU: {reason}")
        return torch.device("cpu")
    return device


def _move_a_picture(device: "torch.device") -> None:
    """What `models.training.pairs` does to photos; not every backend has bicubic sampling."""
    import torch

    picture, grid = torch.zeros(1, 3, 8, 8, device=device), torch.zeros(1, 8, 8, 2, device=device)
    torch.nn.functional.grid_sample(picture, grid, "bicubic", "reflection", align_corners=True)


def _paintings(config: TrainConfig, cards: Sequence[StyleMetadata], notify: Notify) -> list["torch.Tensor"]:
    seen = []
    for path, card in zip(config.paintings.values(), cards, strict=True):
        pictures = read_painting(path)
        if is_flat(pictures):
            notify(f"{path} is of one colour: there are no strokes to learn, and what it paints will be flat too")
        seen.append(at_size(pictures, card.painting_px))
    return seen


def _beginning(config: TrainConfig) -> tuple["StyleNetwork", list["Style"]]:
    """Network and styles to begin with: those of ``start``, their mean for a new style; or random ones."""
    import torch

    from models.network import Style, StyleNetwork

    torch.manual_seed(config.seed)
    if config.start_file is None:
        network = StyleNetwork()
        return network, [network.neutral_style() for _ in config.paintings]
    try:
        catalog = read_catalog(config.start_file)
        painters = {name: load(f"{config.start_file}#{name}") for name in catalog.styles}
    except WeightsError as error:
        raise StyleError(str(error)) from error
    by_field = zip(*(painter.style.tensors() for painter in painters.values()), strict=True)
    mean = Style(*(torch.stack(tensors).mean(dim=0) for tensors in by_field))
    network = next(iter(painters.values())).network.requires_grad_(True)
    return network, [painters[name].style if name in painters else mean for name in config.paintings]


def _settings(config: TrainConfig, device: "torch.device", notify: Notify) -> "TrainingConfig":
    from models.engines.capabilities import can_compile

    settings = config.settings()
    if not settings.compile or can_compile(device):
        return settings
    remedy = {"cpu": "; install g++", "cuda": "; pip install triton"}.get(device.type, "")
    notify(f"torch.compile does not work here: each step takes about twice as long{remedy}")
    return replace(settings, compile=False)


def _recipe(config: TrainConfig, cards: Sequence[StyleMetadata], content: Content) -> dict[str, Any]:
    """What the run is made from; a checkpoint goes on only with the same."""
    import torch

    files = {name: {"file": path.name, "sha256": digest([path])} for name, path in config.paintings.items()}
    clips = {"files": _digest_of_names(content.clips), "pairs": len(content.pairs)}
    return {
        "start": "" if config.start_file is None else digest([config.start_file]),
        "torch": torch.__version__,
        "paintings": files,
        "painting_px": {card.name: card.painting_px for card in cards},
        "weights": {card.name: dict(card.weights) for card in cards},
        "content": {"pictures": len(content.pictures), "sha256": digest(content.pictures)},
        "content_files": _digest_of_names(content.pictures),
        **({"clips": clips} if content.clips else {}),
    }


def _digest_of_names(paths: Sequence[Path]) -> str:
    """SHA-256 over the names and sizes of files, in order; the first 16 hex digits."""
    listing = "".join(f"{path.name}\0{path.stat().st_size}\n" for path in paths)
    return hashlib.sha256(listing.encode(errors="surrogateescape")).hexdigest()[:16]
