"""Training a style as the gallery's are trained."""

import time
from itertools import pairwise
from statistics import median

import torch
from torch import Tensor

from benchmarks.gpu.rows import Settings
from benchmarks.gpu.timing import torch_memory
from models.registry import load
from models.training.config import TrainingConfig
from models.training.losses.loss_network import VGG19_CONVOLUTIONS, vgg19
from models.training.losses.objective import StyleTransferObjective
from models.training.trainer import Trainer
from pipeline.system.folders import cache_folder

VGG19_WIDTHS = (64, 64, 128, 128, *[256] * 4, *[512] * 8)


def training(settings: Settings, *, is_compiled: bool) -> str:
    """Return the steps per second of one style against VGG-19; its weights are random, which cost the same."""
    steps, device, style = settings.training_steps, torch.device(settings.device), load(settings.style)
    generator = torch.Generator().manual_seed(0)
    objective = StyleTransferObjective([vgg19(_random_vgg19(generator)).to(device)])
    side = round(1.5 * settings.crop)
    content = list(torch.randint(0, 256, (24, 3, side, side), dtype=torch.uint8, generator=generator))
    # A validation follows the last step, which is not measured.
    config = TrainingConfig(
        steps=3 * steps + 1, crop_px=settings.crop, validation_crops=2, validate_every=10**6, compile=is_compiled
    )
    images = [torch.rand(1, 3, settings.crop, settings.crop, generator=generator)]
    with torch_memory(device) as memory:
        trainer = Trainer(
            style.network, [style.style], images, content, objective, config, device, cache=cache_folder()
        )
        marks = [time.perf_counter() for report in trainer.run() if steps <= report.step <= 3 * steps]
        seconds = median(after - before for before, after in pairwise(marks))
        return f"{1 / seconds:.2f} steps per second, {config.batch} pairs of {config.crop_px} pixels{memory()}"


def _random_vgg19(generator: torch.Generator) -> dict[str, Tensor]:
    state, channels = dict[str, Tensor](), 3
    for index, width in zip(VGG19_CONVOLUTIONS, VGG19_WIDTHS, strict=False):
        spread = (2 / (9 * channels)) ** 0.5
        state[f"features.{index}.weight"] = spread * torch.randn(width, channels, 3, 3, generator=generator)
        state[f"features.{index}.bias"] = torch.zeros(width)
        channels = width
    return state
