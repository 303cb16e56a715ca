"""Synthetic frames for the stabilizer: smooth scenes that move, fade and carry a sensor's noise."""

import numpy as np
from numpy.typing import NDArray

from pipeline.frames import Pixels

HEIGHT, WIDTH = 72, 128


def scene(seed: int, *, shift: int = 0, light: float = 1.0) -> Pixels:
    """Smooth colored clouds ``(72, 128, 3)``, other colors for each seed; ``shift`` moves them right, in pixels."""
    draw = np.random.default_rng(seed)
    coarse = draw.uniform(0, 1, (6, 24, 3)) * draw.permutation([0.3, 0.7, 1.0])
    rows, columns = np.linspace(0, 5, HEIGHT), (np.arange(WIDTH) - shift) * 11 / WIDTH + 6
    image = _interpolate(_interpolate(coarse, rows, 0), columns, 1)
    return np.clip(image * 255 * light, 0, 255).astype(np.uint8)


def noisy(pixels: Pixels, seed: int, deviation: float = 4.0) -> Pixels:
    """``pixels`` with Gaussian noise."""
    noise = np.random.default_rng(seed).normal(0, deviation, pixels.shape)
    return np.clip(pixels + noise, 0, 255).round().astype(np.uint8)


def _interpolate(values: NDArray[np.float64], places: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    low = np.floor(places).astype(int)
    part = (places - low).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
    part = part * part * (3 - 2 * part)
    return np.take(values, low, axis) * (1 - part) + np.take(values, low + 1, axis, mode="clip") * part
