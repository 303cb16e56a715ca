"""What `StyleAugment` changes under a shift: a small classifier, trained with and without it.

python benchmarks/augment.py [--images N] [--epochs N] [--seeds N] [--stroke-size X] [--sheet FILE.png]

The data are drawn on the spot: five shapes on a plain ground, each filled with a pattern of stripes, dots and others.
In training the pattern tells the shape as well as the outline does, as textures do in photos to a degree. Test images
come in four kinds: as in the training; the same in styles that no training had; with patterns that no training had;
and with the pattern of another shape, which a classifier of patterns gets wrong (Geirhos et al., ICLR 2019).

Three trainings see the same images: without augmentation, with color jitter, and with StyleAugment. Each row is the
mean accuracy over the seeds, with the lowest and the highest.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path

sys.path.pop(0)  # this folder: its cuda.py would hide the package of that name, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import v2

from models.augment import StyleAugment
from models.registry import bundled

SIDE_PX = 64
SHAPES = 5
TESTS = ("as in training", "unseen styles", "unseen patterns", "pattern of another")
UNSEEN_STYLES = ("mosaic", "olive-trees", "the-scream")
TEST_IMAGES = 300
BATCH = 32


def main() -> None:
    """Print a row for each training."""
    options = parse()
    print(f"{options.images} training images, {options.epochs} epochs, {options.seeds} seeds; accuracy, chance is 0.20")
    print(f"{'':14}" + "".join(f"{name:>23}" for name in TESTS) + f"{'seconds':>10}")
    jitter = v2.ColorJitter(0.4, 0.4, 0.4, 0.2)
    known = [name for name in bundled() if name not in UNSEEN_STYLES]
    style = StyleAugment(known, p=options.p, stroke_size=options.stroke_size)
    trainings: dict[str, Callable[[Tensor], Tensor]] = {
        "none": lambda images: images,
        "color jitter": lambda images: torch.stack([jitter(image) for image in images]),
        "StyleAugment": style,
    }
    if options.sheet:
        write_sheet(options.sheet, style)
    for name, augment in trainings.items():
        start = time.monotonic()
        scores = [run(augment, options, seed) for seed in range(options.seeds)]
        cells = [f"{np.mean(each):.3f} ({min(each):.2f} to {max(each):.2f})" for each in zip(*scores, strict=True)]
        print(f"{name:14}" + "".join(f"{cell:>23}" for cell in cells) + f"{time.monotonic() - start:10.0f}", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--p", type=float, default=0.5, help="share of the training images that are stylized")
    parser.add_argument("--stroke-size", type=float, default=0.5)
    parser.add_argument("--sheet", type=Path, help="draw training images, before and after StyleAugment")
    return parser.parse_args()


def run(augment: Callable[[Tensor], Tensor], options: argparse.Namespace, seed: int) -> list[float]:
    """Train once; return the accuracy on each kind of test image."""
    tests = [held_out(kind, TEST_IMAGES, options.stroke_size) for kind in range(len(TESTS))]
    torch.manual_seed(seed)
    count, epochs = options.images, options.epochs
    labels = torch.arange(count) % SHAPES
    images = torch.stack([draw(int(label), int(label)) for label in labels])
    network = classifier()
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=epochs * math.ceil(count / BATCH))
    for _ in range(epochs):
        network.train()
        for chosen in torch.randperm(count).split(BATCH):
            loss = F.cross_entropy(network(augment(images[chosen])), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    network.eval()
    with torch.inference_mode():
        return [float((network(images).argmax(dim=1) == labels).float().mean()) for images, labels in tests]


def classifier() -> nn.Module:
    """Return four convolutions with batch normalization, and a linear layer; 0.1 M parameters."""
    widths = (3, 16, 32, 64, 96)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * widths[-1], SHAPES))


@cache
def held_out(kind: int, count: int, stroke_size: float) -> tuple[Tensor, Tensor]:
    """Return images ``(count, 3, 64, 64)`` and labels of one of the `TESTS`; the same each time."""
    torch.manual_seed(10_000 + kind)
    labels = torch.arange(count) % SHAPES
    shift = 1 + torch.arange(count) // SHAPES % (SHAPES - 1)
    patterns = (labels, labels, labels + SHAPES, (labels + shift) % SHAPES)[kind]
    images = torch.stack([draw(*pair) for pair in zip(labels.tolist(), patterns.tolist(), strict=True)])
    if TESTS[kind] == "unseen styles":
        images = StyleAugment(UNSEEN_STYLES, p=1.0, strength=1.0, stroke_size=stroke_size)(images)
    return images, labels


def draw(shape: int, pattern: int) -> Tensor:
    """Return ``(3, 64, 64)`` float32 in [0, 1]: a shape of random place, size and angle, in random colors."""
    rows, columns = torch.meshgrid(torch.arange(SIDE_PX) + 0.5, torch.arange(SIDE_PX) + 0.5, indexing="ij")
    center, angle = SIDE_PX * (0.4 + 0.2 * torch.rand(2)), 2 * math.pi * torch.rand(())
    radius = SIDE_PX * (0.24 + 0.1 * torch.rand(()))
    x, y = (columns - center[0]) / radius, (rows - center[1]) / radius
    x, y = x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos()
    inside = torch.sigmoid(outline(shape, x, y) * radius)  # a border of one pixel, smooth
    ground, first, second = torch.rand(3, 3, 1, 1)
    fill = torch.lerp(first, second, filling(pattern, rows, columns))
    image = torch.lerp(ground.expand(3, SIDE_PX, SIDE_PX), fill, inside)
    return (image + 0.02 * torch.randn_like(image)).clamp(0, 1)


def outline(shape: int, x: Tensor, y: Tensor) -> Tensor:
    """Return how far a point lies inside the shape, in radii: a disk, a square, a triangle, a cross, a ring."""
    distance = (x.square() + y.square()).sqrt()
    if shape == 0:
        return 1 - distance
    if shape == 1:
        return 0.85 - torch.maximum(x.abs(), y.abs())
    if shape == 2:
        return torch.minimum(0.5 - y, 0.5 + 0.5 * y - 0.866 * x.abs())
    if shape == 3:
        return torch.maximum(torch.minimum(0.35 - x.abs(), 1 - y.abs()), torch.minimum(0.35 - y.abs(), 1 - x.abs()))
    return torch.minimum(1 - distance, distance - 0.55)


def filling(pattern: int, rows: Tensor, columns: Tensor) -> Tensor:
    """Return ``(64, 64)`` in [0, 1] of a pattern: five that training sees, five that it does not."""
    phase, other = 2 * math.pi * torch.rand(2)
    x, y = columns, rows
    waves = (
        lambda: (x / 0.9 + phase).sin(),  # upright stripes
        lambda: ((x + y) / 2 + phase).sin(),  # slanted stripes
        lambda: (x / 1.2 + phase).sin() * (y / 1.2 + other).sin(),  # a checkerboard
        lambda: (x / 1.1 + phase).cos() + (y / 1.1 + other).cos() - 1,  # dots
        lambda: (y / 1.6 + 2 * (x / 3 + other).sin() + phase).sin(),  # ripples
        lambda: (y / 0.9 + phase).sin(),  # level stripes
        lambda: (((x - 32).square() + (y - 32).square()).sqrt() / 0.9 + phase).sin(),  # rings
        lambda: torch.randn(SIDE_PX, SIDE_PX),  # noise
        lambda: torch.minimum((x / 1.3 + phase).cos(), (y / 1.3 + other).cos()) + 0.5,  # a grid
        lambda: torch.ones(SIDE_PX, SIDE_PX),  # none
    )
    return torch.sigmoid(4 * waves[pattern]())


def write_sheet(path: Path, style: StyleAugment) -> None:
    """Draw a row of training images, the same stylized, and a row of each kind of test image; four times as large."""
    torch.manual_seed(0)
    images = torch.stack([draw(index % SHAPES, index % SHAPES) for index in range(2 * SHAPES)])
    always = StyleAugment(style.styles, p=1.0, strength=style.strength, stroke_size=style.stroke_size)
    rows = [images, always(images), *(held_out(kind, 2 * SHAPES, style.stroke_size)[0] for kind in (1, 2, 3))]
    sheet = torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)
    pixels = (sheet.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    Image.fromarray(pixels).resize((2 * pixels.shape[1], 2 * pixels.shape[0]), Image.Resampling.NEAREST).save(path)


if __name__ == "__main__":
    main()
