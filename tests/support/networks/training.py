"""A training run of three steps, for the tests of `flowbrush train` and of kills."""

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from pipeline.train.config import TrainConfig
from tests.support.tiny import loss_state, photos, stripes


def write(path: Path, picture: Tensor) -> Path:
    """Write a ``(3, H, W)`` uint8 picture."""
    Image.fromarray(picture.permute(1, 2, 0).numpy()).save(path)
    return path


def write_training_files(folder: Path) -> None:
    """Write what `training_config` names: photos, a style image and a loss network."""
    (folder / "content").mkdir()
    for index, photo in enumerate(photos(4)):
        write(folder / "content" / f"{index}.png", photo)
    write(folder / "stripes.png", stripes())
    torch.save(loss_state(), folder / "loss.pth")


def training_config(folder: Path, output: Path, **changes: Any) -> TrainConfig:
    """Return three steps from random weights on the files of `write_training_files` in ``folder``."""
    settings: dict[str, Any] = {"validate_every": 2} | changes
    return TrainConfig(
        paintings={"stripes": folder / "stripes.png"},
        content=[folder / "content"],
        output=output,
        loss_weights=[folder / "loss.pth"],
        from_scratch=True,
        licence="CC0",
        painting_px=64,
        steps=3,
        batch=1,
        crop_px=64,
        device="cpu",
        compile=False,
        **settings,
    )
