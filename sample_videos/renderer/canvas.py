"""Draw objects in metres, with light and coverage."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike

from sample_videos.renderer.layers import Array
from sample_videos.renderer.textures import band_tile, color, noise_tile, polygon, sample, smoothstep

WARM, COOL = color("ffc58a") * 2.0, color("8ba3cc") * 0.5
"""Light of the low sun and of the sky."""


@dataclass(slots=True)
class Canvas:
    """An image in metres: ``x`` to the right of and ``y`` above its origin; linear light and coverage.

    Attributes:
        x: metres right of the origin at each pixel, ``(height, width)``.
        y: metres above the origin at each pixel.
        pixels_per_metre: scale.
        light: ``(height, width, 3)`` linear light.
        alpha: ``(height, width)``, 0 to 1.
    """

    x: Array
    y: Array
    pixels_per_metre: float
    light: Array
    alpha: Array

    @classmethod
    def spanning(cls, left: float, right: float, bottom: float, top: float, pixels_per_metre: float) -> "Canvas":
        """Return an empty canvas between these metres."""
        columns = (np.arange(round((right - left) * pixels_per_metre), dtype=np.float32) + 0.5) / pixels_per_metre
        rows = (np.arange(round((top - bottom) * pixels_per_metre), dtype=np.float32) + 0.5) / pixels_per_metre
        x, y = np.meshgrid(left + columns, top - rows)
        return cls(x, y, pixels_per_metre, np.zeros((*x.shape, 3), np.float32), np.zeros_like(x))

    def part(self, left: float, bottom: float, right: float, top: float) -> "Canvas":
        """Return the view between these metres, extended to whole pixels; drawing on it draws on this canvas."""
        first, last = np.searchsorted(self.x[0], (left, right))
        high, low = np.searchsorted(-self.y[:, 0], (-top, -bottom))
        at = (slice(max(high - 1, 0), low + 1), slice(max(first - 1, 0), last + 1))
        return Canvas(self.x[at], self.y[at], self.pixels_per_metre, self.light[at], self.alpha[at])

    def mask(self, points: ArrayLike) -> Array:
        """Return the coverage of the polygon through these ``(n, 2)`` points in metres."""
        corner = np.array([self.x[0, 0], self.y[0, 0]])
        return polygon(self.x.shape, (np.asarray(points) - corner) * (self.pixels_per_metre, -self.pixels_per_metre))

    def fill(self, mask: ArrayLike, light: ArrayLike) -> None:
        """Cover the pixels of ``mask`` with a color, or with an image of colors."""
        cover = np.asarray(mask, np.float32)
        self.light += (np.asarray(light, np.float32) - self.light) * cover[..., None]
        self.alpha[...] = np.maximum(self.alpha, cover)

    def round_bar(self, points: ArrayLike, tint: Array, grain: float = 0.15) -> None:
        """Draw an upright round object: ``points`` are ``(n, 2)`` radii and heights from the foot up, about x = 0."""
        profile = np.asarray(points, np.float32)
        outline = np.concatenate([profile * (-1, 1), profile[::-1]])
        radius = np.interp(self.y, profile[:, 1], profile[:, 0])
        side = np.clip(self.x / np.maximum(radius, 1e-3), -1, 1)
        light = np.clip(-0.72 * side + 0.62 * np.sqrt(1 - side**2), 0, 1)[..., None] * WARM + COOL
        rough = 1 + grain * sample(noise_tile(61, 1.0), self.x * 40, self.y * 12)
        self.fill(self.mask(outline), tint * light * rough[..., None])

    def mirror(self, depth: float, seed: int) -> None:
        """Mirror the objects above ``y = 0`` in calm, rippled water, down to ``depth`` metres."""
        ripple = sample(band_tile(seed, 50), self.x * 6, self.y * 45) * (0.02 - 0.05 * self.y)
        row = (self.y[0, 0] + self.y) * self.pixels_per_metre
        column = (self.x - self.x[0, 0] + ripple) * self.pixels_per_metre
        above = cv2.remap(np.dstack([self.light, self.alpha]), column, row, cv2.INTER_LINEAR)
        gaps = smoothstep(1.5, 0.2, sample(band_tile(seed + 1, 60), self.x * 5, self.y * 40) - 1.5 * self.y / depth - 1)
        water = self.y < 0
        self.light[water] = (above[..., :3] * 0.35 + color("2a5560") * 0.35)[water]
        self.alpha[water] = (np.round(above[..., 3]) * gaps * smoothstep(-depth, -depth * 0.4, self.y) * 0.9)[water]


def arc(start: tuple[float, float], bulge: tuple[float, float], end: tuple[float, float]) -> list[tuple[float, float]]:
    """Return points of the quadratic Bezier curve between two points with the control point ``bulge``."""
    t = np.linspace(0, 1, 24)[:, None]
    curve = (1 - t) ** 2 * np.array(start) + 2 * t * (1 - t) * np.array(bulge) + t**2 * np.array(end)
    return [(float(x), float(y)) for x, y in curve]
