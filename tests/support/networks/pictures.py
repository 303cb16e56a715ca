"""Pictures whose style is predicted, and predictors of random weights."""

from pathlib import Path

import numpy as np
from PIL import Image


def write_predictor(path: Path, *, tiny: bool = False, seed: int = 0) -> Path:
    """Write a predictor with a narrow middle: random, so that each picture and each dial gives another style.

    Args:
        path: the file.
        tiny: predict for the network of `tests.support.tiny.TINY`, not for that of the bundled styles.
        seed: of the weights.
    """
    import torch

    from models.predictor.file import to_bytes
    from models.predictor.predictor import StylePredictor
    from models.registry import bundled, load
    from tests.support.tiny import TINY

    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        made = StylePredictor(TINY if tiny else None, hidden=8, directions=2)
        styles = [made.network.initial_style()] if tiny else [load(name).style for name in bundled()][:2]
        made.start_from(styles[0], styles)
        torch.nn.init.normal_(made.last.weight, std=0.3)
    path.write_bytes(to_bytes(made, {}))
    return path


def write_picture(path: Path, size: tuple[int, int] = (80, 64), mode: str = "RGB", *, seed: int = 0) -> Path:
    """Write a noisy picture of ``size``, width and height."""
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 4), np.uint8)
    Image.fromarray(noise, "RGBA").convert(mode).save(path)
    return path
