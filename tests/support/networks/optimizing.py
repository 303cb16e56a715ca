"""Optimized pictures for tests: a tiny loss network, and few steps."""

from pathlib import Path
from typing import Any

import torch

from pipeline.config import StylizeConfig
from pipeline.config.optimize import OptimizeConfig
from tests.support.networks.training import write
from tests.support.tiny import stripes, torchvision_vgg19_state


def write_optimizing_files(folder: Path) -> None:
    """Write what `optimizing_config` names: a loss network and a painting."""
    torch.save(torchvision_vgg19_state(), folder / "loss.pth")
    write(folder / "stripes.png", stripes())


def optimizing_config(folder: Path, optimize: dict[str, Any] | None = None, **changes: Any) -> StylizeConfig:
    """Return a few steps towards the painting of `write_optimizing_files`."""
    options = {"steps": 4, "loss_weights": (folder / "loss.pth",)} | (optimize or {})
    return StylizeConfig(
        method="optimize",
        paintings=(str(folder / "stripes.png"),),
        optimize=OptimizeConfig(**options),
        device="cpu",
        precision="fp32",
        **changes,
    )
