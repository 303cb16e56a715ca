"""The objects of the clip ``harbor``, painted in metres: a lighthouse, sailing boats, mooring posts, a gull."""

import numpy as np

from sample_videos.renderer.canvas import COOL, WARM, Canvas, arc
from sample_videos.renderer.layers import Bytes
from sample_videos.renderer.textures import color, finish, mix, noise_tile, sample, smoothstep


def boat(pixels_per_metre: float, sail: str, hull: str, facing_right: bool) -> Bytes:
    """A sailing boat 8 m long under main and jib; origin amidships at the waterline, 6 m to each side, 11 m up."""
    canvas = Canvas.spanning(-6, 6, -4, 11, pixels_per_metre)
    x, y = canvas.x, canvas.y
    cloth = color(sail)
    seams = 1 - 0.16 * np.exp(-((((y + 0.12 * x) * 1.3) % 1 - 0.5) ** 2) / 0.002)
    weave = seams * (1 + 0.05 * sample(noise_tile(71, 1.2), x * 30, y * 30))
    main = arc((-0.15, 1.5), (-0.2, 6), (0.05, 10.2)) + arc((0.05, 10.2), (-3.1, 6.2), (-3.9, 1.55)) + [(-3.9, 1.35)]
    belly = np.clip((x + 3.9 * (1 - (y - 1.4) / 9)) / (3.9 * (1.02 - (y - 1.4) / 9) + 0.2), 0, 1)
    glow = (0.42 + 0.62 * np.sin(np.pi * (0.12 + 0.62 * belly)) - 0.12 * smoothstep(6, 1.5, y)) * weave
    canvas.fill(canvas.mask(main), glow[..., None] * cloth * (WARM * 0.62 + COOL * 0.5))
    jib = arc((0.45, 1.35), (1.0, 4.5), (0.25, 8.8)) + arc((0.25, 8.8), (2.0, 4.6), (3.9, 1.15))
    fold = np.clip((x - 0.3) / (3.6 * (1.05 - (y - 1.2) / 7.6) + 0.1), 0, 1)
    shine = (0.38 + 0.6 * np.sin(np.pi * (0.2 + 0.75 * fold))) * weave
    canvas.fill(canvas.mask(jib), shine[..., None] * cloth * (WARM * 0.58 + COOL * 0.55))
    spar = color("8a5a34") * (WARM * 0.5 + COOL)
    canvas.fill(canvas.mask([(0.0, 0.5), (0.16, 0.5), (0.1, 10.5), (0.02, 10.5)]), spar)
    canvas.fill(canvas.mask([(-4.05, 1.28), (0.05, 1.38), (0.05, 1.52), (-4.05, 1.4)]), spar)
    canvas.fill(
        canvas.mask([(-2.2, 0.7), (1.2, 0.75), (0.8, 1.28), (-1.9, 1.22)]), color("e9dcc4") * (WARM * 0.4 + COOL)
    )
    for port in (-1.4, -0.6, 0.2):
        canvas.fill(canvas.mask([(port, 0.92), (port + 0.4, 0.92), (port + 0.4, 1.1), (port, 1.1)]), color("2b3a48"))
    deck = arc((-3.9, 0.82), (0, 0.5), (4.5, 1.12))
    side = [*deck, *arc((4.5, 1.12), (3.9, 0.3), (3.2, -0.05)), (-3.5, -0.05)]
    round_hull = 0.35 + 0.5 * smoothstep(-0.1, 1.0, y) + 0.10 * sample(noise_tile(72, 1.2), x * 25, y * 40)
    canvas.fill(canvas.mask(side), round_hull[..., None] * color(hull) * (WARM * 0.75 + COOL))
    stripe = [*deck, *[(px, py - 0.13) for px, py in deck[::-1]]]
    canvas.fill(canvas.mask(stripe), color("f3e3c8") * (WARM * 0.45 + COOL))
    sailor = arc((-2.8, 0.7), (-2.98, 1.45), (-2.7, 1.62)) + arc((-2.56, 1.62), (-2.2, 1.35), (-2.36, 0.7))
    canvas.fill(canvas.mask(sailor), color("a33527") * (WARM * 0.5 + COOL))
    canvas.fill(smoothstep(0.16, 0.11, np.hypot(x + 2.62, y - 1.74)), color("b88764") * (WARM * 0.5 + COOL))
    canvas.mirror(3.2, 73)
    texture = finish(canvas.light, canvas.alpha)
    return texture if facing_right else np.ascontiguousarray(texture[:, ::-1])


def lighthouse(pixels_per_metre: float) -> Bytes:
    """A banded lighthouse 27 m high with its keeper's cottage; origin at the foot, 12 m to each side."""
    canvas = Canvas.spanning(-14, 12, -2, 30, pixels_per_metre)
    x, y = canvas.x, canvas.y
    house = canvas.mask([(-12, -2), (-4.5, -2), (-4.5, 3.2), (-12, 3.2)])
    canvas.fill(
        house,
        (0.9 + 0.06 * sample(noise_tile(81, 1.0), x * 30, y * 30))[..., None] * color("efe2cf") * (WARM * 0.4 + COOL),
    )
    for left in (-11.2, -8.9, -6.6):
        canvas.fill(canvas.mask([(left, 0.6), (left + 1.1, 0.6), (left + 1.1, 2.3), (left, 2.3)]), color("33404d"))
    tiles = 0.75 + 0.25 * ((y * 3.2) % 1)
    roof = canvas.mask([(-12.6, 3.0), (-3.9, 3.0), (-5.4, 6.0), (-11.1, 6.0)])
    canvas.fill(roof, tiles[..., None] * color("a4452e") * (WARM * 0.55 + COOL))
    canvas.fill(canvas.mask([(-7, 5.4), (-6, 5.4), (-6, 7.2), (-7, 7.2)]), color("7d4a38") * (WARM * 0.5 + COOL))
    bands = mix(color("f6efe2"), color("c23a2b"), smoothstep(-0.08, 0.08, np.sin(np.pi * (y + 1.2) / 4.4)))
    canvas.round_bar([(3.1, -2), (2.7, 5), (2.25, 13), (2.0, 21.5)], bands, 0.05)
    for level in (4.5, 10.5, 16.5):
        canvas.fill(canvas.mask([(0.1, level), (0.8, level), (0.8, level + 1.3), (0.1, level + 1.3)]), color("2a2f38"))
    canvas.round_bar([(2.0, 21.4), (3.0, 22.2), (3.0, 22.8)], color("e6dccb"), 0.03)
    canvas.round_bar([(1.45, 22.8), (1.45, 25.6)], color("54616b"), 0.0)
    lamp = np.exp(-((np.hypot(x, y - 24.2) / 0.9) ** 2))[..., None] * color("ffd98a") * 2.2
    canvas.light += lamp * canvas.alpha[..., None]
    canvas.round_bar([(1.75, 25.5), (1.3, 26.5), (0.4, 27.3), (0.12, 27.6), (0.08, 29)], color("8f3026"), 0.0)
    for post in np.linspace(-2.9, 2.9, 9):
        canvas.fill(canvas.mask([(post, 22.8), (post + 0.16, 22.8), (post + 0.16, 24), (post, 24)]), color("494039"))
    canvas.fill(canvas.mask([(-2.95, 23.85), (3.05, 23.85), (3.05, 24.05), (-2.95, 24.05)]), color("494039"))
    return finish(mix(canvas.light, color("eebd94") * 0.8, np.full_like(x, 0.08)), canvas.alpha)


def posts(pixels_per_metre: float) -> Bytes:
    """Three weathered mooring posts with a slack rope; origin at the waterline by the middle one."""
    canvas = Canvas.spanning(-3.4, 3.4, -2.2, 2.9, pixels_per_metre)
    for foot, top, radius in ((-2.5, 1.75, 0.17), (0.0, 2.25, 0.2), (2.4, 1.9, 0.18)):
        shifted = Canvas(canvas.x - foot - 0.02 * canvas.y, canvas.y, pixels_per_metre, canvas.light, canvas.alpha)
        grain = 0.62 + 0.2 * sample(noise_tile(91, 1.1), shifted.x * 160, canvas.y * 14 + 50 * foot)
        wet = smoothstep(0.45, 0.25, canvas.y + 0.06 * sample(noise_tile(92, 1.3), canvas.x * 60, canvas.y * 60))
        tint = mix(grain[..., None] * color("a08468"), color("33351f") * 0.8, wet)
        side = np.clip(shifted.x / radius, -1, 1)
        light = np.clip(-0.75 * side + 0.6 * np.sqrt(1 - side**2), 0, 1)[..., None] * WARM + COOL
        body = smoothstep(radius + 0.012, radius - 0.012, np.abs(shifted.x)) * (canvas.y < top)
        canvas.fill(body.astype(np.float32), tint * light)
        disc = ((shifted.x / radius) ** 2 + ((canvas.y - top) / 0.05) ** 2) ** 0.5
        canvas.fill(smoothstep(1.08, 0.94, disc), (grain[..., None] * color("d9b68c")) * (WARM * 0.7 + COOL))
    for start, end in (((-2.5, 1.45), (0.0, 1.8)), ((0.0, 1.8), (2.4, 1.5))):
        middle = ((start[0] + end[0]) / 2, min(start[1], end[1]) - 0.95)
        curve = arc(start, middle, end)
        rope = [(x, y + 0.035) for x, y in curve] + [(x, y - 0.035) for x, y in curve[::-1]]
        twist = 0.7 + 0.3 * np.sin((canvas.x + canvas.y) * 90)
        canvas.fill(canvas.mask(rope), twist[..., None] * color("c9ab7e") * (WARM * 0.5 + COOL))
    canvas.mirror(2.1, 93)
    return finish(canvas.light, canvas.alpha)


def gull(pixels_per_metre: float) -> Bytes:
    """A gull gliding to the left; origin at its breast, 0.9 m to each side."""
    canvas = Canvas.spanning(-0.9, 0.9, -0.4, 0.6, pixels_per_metre)
    far_wing = arc((-0.05, 0.05), (0.1, 0.42), (0.62, 0.5)) + arc((0.62, 0.5), (0.3, 0.22), (0.16, 0.02))
    canvas.fill(canvas.mask(far_wing), color("a9adb8") * (WARM * 0.3 + COOL))
    body = arc((-0.36, 0.0), (-0.1, 0.16), (0.4, 0.03)) + arc((0.4, 0.03), (-0.05, -0.16), (-0.36, 0.0))
    shade = 0.6 + 0.5 * smoothstep(-0.1, 0.1, canvas.y)
    canvas.fill(canvas.mask(body), shade[..., None] * color("f7f1e6") * (WARM * 0.4 + COOL))
    wing = arc((-0.14, 0.04), (-0.28, 0.4), (-0.72, 0.36)) + arc((-0.72, 0.36), (-0.2, 0.2), (0.12, 0.0))
    tip = mix(color("d4d6da"), color("2b2b30"), smoothstep(-0.5, -0.62, canvas.x))
    canvas.fill(canvas.mask(wing), tip * (WARM * 0.42 + COOL))
    canvas.fill(canvas.mask([(-0.44, -0.03), (-0.33, 0.03), (-0.33, -0.02)]), color("e0962e") * WARM * 0.5)
    return finish(canvas.light, canvas.alpha)
