"""Natural-looking surfaces from noise and light, of which the scenes are made.

Colors are linear light, float32, about 0 to 1, until ``finish`` makes them a layer's texture.
"""

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sample_videos.renderer.layers import Array, Bytes

TILE = 512


@cache
def noise_tile(seed: int, steepness: float = 1.0) -> Array:
    """Seamless fractal noise of mean 0 and standard deviation 1: ``(512, 512)`` float32.

    White noise whose spectrum is scaled by ``1 / frequency ** steepness``: 0 is white, 1 cloudy, 2 hilly.
    """
    white = np.random.default_rng(seed).standard_normal((TILE, TILE))
    frequency = np.hypot(*np.meshgrid(np.fft.rfftfreq(TILE), np.fft.fftfreq(TILE)))
    frequency[0, 0] = np.inf
    tile = np.fft.irfft2(np.fft.rfft2(white) * frequency**-steepness, (TILE, TILE))
    return np.asarray((tile - tile.mean()) / tile.std(), np.float32)


@cache
def band_tile(seed: int, waves: float = 32.0) -> Array:
    """Seamless noise of one feature size, about ``waves`` ups and downs a side: ``(512, 512)`` float32, deviation 1."""
    white = np.random.default_rng(seed).standard_normal((TILE, TILE))
    frequency = TILE * np.hypot(*np.meshgrid(np.fft.rfftfreq(TILE), np.fft.fftfreq(TILE)))
    shape = np.exp(-(((frequency - waves) / (0.35 * waves)) ** 2))
    tile = np.fft.irfft2(np.fft.rfft2(white) * shape, (TILE, TILE))
    return np.asarray(tile / tile.std(), np.float32)


def sample(tile: Array, x: ArrayLike, y: ArrayLike) -> Array:
    """Read a seamless tile at any places, in pixels of the tile; ``x`` and ``y`` of one two-dimensional shape."""
    size = tile.shape[0]
    u, v = np.mod(np.asarray(x), size).astype(np.float32), np.mod(np.asarray(y), size).astype(np.float32)
    out = cv2.remap(tile, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return np.asarray(out, np.float32)


def smoothstep(low: float, high: float, value: ArrayLike) -> Array:
    """Rise smoothly from 0 at ``low`` to 1 at ``high``."""
    t = np.clip((np.asarray(value, np.float32) - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def color(text: str) -> Array:
    """A color written as in web pages (``"c08040"``, sRGB) as linear light: ``(3,)``."""
    values = np.array([int(text[i : i + 2], 16) for i in (0, 2, 4)], np.float32) / 255
    return np.asarray(values**2.2, np.float32)


def mix(first: ArrayLike, second: ArrayLike, amount: ArrayLike) -> Array:
    """Blend two colors, or images of colors, by an amount per pixel."""
    part = np.asarray(amount, np.float32)[..., None]
    return np.asarray(np.asarray(first) * (1 - part) + np.asarray(second) * part, np.float32)


def ramp(value: ArrayLike, *stops: tuple[float, str]) -> Array:
    """Colors along a scale: linear between ``stops`` of rising value."""
    at = [stop for stop, _ in stops]
    colors = np.stack([color(text) for _, text in stops])
    return np.stack([np.interp(np.asarray(value), at, colors[:, i]) for i in range(3)], axis=-1).astype(np.float32)


def relief(height: Array, strength: float, light: tuple[float, float, float]) -> Array:
    """Return the brightness, 0 to 1, of a height map; ``light`` points to the light (x, y down, towards the camera)."""
    dx, dy = cv2.Sobel(height, -1, 1, 0, scale=strength / 8), cv2.Sobel(height, -1, 0, 1, scale=strength / 8)
    direction = np.asarray(light, np.float32) / np.linalg.norm(light)
    lit = -dx * direction[0] - dy * direction[1] + direction[2]
    return np.asarray(np.clip(lit / np.sqrt(1 + dx * dx + dy * dy), 0, None), np.float32)


def grid(left: float, top: float, right: float, bottom: float, scale: float) -> tuple[Array, Array]:
    """Columns and rows in reference pixels of the texture that spans this part of the reference frame."""
    columns = left + (np.arange(round((right - left) * scale), dtype=np.float32) + 0.5) / scale - 0.5
    rows = top + (np.arange(round((bottom - top) * scale), dtype=np.float32) + 0.5) / scale - 0.5
    x, y = np.meshgrid(columns, rows)
    return x, y


def finish(light: Array, alpha: ArrayLike = 1.0) -> Bytes:
    """Linear light and coverage as a layer's texture: filmic shoulder, sRGB, colors multiplied by alpha."""
    exposed = np.maximum(light, 0)
    toned = exposed * (1 + exposed / 4) / (1 + exposed * 0.85)
    cover = np.broadcast_to(np.asarray(alpha, np.float32), light.shape[:2])[..., None]
    rgb = np.clip(toned, 0, 1) ** np.float32(1 / 2.2) * cover
    return np.asarray(np.rint(np.concatenate([rgb, cover], axis=2) * 255), np.uint8)


def polygon(shape: tuple[int, ...], points: ArrayLike) -> Array:
    """Coverage of a polygon with smooth edges: ``points`` are ``(n, 2)`` pixels; ``(height, width)``, 0 to 1."""
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.rint(np.asarray(points) * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
    return np.asarray(mask / 255, np.float32)


Heights = Callable[[Array, Array], Array]


def terrain(
    x: Array, heights: Heights, depths: NDArray[np.float32], rows: Array, focal_px: float, horizon_px: float, eye: float
) -> tuple[Array, Array, Array]:
    """Return the visible place of a landscape for each pixel.

    Args:
        x: ``(width,)`` columns of the reference frame.
        heights: metres above the ground at places x, z in metres.
        depths: ``(steps,)`` rising distances in metres at which rays are tested.
        rows: ``(height,)`` rising rows of the reference frame.
        focal_px: of the lens.
        horizon_px: of the lens.
        eye: metres of the camera above the ground.

    Returns:
        x and z in metres and coverage 0 to 1, each ``(height, width)``.
    """
    direction = (x - 319.5) / focal_px
    steps_x = direction[None, :] * depths[:, None]
    steps_z = np.broadcast_to(depths[:, None], steps_x.shape).astype(np.float32)
    seen = horizon_px - focal_px * (heights(steps_x.astype(np.float32), steps_z) - eye) / depths[:, None]
    skyline = np.minimum.accumulate(seen, axis=0)
    depth = np.empty((len(rows), len(x)), np.float32)
    for i in range(len(x)):
        depth[:, i] = np.interp(-rows, -skyline[:, i], depths)
    step = abs(float(rows[1] - rows[0]))
    cover = np.clip((rows[:, None] - skyline[-1][None, :]) / step + 0.5, 0, 1).astype(np.float32)
    return direction[None, :] * depth, depth, cover
