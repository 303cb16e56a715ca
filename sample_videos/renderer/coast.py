"""The land, sea and sky of the clip ``harbor``: everything too large to be an object."""

import cv2
import numpy as np

from sample_videos.renderer.layers import Array, Bytes, Lens
from sample_videos.renderer.textures import (
    Heights,
    band_tile,
    color,
    finish,
    grid,
    mix,
    noise_tile,
    ramp,
    sample,
    smoothstep,
    terrain,
)

LENS = Lens(focal_px=560, horizon_px=158, eye_metres=4.5)
SUN = (-0.36, 0.17)
LIGHT = (-0.78, 0.5, -0.36)
HAZE = "eebd94"
CLOUD_SHIFT = (200.0, 120.0)


def heaven(across: Array, up: Array) -> Array:
    """Clear evening sky: linear light ``(h, w, 3)`` at tangents right of straight ahead and above the horizon."""
    base = ramp(up, (0.0, "f3c79c"), (0.05, "e9c7ad"), (0.12, "b9c3cf"), (0.22, "86a8cc"), (0.4, "4f7fb5"))
    away = np.hypot((across - SUN[0]) * 0.8, up - SUN[1])
    glow = (
        np.exp(-away / 0.09)[..., None] * color("ffc873") * 1.3 + np.exp(-away / 0.3)[..., None] * color("ff9a4d") * 0.5
    )
    return np.asarray(base * 0.8 + glow, np.float32)


def sky(left: float, top: float, right: float, bottom: float, scale: float) -> Bytes:
    """Clouds lit from behind by a low sun."""
    x, y = grid(left, top, right, bottom, scale)
    across, up = (x - 319.5) / LENS.focal_px, np.maximum((LENS.horizon_px - y) / LENS.focal_px, 0)
    far = 1 / (up + 0.13)
    u, v = across * far * 62, far * 96

    def thick(du: float, dv: float) -> Array:
        swirl = sample(noise_tile(5, 1.6), u * 0.6 + du, v * 0.6 + dv) * 7
        return sample(
            noise_tile(3, 1.7), u + du + swirl + CLOUD_SHIFT[0], v + dv + swirl + CLOUD_SHIFT[1]
        ) + 0.1 * sample(noise_tile(4, 1.2), 3.1 * (u + du), 3.1 * (v + dv))

    here = thick(0, 0)
    density = smoothstep(-0.25, 0.85, here - 0.2 * smoothstep(0.08, 0.0, up))
    toward = np.clip(0.5 + 0.9 * (here - thick(-5, 5)), 0, 1)
    away = np.hypot(across - SUN[0], up - SUN[1])
    lit = color("fff0d8") * 1.25 + np.exp(-away / 0.22)[..., None] * color("ffb057") * 1.5
    shade = mix(color("8d8ca6"), color("c98a78"), np.exp(-away / 0.35))
    cloud = mix(shade, lit, smoothstep(0.1, 0.9, toward * (1.25 - 0.55 * density)))
    disc = smoothstep(0.024, 0.016, away)[..., None] * color("fff0b8") * 3.5
    disc += np.exp(-away / 0.028)[..., None] * color("ffcf80") * 0.9
    return finish(mix(heaven(across, up), cloud, 0.92 * density) + disc * (1 - 0.55 * density)[..., None])


def lit_ground(x: Array, z: Array, heights: Heights, step: Array) -> tuple[Array, Array]:
    """Light on the ground (0 to 1) and its steepness (rise over run) at places in metres."""
    slope_x = (heights(x + step, z) - heights(x - step, z)) / (2 * step)
    slope_z = (heights(x, z + step) - heights(x, z - step)) / (2 * step)
    steep = np.hypot(slope_x, slope_z)
    facing_light = (-slope_x * LIGHT[0] + LIGHT[1] - slope_z * LIGHT[2]) / np.sqrt(1 + steep**2)
    return np.clip(facing_light, 0, 1), steep


def visible_places(
    heights: Heights, near: float, far: float, left: float, top: float, right: float, scale: float, steps: int = 500
) -> tuple[Array, Array, Array]:
    """Return the places visible in a landscape between two depths, from the skyline to just below the horizon."""
    bottom = LENS.horizon_px + LENS.focal_px * LENS.eye_metres / near + 1
    x, y = grid(left, top, right, bottom, scale)
    depths = np.geomspace(near, far, steps).astype(np.float32)
    return terrain(x[0], heights, depths, y[:, 0], LENS.focal_px, LENS.horizon_px, LENS.eye_metres)


def peak(left: float, top: float, right: float, scale: float) -> Bytes:
    """A snow-capped volcano in the haze, with foothills."""

    def heights(x: Array, z: Array) -> Array:
        away = np.hypot(x - 350, z - 7600)
        cone = 1560 * np.exp(-away / 1050) * (away > 0) - 190
        cone = np.minimum(cone, 960 - away * 0.12)
        gullies = sample(band_tile(11, 20), np.arctan2(x - 350, z - 7600) * 256 / np.pi + 9, away / 60)
        rough = 90 * np.abs(sample(noise_tile(12, 1.7), x / 9, z / 9)) * smoothstep(0, 1500, away)
        rolling = 240 * smoothstep(900, 3000, away) * (0.45 + 0.5 * sample(noise_tile(13, 1.9), x / 14 + 40, z / 14))
        return np.asarray(cone + rough + rolling + 22 * gullies * smoothstep(40, 600, away), np.float32)

    x, z, cover = visible_places(heights, 4200, 9000, left, top, right, scale)
    light, steep = lit_ground(x, z, heights, np.asarray(z / 700, np.float32))
    height = heights(x, z)
    ragged = 130 * sample(noise_tile(14, 1.4), x / 5, z / 5)
    snow = smoothstep(430, 600, height + ragged - 120 * steep)
    albedo = mix(ramp(height, (0, "4c5c4e"), (300, "5a5a60"), (700, "6b6470")), color("ffffff"), snow)
    surface = albedo * (light[..., None] * color("ffd9a8") * 1.5 + color("93a9d0") * 0.5)
    return finish(mix(surface, color(HAZE) * 0.95, 0.36 + 0.45 * smoothstep(420, -60, height)), cover)


def hills(left: float, top: float, right: float, scale: float) -> Bytes:
    """Wooded hills along the far shore."""

    def heights(x: Array, z: Array) -> Array:
        shore = smoothstep(850, 1150, z + 60 * sample(noise_tile(21, 1.8), x / 5, z / 5))
        form = 62 + 46 * sample(noise_tile(22, 2.0), x / 7 + 100, z / 7) - 0.06 * np.abs(x + 600) + 0.04 * np.abs(x)
        woods = 5 * sample(band_tile(23, 60), x / 2.2, z / 2.2) + 3 * sample(band_tile(24, 110), x / 2.4, z / 2.4)
        return np.asarray(shore * np.maximum(form, 6) + woods * shore - 2, np.float32)

    x, z, cover = visible_places(heights, 800, 2000, left, top, right, scale, 700)
    light, _ = lit_ground(x, z, heights, np.full_like(z, 3.0))
    tint = smoothstep(-1.2, 1.2, sample(noise_tile(25, 1.2), x / 4, z / 4))
    albedo = mix(color("3d5235"), color("7b7440"), tint)
    height = heights(x, z)
    albedo = mix(color("a08a68"), albedo, smoothstep(1.5, 7, height))
    surface = albedo * (light[..., None] * color("ffc68a") * 2.2 + color("7f97bd") * 0.55)
    return finish(mix(surface, color(HAZE) * 0.85, 0.3 + 0.2 * smoothstep(900, 1600, z)), cover * (height > -1))


def headland(left: float, top: float, right: float, scale: float) -> Bytes:
    """A rocky cape with grass on top."""

    def heights(x: Array, z: Array) -> Array:
        edge = 9 * sample(noise_tile(31, 1.8), x / 0.7, z / 0.7)
        inside = smoothstep(22, 74, x + edge + 0.12 * (z - 180)) * smoothstep(156, 210, z + edge)
        crag = np.abs(sample(noise_tile(32, 1.35), x / 0.22, z / 0.22))
        stone = 2.2 * crag + 0.8 * np.abs(sample(band_tile(33, 60), x / 0.13, z / 0.13))
        top_height = 10 + 0.10 * (x - 50) + 2 * sample(noise_tile(34, 2.0), x / 0.6, z / 0.6)
        return np.asarray(inside * top_height + stone * smoothstep(0, 0.25, inside) * (1.15 - inside) - 0.6, np.float32)

    x, z, cover = visible_places(heights, 122, 300, left, top, right, scale, 1000)
    light, steep = lit_ground(x, z, heights, np.full_like(z, 0.25))
    height = heights(x, z)
    grain = sample(noise_tile(35, 1.1), x / 0.22 + z, height / 0.16)
    rock = mix(color("6a5646"), color("a58a6c"), smoothstep(-1.5, 1.5, grain))
    grass = mix(color("4d5c2a"), color("8d8a3e"), smoothstep(-1.3, 1.6, grain))
    albedo = mix(rock, grass, smoothstep(1.1, 0.55, steep) * smoothstep(3.5, 7, height + grain))
    albedo = mix(albedo, color("2c2622"), smoothstep(1.3, 0.2, height) * 0.8)
    surface = albedo * (light[..., None] * color("ffc184") * 2.4 + color("8095bd") * 0.42)
    return finish(mix(surface, color(HAZE) * 0.8, np.full_like(z, 0.07)), cover * smoothstep(0.0, 0.15, height))


def sea(left: float, top: float, right: float, bottom: float, scale: float) -> Bytes:
    """Water with waves of many lengths, mirroring the sky and the low sun."""
    x, y = grid(left, top, right, bottom, scale)
    below = np.maximum(y - LENS.horizon_px, 0.25) / LENS.focal_px
    z = LENS.eye_metres / below
    ground_x = (x - 319.5) / LENS.focal_px * z
    slope_x, slope_z, crest = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
    footprint = z * z / (LENS.focal_px * LENS.eye_metres) / scale
    for number, length in enumerate((14.0, 7.5, 4.0, 2.1, 1.15, 0.6, 0.33)):
        visible = smoothstep(0.6, 0.14, footprint / length)
        pitch = 32 * length / 512
        turned_x = ground_x * 0.8 + (0.35 - 0.2 * (number % 3)) * z
        u, v = turned_x / (pitch * 1.35) + 61 * number, z / pitch + 37 * number
        wave = band_tile(40 + number, 32)
        here = sample(wave, u, v)
        slope_x += 0.035 * visible * (sample(wave, u + 2, v) - here)
        slope_z += (0.05 + 0.004 * number) * visible * (sample(wave, u, v + 2) - here)
        crest += visible * here * length**0.5
    view = np.stack([ground_x, np.full_like(x, -LENS.eye_metres), z], axis=-1)
    view /= np.linalg.norm(view, axis=-1, keepdims=True)
    normal = np.stack([-slope_x, np.ones_like(x), -slope_z], axis=-1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    facing_us = np.sqrt(np.clip(-np.sum(view * normal, axis=-1), 0, 1) ** 2 + 0.07**2)
    mirrored = view + 2 * facing_us[..., None] * normal
    ahead = np.maximum(mirrored[..., 2], 0.15)
    up = np.abs(mirrored[..., 1]) / ahead + 0.03
    across = mirrored[..., 0] / ahead
    fresnel = np.clip(0.02 + 0.98 * (1 - facing_us) ** 5, 0, 0.85)
    deep = mix(color("0f4a5c"), color("2b8076"), smoothstep(-1.0, 2.2, crest / 5.4) * 0.9)
    shore = (
        0.5 * smoothstep(0.1, -0.5, (x - 319.5) / LENS.focal_px) * smoothstep(70, 320, z) * smoothstep(0.2, 0.06, up)
    )
    glitter = np.exp(-(((across - SUN[0]) / 0.09) ** 2) - ((up - SUN[1]) / 0.12) ** 2)[..., None]
    water = mix(deep * 0.75, heaven(across, up), fresnel)
    water = mix(water, color("4a4f3c") * 0.9, shore) + glitter * color("ffc070") * 1.4
    foam = smoothstep(2.3, 3.1, crest / 5.4 + 0.8 * sample(noise_tile(47, 0.8), ground_x * 14, z * 40))
    water = mix(water, color("f2dcc4") * 0.9, 0.6 * foam * smoothstep(160, 40, z))
    return finish(mix(water, color(HAZE) * 0.85, 0.55 * smoothstep(250, 2500, z)))


def boulders(left: float, top: float, right: float, bottom: float, scale: float) -> Bytes:
    """Rounded rocks of the breakwater on which the camera travels, lichen on some."""
    x, y = grid(left, top, right, bottom, scale)
    light, cover = np.zeros((*x.shape, 3), np.float32), np.zeros_like(x)
    rough = sample(noise_tile(51, 1.45), x * 0.8, y * 1.1)
    bump_x, bump_y = (rough - np.roll(rough, 1, axis) for axis in (1, 0))
    grain = sample(noise_tile(55, 0.7), x * 1.7, y * 1.7)
    patches = sample(noise_tile(56, 1.3), x * 1.3, y * 1.3)
    for center_x, center_y, wide, tall, tint in boulder_places(left, right):
        rows = slice(max(0, int((center_y - 1.7 * tall - top) * scale)), None)
        reach = 1.7 * wide
        columns = slice(max(0, int((center_x - reach - left) * scale)), max(0, int((center_x + reach - left) * scale)))
        part = (rows, columns)
        across, down = (x[part] - center_x) / wide, (y[part] - center_y) / tall
        wobble = sample(noise_tile(57, 1.7), x[part] + 91 * tint, y[part] * 1.2)
        out = (np.abs(across) ** 2.5 + np.abs(down) ** 2.5) ** 0.4 + 0.11 * wobble + 0.012 * rough[part]
        light[part] *= 1 - 0.72 * np.exp(-np.maximum(out - 1, 0) / 0.12)[..., None]
        toward_us = np.sqrt(np.clip(1 - out**2, 0, 1))
        normal = (across * 0.9 - 1.1 * bump_x[part], down * 0.9 - 1.1 * bump_y[part], 0.25 + toward_us)
        length = np.sqrt(sum(n * n for n in normal))
        lit = np.clip((-0.72 * normal[0] - 0.62 * normal[1] + 0.22 * normal[2]) / length, 0, 1)
        sky_light = np.clip(0.55 - 0.5 * normal[1] / length, 0.1, 1)
        albedo = mix(color("5f5049"), color("b09a82"), smoothstep(-2, 2, grain[part] + 1.4 * tint - 0.7))
        albedo = mix(albedo, color("b3a04a"), 0.65 * smoothstep(0.5, 1.1, patches[part] - 0.5 * down))
        stone = albedo * (lit[..., None] * color("ffbf82") * 2.4 + sky_light[..., None] * color("8ba0c8") * 0.55)
        inside = smoothstep(1 + 0.8 / tall, 1 - 0.8 / tall, out)
        light[part] = mix(light[part], stone, inside)
        cover[part] = np.maximum(cover[part], inside)
    return finish(light, cover)


def boulder_places(left: float, right: float) -> list[tuple[float, float, float, float, float]]:
    """Column, row, half width, half height, each in reference pixels, and tint (0 to 1) of rocks from far to near."""
    random = np.random.default_rng(58)
    places = []
    for row, size in ((352, 22), (366, 30), (384, 38)):
        column = left
        while column < right:
            wide = size * random.uniform(0.8, 1.9)
            lift = 16 * np.sin(column / 95 + 0.6) + random.uniform(-7, 7)
            places.append((column, row - lift, wide, size * random.uniform(0.75, 1.1), random.uniform(0, 1)))
            column += 1.25 * wide
    return places


def grass(left: float, top: float, right: float, bottom: float, scale: float) -> Bytes:
    """Tufts of tall shore grass, close to the camera."""
    random = np.random.default_rng(59)
    size = (round((bottom - top) * scale), round((right - left) * scale))
    texture = np.zeros((*size, 4), np.uint8)
    for middle in np.arange(left + 60, right, 215):
        spread = random.uniform(22, 44)
        for _ in range(int(spread * 5)):
            root = random.normal(middle, spread)
            tall = random.uniform(45, 125) * np.exp(-(((root - middle) / (1.6 * spread)) ** 2))
            lean = 0.5 * (root - middle) + random.normal(6, 14)
            t = np.linspace(0, 1, 9)
            x, y = root + lean * t**2, bottom - 2 - tall * (t - 0.12 * t**3)
            thin = 1.5 * (1 - t) ** 0.7 + 0.15
            blade = np.concatenate([np.stack([x - thin, y], 1), np.stack([x + thin, y], 1)[::-1]])
            tint = mix(color("4f5a22"), color("c9a650"), random.uniform(0, 1)) * random.uniform(0.35, 1.5)
            rgba = [float(v) for v in finish(tint[None, None])[0, 0]]
            points = np.rint((blade - (left, top)) * scale * 16).astype(np.int32)
            cv2.fillPoly(texture, [points], rgba, cv2.LINE_AA, shift=4)
    return texture
