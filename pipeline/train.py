"""From paintings and photos on disk to a weight file: reads, trains, keeps checkpoints, writes."""

import hashlib
import io
import json
import math
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.registry import StyleCard, WeightsError, load, read_catalog, save
from pipeline.device import find_device
from pipeline.errors import InputError, OutputError, StyleError
from pipeline.loss_networks import digest, find_loss_networks, first_line
from pipeline.pictures import find_pictures, read_picture, write_picture

if TYPE_CHECKING:
    import torch

    from models.network import Style, StyleNetwork
    from models.training.objective import Weights
    from models.training.trainer import Report, Trainer, TrainingConfig

SMALLEST_PAINTING_PX = 64
LARGEST_CONTENT_PX = 480
MOST_CONTENT = 4000
LOSSES = ("style", "content", "variation", "output", "feature")
CARD_FIELDS = ("painting", "painter", "year", "status", "licence")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """What to learn, from what, into which file.

    Attributes:
        paintings: the pictures to paint like, by the name of their style.
        content: folders of photos, or photos.
        output: the weight file.
        loss_weights: files of loss networks; none means torchvision's VGG-19, downloaded once.
        start: weight file whose network and styles are the beginning; none begins at random.
        cards: JSON file of what is known of the paintings, by style name: painting, painter, year, status, licence,
            painting_px, weights and figures, as in `StyleCard`.
        licence: of the weights.
        painting_px: short side at which the paintings are seen: larger gives larger strokes.
        steps: optimiser steps, shared by the paintings in turn.
        batch: pairs of frames a step.
        crop_px: side of the crops.
        style_weight: on likeness to the painting.
        content_weight: on likeness to the photo.
        variation_weight: on smoothness.
        output_weight: on the painting's stillness from frame to frame.
        feature_weight: on the stillness of the network's own features.
        learning_rate: the highest of the schedule.
        validate_every: steps between validations, checkpoints and previews.
        device: ``cpu``, ``cuda``, ``cuda:N``, ``mps``.
        compile: let ``torch.compile`` speed the steps up.
        resume: go on from the checkpoint beside the output.
        overwrite: replace an existing output.
        seed: of crops and first weights.
    """

    paintings: Mapping[str, Path]
    content: Sequence[Path]
    output: Path
    loss_weights: Sequence[Path] = ()
    start: Path | None = None
    cards: Path | None = None
    licence: str = "not stated"
    painting_px: int = 400
    steps: int = 2000
    batch: int = 2
    crop_px: int = 256
    style_weight: float = 8.0
    content_weight: float = 1.0
    variation_weight: float = 2.0
    output_weight: float = 1000.0
    feature_weight: float = 1.0
    learning_rate: float = 3e-3
    validate_every: int = 100
    device: str = "cpu"
    compile: bool = True
    resume: bool = False
    overwrite: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.paintings:
            raise ValueError("at least one painting is needed")
        if self.output.suffix != ".safetensors":
            raise ValueError(f"{self.output}: a weight file ends in .safetensors")
        if self.painting_px < SMALLEST_PAINTING_PX:
            raise ValueError(f"painting_px must be at least {SMALLEST_PAINTING_PX}, not {self.painting_px}")

    def settings(self) -> "TrainingConfig":
        """How long and on what the trainer is to work.

        Raises:
            ValueError: a number is out of its range.
        """
        from models.training.trainer import TrainingConfig

        return TrainingConfig(
            steps=self.steps,
            batch=self.batch,
            crop_px=self.crop_px,
            learning_rate=self.learning_rate,
            validate_every=self.validate_every,
            seed=self.seed,
            compile=self.compile,
        )

    def weights(self) -> "Weights":
        """How much each loss counts.

        Raises:
            ValueError: one of them is negative.
        """
        from models.training.objective import Weights

        return Weights(
            self.style_weight, self.content_weight, self.variation_weight, self.output_weight, self.feature_weight
        )

    @property
    def checkpoint(self) -> Path:
        """Where the run keeps what it needs to go on."""
        return self.output.with_suffix(".checkpoint")

    @property
    def preview(self) -> Path:
        """Held-out photos and their paintings, renewed at each validation."""
        return self.output.with_suffix(".preview.png")


@dataclass(slots=True)
class Trained:
    """What a run came to.

    Attributes:
        output: the weight file.
        steps: that were run, earlier runs included.
        stopped_early: True where validation grew worse.
        validation: the weighted losses on held-out photos of the weights that were kept.
    """

    output: Path
    steps: int = 0
    stopped_early: bool = False
    validation: Mapping[str, float] = field(default_factory=dict)


Progress = Callable[["Report"], None]
Notify = Callable[[str], None]


def train(
    config: TrainConfig, progress: Progress = lambda report: None, *, notify: Notify = lambda line: None
) -> Trained:
    """Train a network on the paintings and write it; the output always holds the best weights so far.

    Args:
        config: what to learn, from what.
        progress: called after each step.
        notify: called with each thing that the user should know, one line.

    Raises:
        InputError: a painting, the content, a loss network, the cards or the checkpoint cannot be read.
        OutputError: the output exists, or cannot be written.
        StyleError: the checkpoint is of a run with other settings, or training ran away.
        DeviceError: the device is not there.
    """
    _check_output(config)
    paintings = {name: _painting(path) for name, path in config.paintings.items()}
    cards = _cards(config)
    found = [path for source in config.content for path in find_pictures(source)]
    content = _chosen(found, config.seed)
    if len(content) < len(found):
        notify(f"of {len(found)} photos {len(content)} are used, chosen by the seed")
    trainer, recipe = _trainer(config, paintings, content, cards, notify)
    if config.resume:
        _resume(trainer, recipe, config.checkpoint)
        if not config.output.exists():
            trainer.forget_best()
    try:
        for report in _reports(trainer):
            if report.validation is not None:
                _write_preview(trainer, config.preview)
                if report.best:
                    reached = recipe | {"steps_run": report.step, "validation": dict(report.validation)}
                    _save(config.output, trainer, cards, reached)
                trainer.accept(report)
                _write_checkpoint(trainer, recipe, config.checkpoint)
            progress(report)
    except KeyboardInterrupt:
        _write_checkpoint(trainer, recipe, config.checkpoint)
        raise
    if not config.output.exists():
        raise OutputError(config.output, "was removed while training; --resume writes it again")
    config.checkpoint.unlink(missing_ok=True)
    return Trained(config.output, trainer.step, trainer.overfitting, trainer.best)


def _reports(trainer: "Trainer") -> Iterator["Report"]:
    from models.training.trainer import DivergedError

    try:
        yield from trainer.run()
    except DivergedError as error:
        raise StyleError(f"training ran away, {error}; lower the loss weights or look at the pictures") from error


def _check_output(config: TrainConfig) -> None:
    if not config.output.parent.is_dir():
        raise OutputError(config.output, f"the folder {config.output.parent} does not exist; create it first")
    if config.output.is_dir() or not os.access(config.output.parent, os.W_OK):
        raise OutputError(config.output, "no file can be written there; choose another place")
    if config.output.exists() and not (config.overwrite or config.resume):
        raise OutputError(config.output, "exists already; use --overwrite to replace it")
    if config.checkpoint.exists() and not (config.overwrite or config.resume):
        reason = "an interrupted run left it; use --resume to go on or --overwrite to begin anew"
        raise OutputError(config.checkpoint, reason)
    if config.resume and not config.checkpoint.exists():
        raise InputError(config.checkpoint, "no checkpoint to go on from; leave --resume away")


def _painting(path: Path) -> "torch.Tensor":
    pixels = read_picture(path)
    if min(pixels.shape[:2]) < SMALLEST_PAINTING_PX:
        size = f"{pixels.shape[1]}x{pixels.shape[0]}"
        raise InputError(path, f"{size} px is too small for a painting; use one of {SMALLEST_PAINTING_PX} px or more")
    return _tensor(pixels)


def _tensor(pixels: Any) -> "torch.Tensor":
    import torch

    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def _photo(path: Path) -> "torch.Tensor":
    """A photo, shrunk so that its short side is at most what crops need."""
    from PIL import Image

    pixels = read_picture(path)
    factor = LARGEST_CONTENT_PX / min(pixels.shape[:2])
    if factor < 1:
        size = (round(pixels.shape[1] * factor), round(pixels.shape[0] * factor))
        pixels = np.array(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
    return _tensor(pixels)


def _chosen(found: Sequence[Path], seed: int) -> list[Path]:
    """As many photos as memory holds in any case, in the order in which they were found."""
    if len(found) <= MOST_CONTENT:
        return list(found)
    return [found[index] for index in sorted(random.Random(seed).sample(range(len(found)), MOST_CONTENT))]


def _cards(config: TrainConfig) -> list[StyleCard]:
    known: Mapping[str, Any] = {}
    common = {"licence": config.licence, "painting_px": config.painting_px}
    usual = asdict(config.weights())
    if config.cards is not None:
        try:
            known = json.loads(config.cards.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(config.cards, f"cannot be read as JSON ({error})") from error
        wrong = _wrong_in(known)
        if wrong:
            raise InputError(config.cards, wrong)
    cards = [StyleCard(**({"name": name} | common | known.get(name, {}))) for name in config.paintings]
    return [replace(card, weights=usual | dict(card.weights)) for card in cards]


def _wrong_in(cards: object) -> str:
    """What cannot be used in the cards, and what to write instead; empty if all can be."""
    if not isinstance(cards, dict):
        return "must hold an object with a card for each style name"
    for name, card in cards.items():
        if not isinstance(card, dict):
            return f"the card of {name!r} must be an object"
        for key, value in card.items():
            if key in ("figures", "weights"):
                if not isinstance(value, dict) or not all(map(_is_number, value.values())):
                    return f"the card of {name!r}: {key} must be an object of numbers"
                unknown = set(value) - set(LOSSES) if key == "weights" else set()
                if unknown:
                    wrong = sorted(unknown)[0]
                    return f"the card of {name!r}: no loss is called {wrong!r}; there are {', '.join(LOSSES)}"
            elif key == "painting_px":
                if type(value) is not int or value < SMALLEST_PAINTING_PX:
                    return f"the card of {name!r}: painting_px must be a whole number from {SMALLEST_PAINTING_PX} on"
            elif key not in CARD_FIELDS:
                known = ", ".join((*CARD_FIELDS, "painting_px", "weights", "figures"))
                return f"the card of {name!r}: unknown field {key!r}; there are {known}"
            elif not isinstance(value, str):
                return f"the card of {name!r}: {key} must be a text in quotes"
    return ""


def _is_number(value: object) -> bool:
    return type(value) is int or (isinstance(value, float) and math.isfinite(value))


def _trainer(
    config: TrainConfig,
    paintings: Mapping[str, "torch.Tensor"],
    content: Sequence[Path],
    cards: Sequence[StyleCard],
    notify: Notify,
) -> tuple["Trainer", dict[str, Any]]:
    import torch

    from models.training.content import painting_at
    from models.training.objective import PaintingObjective, Weights
    from models.training.trainer import Trainer

    device = find_device(config.device)
    networks, sources = find_loss_networks(config.loss_weights, device, notify)
    settings = config.settings()
    torch.manual_seed(config.seed)
    network, styles = _beginning(config)
    seen = [painting_at(painting, card.painting_px) for painting, card in zip(paintings.values(), cards, strict=True)]
    weights = [Weights(**card.weights) for card in cards]
    try:
        objective = PaintingObjective(networks)
        photos = [_photo(path) for path in content]
        trainer = Trainer(network, styles, seen, photos, objective, settings, device, weights=weights)
    except ValueError as error:
        raise InputError(config.content[0] if config.content else "", str(error)) from error
    recipe = {
        "settings": asdict(settings),
        "start": "" if config.start is None else digest([config.start]),
        "torch": torch.__version__,
        "paintings": {name: {"file": p.name, "sha256": digest([p])} for name, p in config.paintings.items()},
        "content": {"pictures": len(content), "sha256": digest(content)},
        "content_files": _digest_of_names(content),
        "loss_networks": sources,
    }
    return trainer, recipe


def _beginning(config: TrainConfig) -> tuple["StyleNetwork", list["Style"]]:
    """Network and styles to begin with: those of ``start``, their mean for a new style; or random ones."""
    import torch

    from models.network import Style, StyleNetwork

    if config.start is None:
        network = StyleNetwork()
        return network, [network.neutral_style() for _ in config.paintings]
    try:
        catalog = read_catalog(config.start)
        painters = {name: load(f"{config.start}#{name}") for name in catalog.cards}
    except WeightsError as error:
        raise StyleError(str(error)) from error
    fields_ = zip(*(painter.style.tensors() for painter in painters.values()), strict=True)
    mean = Style(*(torch.stack(tensors).mean(dim=0) for tensors in fields_))
    network = next(iter(painters.values())).network.requires_grad_(True)
    return network, [painters[name].style if name in painters else mean for name in config.paintings]


def _digest_of_names(paths: Sequence[Path]) -> str:
    """SHA-256 over the names and sizes of files, in order; the first 16 hex digits."""
    listing = "".join(f"{path.name}\0{path.stat().st_size}\n" for path in paths)
    return hashlib.sha256(listing.encode(errors="surrogateescape")).hexdigest()[:16]


def _resume(trainer: "Trainer", recipe: Mapping[str, Any], checkpoint: Path) -> None:
    import torch

    try:
        state = torch.load(checkpoint, map_location=trainer.device, weights_only=True)
        trainer.load_state(state)
        before = json.loads(state.get("recipe", "{}"))
        apart = ("torch", "settings")  # the trainer itself compares its settings
        changed = [key for key, value in before.items() if key not in apart and value != recipe.get(key)]
        if changed:
            raise ValueError(f"the checkpoint is of a run with other {', '.join(changed)}")
    except Exception as error:  # torch.load fails in many ways; every one is a file we cannot use
        raise StyleError(f"{checkpoint}: cannot go on from it ({first_line(error)})") from error


def _write_checkpoint(trainer: "Trainer", recipe: Mapping[str, Any], path: Path) -> None:
    import torch

    content = io.BytesIO()  # into a file on a full disk, `torch.save` raises RuntimeError
    torch.save(trainer.state() | {"recipe": json.dumps(recipe)}, content)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content.getbuffer())
        part.replace(path)
    except OSError as error:
        raise OutputError(path, f"the checkpoint cannot be written ({error.strerror})") from error
    finally:
        part.unlink(missing_ok=True)


def _save(path: Path, trainer: "Trainer", cards: Sequence[StyleCard], recipe: Mapping[str, Any]) -> None:
    validation = {f"validation_{name}": round(value, 4) for name, value in recipe["validation"].items()}
    scored = [replace(card, figures={**card.figures, **validation}) for card in cards]
    try:
        save(path, trainer.network, trainer.styles(), scored, recipe)
    except OSError as error:
        raise OutputError(path, f"cannot be written ({error.strerror})") from error


def _write_preview(trainer: "Trainer", path: Path) -> None:
    """Photos in the first row, then a row for each style."""
    rows = [np.concatenate(list(row.permute(0, 2, 3, 1).cpu().numpy()), axis=1) for row in trainer.preview()]
    write_picture(path, (np.concatenate(rows) * 255).round().astype(np.uint8))
