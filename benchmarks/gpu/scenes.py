"""Frames to measure on, drawn without a codec: a textured wall with noise, and a disc that moves over it."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu.rows import width_for

# Frames repeat after as many.
PERIOD = 6


@cache
def scene(height: int, number: int) -> NDArray[np.uint8]:
    """Return frame ``number`` of the scene, ``(height, W, 3)`` RGB, 16:9."""
    width, draw = width_for(height), np.random.default_rng(number)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 16 / 9 : width * 1j].astype(np.float32)
    wall = [np.sin(k * x + 0.5 * k * y) * np.cos(0.7 * k * y) for k in (9.0, 13.0, 21.0)]
    levels = 120 + 60 * np.stack(wall, axis=2) + 30 * (np.sin(60 * x) > 0)[..., None]
    disc = np.hypot(x - 0.4 - 0.15 * number, y - 0.5) < 0.2
    levels[disc] = (230, 120, 40)
    levels += draw.normal(0, 2, levels.shape).astype(np.float32)
    return levels.clip(0, 255).astype(np.uint8)


def frames(height: int) -> list[NDArray[np.uint8]]:
    """Return one period of the scene."""
    return [scene(height, number) for number in range(PERIOD)]
