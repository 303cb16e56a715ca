"""The ground, sky and objects of the clip ``street``."""

from itertools import pairwise

import cv2
import numpy as np

from sample_videos.renderer.canvas import Canvas, arc
from sample_videos.renderer.houses import LENS, fronts, rectangle, row_of_houses
from sample_videos.renderer.layers import Array, Bytes
from sample_videos.renderer.textures import color, finish, grid, mix, noise_tile, ramp, sample, smoothstep

SUNLIT = color("ffe2b4") * 1.75 + color("a9bfe0") * 0.5
SHADE = color("a9bfe0") * 0.62


def sky(left: float, top: float, right: float, bottom: float, scale: float) -> Bytes:
    """A blue afternoon sky with heaped clouds lit from the left."""
    x, y = grid(left, top, right, bottom, scale)
    up = np.clip((LENS.horizon_px - y) / LENS.focal_px, 0, 1)
    blue = ramp(up, (0.0, "dce9f2"), (0.12, "b3d3ec"), (0.28, "7fb2e0"), (0.45, "5590cf"))
    far = 1 / (up + 0.22)
    u, v = (x - 319.5) / LENS.focal_px * far * 62 + 55, far * 74 + 300

    def thick(du: float, dv: float) -> Array:
        billow = np.abs(sample(noise_tile(112, 1.3), 2.3 * (u + du), 2.3 * (v + dv)))
        return np.asarray(sample(noise_tile(111, 1.75), u + du, v + dv) - 0.22 * billow + 0.15, np.float32)

    here = thick(0, 0)
    density = smoothstep(0.05, 0.6, here)
    lit = smoothstep(-0.55, 0.75, here - thick(-4, 5) + 0.35 - 0.35 * density)
    cloud = mix(color("94a4bb"), color("fffaf0") * 1.6, lit)
    return finish(mix(blue * 1.05, cloud, 0.95 * density))


def paving(left: float, top: float, right: float, bottom: float, scale: float) -> Bytes:
    """Cobbles between two pavements of flagstones; the right-hand houses throw their shadow over half of it."""
    x, y = grid(left, top, right, bottom, scale)
    z = LENS.focal_px * LENS.eye_metres / np.maximum(y - LENS.horizon_px, 0.5)
    side = (x - 319.5) * z / LENS.focal_px
    walk = smoothstep(4.02, 4.06, np.abs(side))
    cobbles, flags = stones(side, z, 0.17, 0.24, scale), stones(side, z, 0.62, 0.9, scale)
    stone = mix(cobbles * color("a89c90"), flags * color("c4b6a0"), walk)
    worn = 1 + 0.10 * sample(noise_tile(123, 1.6), side * 24, z * 24)
    curb = np.exp(-(((np.abs(side) - 4.0) / 0.07) ** 2))
    stone = stone * (worn * (1 - 0.45 * curb))[..., None]
    for offset in (-0.72, 0.72):
        stone = mix(stone, color("59585c"), 0.6 * smoothstep(0.1, 0.05, np.abs(z - 38 - offset)))
    roofs = 0.7 + 1.4 * np.abs(((z + 1.2) / 5.2) % 1 - 0.5) + 0.05 * sample(noise_tile(124, 1.2), z * 20, side * 20)
    lit = smoothstep(0.1, -0.1, side - roofs) * smoothstep(31.5, 30.5, z) + smoothstep(31, 32, z)
    light = mix(SHADE, SUNLIT * 0.85, lit)
    contact = 1 - 0.5 * np.exp(-(6 - np.clip(np.abs(side), 0, 6)) / 0.4) * smoothstep(33, 31, z)
    return finish(stone * light * contact[..., None])


def stones(across: Array, along: Array, wide: float, long: float, scale: float) -> Array:
    """Rounded stones laid in staggered rows, fading to their mean where they get too small: brightness."""
    row = np.floor(along / long)
    u, v = (across / wide + 0.5 * (row % 2)) % 1, (along / long) % 1
    tint = sample(noise_tile(121, 0.0), np.floor(across / wide + 0.5 * (row % 2)) * 3, row * 5)
    dome = 1 - 0.68 * np.maximum(np.abs(2 * u - 1), np.abs(2 * v - 1)) ** 5 + 0.18 * (0.5 - u)
    fine = 0.08 * sample(noise_tile(122, 0.6), across * 150, along * 150)
    size_px = long * LENS.focal_px * LENS.eye_metres / along**2 * scale
    visible = smoothstep(1.2, 4.5, size_px)
    return np.asarray(0.86 + visible * (dome * (1 + 0.12 * tint) - 0.86 + fine), np.float32)[..., None]


def far_row(pixels_per_metre: float) -> Bytes:
    """The houses across the square, with the tree tops of a park between them and us."""
    canvas = fronts(row_of_houses(5, 46, 6.5, 8.5), 0.9, pixels_per_metre)
    hazy = mix(canvas.light, color("cfdcec") * 0.9, np.full_like(canvas.x, 0.16))
    return finish(hazy, canvas.alpha)


def church(pixels_per_metre: float) -> Bytes:
    """A stone tower with clock, louvres and a copper spire, and the nave's roof; origin at the tower's foot."""
    canvas = Canvas.spanning(-9, 18, -0.5, 42, pixels_per_metre)
    x, y = canvas.x, canvas.y
    course = np.floor(y / 0.5)
    block = sample(noise_tile(131, 0.0), np.floor(x / 0.9 + 0.5 * (course % 2)) * 3, course * 7)
    mortar = smoothstep(0.0, 0.12, (y / 0.5) % 1) * smoothstep(0.0, 0.08, (x / 0.9 + 0.5 * (course % 2)) % 1)
    stone = ((1 + 0.11 * block) * (0.8 + 0.2 * mortar))[..., None] * color("cdb894")
    tiles = (0.75 + 0.25 * ((y * 2.5) % 1) + 0.08 * sample(noise_tile(132, 0.0), x * 9, np.floor(y * 2.5) * 7))[
        ..., None
    ]
    canvas.fill(canvas.mask([(2, -1), (2, 9), (18, 9), (18, -1)]), stone * SUNLIT * 0.8)
    canvas.fill(canvas.mask([(1.5, 8.8), (4, 15), (17, 15), (18, 8.8)]), tiles * color("9c5138") * SUNLIT * 0.8)
    bright = 1.0 - 0.55 * smoothstep(0.9, 1.1, x)
    canvas.fill(canvas.mask(rectangle(-3.2, -1, 6.4, 25)), stone * SUNLIT * bright[..., None])
    for level in (8.0, 17.6, 23.6):
        canvas.light *= (1 - 0.45 * canvas.mask(rectangle(-3.2, level - 0.5, 6.4, 0.5)))[..., None]
        canvas.fill(canvas.mask(rectangle(-3.5, level, 7, 0.45)), color("e0cfab") * SUNLIT * bright[..., None])
    for middle in (-1.5, 0.35):
        arch = [(middle, 18.5), (middle, 21.3), (middle + 0.55, 22.3), (middle + 1.1, 21.3), (middle + 1.1, 18.5)]
        canvas.fill(canvas.mask(arch), color("3a3430") * (0.7 + 0.5 * ((y * 2.4) % 1))[..., None])
    away = np.hypot(x + 0.2, y - 15.7)
    canvas.fill(smoothstep(1.75, 1.65, away), color("d9b14a") * SUNLIT * 0.8)
    canvas.fill(smoothstep(1.5, 1.42, away), color("f4efe2") * SUNLIT * 0.75)
    canvas.fill(canvas.mask([(-0.3, 15.7), (-0.1, 17.0), (0.0, 15.7)]), color("1d1d22"))
    canvas.fill(canvas.mask([(-0.2, 15.6), (0.85, 16.0), (-0.2, 15.85)]), color("1d1d22"))
    seams = 0.88 + 0.12 * np.cos(x / np.maximum(41 - y, 0.3) * 60)
    copper = mix(color("8fc4ac"), color("2f6a62"), smoothstep(-0.35, 0.75, x / np.maximum(0.2 * (41 - y), 0.05)))
    streaks = 1 + 0.12 * sample(noise_tile(133, 1.2), x * 40, y * 6)
    spire = [(-3.6, 24), (-2.3, 26.6), (-0.06, 40), (0.06, 40), (2.3, 26.6), (3.6, 24)]
    canvas.fill(canvas.mask(spire), copper * SUNLIT * 0.75 * (seams * streaks)[..., None])
    canvas.fill(canvas.mask(rectangle(-0.07, 39.5, 0.14, 2.2)), color("e2bd55") * SUNLIT)
    return finish(mix(canvas.light, color("cfdcec") * 0.9, np.full_like(x, 0.18)), canvas.alpha)


def balloon(pixels_per_metre: float) -> Bytes:
    """A striped hot-air balloon 24 m high; origin at the envelope's middle."""
    canvas = Canvas.spanning(-12, 12, -18, 13, pixels_per_metre)
    x, y = canvas.x, canvas.y
    girth = np.where(y > 0, np.sqrt(np.clip(1 - (y / 11.2) ** 2, 0, 1)), np.cos(np.clip(-y / 13.2, 0, 1) * 1.42)) * 11
    side = np.clip(x / np.maximum(girth, 0.1), -1, 1)
    angle = np.arcsin(side) / np.pi * 16 + 0.5
    gores = ramp((np.floor(angle) % 4).astype(np.float32), (0, "d8402f"), (1, "f3b63a"), (2, "f5ead2"), (3, "2f6fa8"))
    bulge = 0.82 + 0.18 * np.sin(np.pi * (angle % 1))
    light = np.clip(0.35 - 0.55 * side + 0.35 * np.sqrt(1 - side**2) + 0.02 * y, 0.05, 1.2) * bulge
    inside = smoothstep(0.12, -0.12, np.abs(x) - girth) * smoothstep(-11.6, -11.4, y) * (girth > 0.2)
    canvas.fill(inside, gores * light[..., None] * SUNLIT + gores * SHADE * 0.5)
    for foot, head in ((-0.9, -1.8), (0.9, 1.8)):
        rope = [(foot - 0.08, -15), (head - 0.08, -11.4), (head + 0.08, -11.4), (foot + 0.08, -15)]
        canvas.fill(canvas.mask(rope), color("5a4a3a"))
    weave = 0.75 + 0.25 * np.sin(x * 9) * np.sin(y * 9)
    canvas.fill(canvas.mask(rectangle(-1.1, -16.6, 2.2, 1.8)), weave[..., None] * color("a5743f") * SUNLIT * 0.8)
    return finish(mix(canvas.light, color("cfdcec") * 0.9, np.full_like(x, 0.12)), canvas.alpha)


def tram(pixels_per_metre: float) -> Bytes:
    """A red and cream tram 13 m long; origin on the ground under its middle."""
    canvas = Canvas.spanning(-7, 7, -0.3, 4.6, pixels_per_metre)
    x, y = canvas.x, canvas.y
    canvas.fill(canvas.mask(rectangle(-6.4, 0.05, 12.8, 0.6)), color("26262a"))
    for axle in (-4.4, -2.9, 2.9, 4.4):
        canvas.fill(smoothstep(0.40, 0.36, np.hypot(x - axle, y - 0.36)), color("3f3d40"))
    body = [
        (-6.5, 0.4),
        *arc((-6.5, 2.4), (-6.4, 3.35), (-5.8, 3.4)),
        *arc((5.8, 3.4), (6.4, 3.35), (6.5, 2.4)),
        (6.5, 0.4),
    ]
    paint = ramp(y, (0.4, "8d1f22"), (1.5, "c02d2a"), (1.56, "f2e3c0"), (3.4, "f7ecd2"))
    sheen = 0.72 + 0.2 * np.exp(-(((y - 1.25) / 0.12) ** 2)) + 0.12 * smoothstep(0.4, 3.4, y)
    canvas.fill(canvas.mask(body), paint * SUNLIT * sheen[..., None])
    canvas.fill(canvas.mask([(-5.9, 3.36), (-5.4, 3.7), (5.4, 3.7), (5.9, 3.36)]), color("8f8a84") * SUNLIT * 0.8)
    for left in np.arange(-6.1, 6.0, 1.55):
        glass = mix(color("26323c"), color("a9c6e0"), np.clip(0.2 + 0.5 * ((x - left) * 0.5 + y - 1.9) % 1 * 0.9, 0, 1))
        canvas.fill(canvas.mask(rectangle(left, 1.85, 1.2, 1.15)), glass)
    for left in (-3.15, 1.5):
        canvas.light *= (1 - 0.35 * canvas.mask(rectangle(left, 0.5, 0.06, 2.6)))[..., None]
    canvas.fill(canvas.mask(rectangle(-6.5, 1.5, 13, 0.08)), color("d9b14a") * SUNLIT * 0.8)
    for start, end in ((-0.9, 0.6), (0.9, 0.0)):
        pole = [(start, 3.7), (end, 4.5), (end + 0.07, 4.5), (start + 0.07, 3.7)]
        canvas.fill(canvas.mask(pole), color("4a4a4e"))
    canvas.fill(canvas.mask(rectangle(-0.8, 4.45, 2.2, 0.08)), color("4a4a4e"))
    return finish(canvas.light, canvas.alpha)


def tree(pixels_per_metre: float, seed: int) -> Bytes:
    """A lime tree 6.5 m high made of single leaves; origin at its foot."""
    random = np.random.default_rng(seed)
    canvas = Canvas.spanning(-2.9, 2.9, -0.2, 7.4, pixels_per_metre)
    canvas.round_bar([(0.24, -0.2), (0.15, 0.5), (0.11, 4.5)], color("6d5a48"), 0.3)
    for end in ((-1.2, 5.0), (1.3, 4.9), (-0.5, 6.0), (0.7, 5.9)):
        branch = arc((-0.08, 2.2), (end[0] * 0.4, 3.4), end) + arc(end, (end[0] * 0.45, 3.3), (0.08, 2.1))
        canvas.fill(canvas.mask(branch), color("54463a") * SHADE * 2)
    texture = finish(canvas.light, canvas.alpha)
    clumps = [(random.normal(0, 1.05), random.uniform(2.9, 6.4), random.uniform(0.55, 0.95)) for _ in range(34)]
    clumps = [c for c in clumps if (c[0] / 2.1) ** 2 + ((c[1] - 4.7) / 2.1) ** 2 < 1]
    corner = np.array([canvas.x[0, 0], canvas.y[0, 0]])
    for clump_x, clump_y, size in clumps:
        for _ in range(170):
            angle, out = random.uniform(0, 2 * np.pi), size * random.uniform(0, 1) ** 0.5
            x, y = clump_x + out * np.cos(angle), clump_y + 0.8 * out * np.sin(angle)
            lit = (
                0.5 + 0.38 * (-(x - clump_x) + (y - clump_y)) / size + 0.1 * (y - 4.7 - x) / 2 + random.normal(0, 0.16)
            )
            tint = mix(color("2f5424"), color("a8bf4a"), np.clip(lit, 0, 1)) * (0.35 + 1.35 * np.clip(lit, 0, 1.2))
            turn, long = random.uniform(0, np.pi), random.uniform(0.06, 0.11)
            tip = np.array([np.cos(turn), np.sin(turn)]) * long
            wide = np.array([-tip[1], tip[0]]) * 0.5
            leaf = np.array([x, y]) + np.stack([tip, wide, -tip, -wide])
            points = np.rint((leaf - corner) * (pixels_per_metre, -pixels_per_metre) * 16).astype(np.int32)
            cv2.fillPoly(texture, [points], [float(v) for v in finish(tint[None, None])[0, 0]], cv2.LINE_AA, shift=4)
    return texture


def lamp(pixels_per_metre: float) -> Bytes:
    """A cast-iron street lamp 4.2 m high; origin at its foot."""
    canvas = Canvas.spanning(-0.7, 0.7, -0.1, 4.4, pixels_per_metre)
    iron = color("3c4a44") * 1.2
    canvas.round_bar([(0.2, -0.1), (0.19, 0.35), (0.1, 0.6), (0.07, 0.95), (0.05, 3.0), (0.1, 3.2)], iron, 0.05)
    canvas.fill(canvas.mask(rectangle(-0.3, 2.72, 0.6, 0.045)), iron * SHADE)
    glass = [(-0.17, 3.2), (-0.27, 3.8), (0.27, 3.8), (0.17, 3.2)]
    canvas.fill(canvas.mask(glass), (0.75 + 0.5 * smoothstep(0.2, -0.2, canvas.x))[..., None] * color("e8dcb8"))
    canvas.fill(canvas.mask([(-0.03, 3.2), (-0.03, 3.8), (0.03, 3.8), (0.03, 3.2)]), iron * 0.5)
    canvas.round_bar([(0.33, 3.78), (0.25, 3.95), (0.08, 4.08), (0.03, 4.25)], iron, 0.05)
    return finish(canvas.light, canvas.alpha)


def bunting(pixels_per_metre: float, seed: int) -> Bytes:
    """Colored pennants on a slack string across the street; origin at the string's middle."""
    canvas = Canvas.spanning(-6.2, 6.2, -0.9, 1.3, pixels_per_metre)
    tints = ["d8402f", "f3b63a", "f5ead2", "2f6fa8", "4f8a4a"]
    for number, left in enumerate(np.arange(-5.9, 5.7, 0.52)):
        hang = [0.03 * (left + i * 0.42) ** 2 - 0.05 for i in (0, 0.5, 1)]
        cloth = [(left, hang[0]), (left + 0.42, hang[2]), (left + 0.21, hang[1] - 0.52)]
        fold = 0.75 + 0.35 * np.cos((canvas.x - left) * 12 + number)
        canvas.fill(canvas.mask(cloth), fold[..., None] * color(tints[(number + seed) % 5]) * SUNLIT * 0.75)
    string = np.exp(-(((canvas.y - 0.03 * canvas.x**2 + 0.04) / 0.022) ** 2)) * (np.abs(canvas.x) < 6)
    canvas.fill(np.asarray(string, np.float32), color("4a443c"))
    return finish(canvas.light, canvas.alpha)


def cyclist(pixels_per_metre: float) -> Bytes:
    """Someone free-wheeling to the right; origin on the ground under the saddle."""
    canvas = Canvas.spanning(-1.1, 1.1, -0.1, 1.9, pixels_per_metre)
    x, y = canvas.x, canvas.y

    def limb(points: list[tuple[float, float]], thick: float, tint: Array) -> None:
        for start, end in pairwise(points):
            along = np.subtract(end, start)
            part = np.clip(((x - start[0]) * along[0] + (y - start[1]) * along[1]) / (along @ along), 0, 1)
            away = np.hypot(x - start[0] - part * along[0], y - start[1] - part * along[1])
            shade = 0.75 + 0.35 * np.clip((y - x - start[1] + start[0]) / thick * 0.3, -0.7, 0.7)
            canvas.fill(smoothstep(thick + 0.012, thick - 0.012, away), shade[..., None] * tint * SUNLIT * 0.8)

    canvas.fill(0.4 * smoothstep(1, 0.4, np.hypot(x / 1.05, (y + 0.02) / 0.07)), color("1b1a1c"))
    for hub in (-0.52, 0.55):
        ring = np.abs(np.hypot(x - hub, y - 0.33) - 0.31)
        canvas.fill(smoothstep(0.04, 0.022, ring), color("2a2a2c"))
        limb([(hub - 0.02, 0.33), (hub + 0.02, 0.33)], 0.035, color("8a8a8c"))
    frame = color("2c7a6c")
    limb([(-0.52, 0.33), (0.0, 0.3), (-0.12, 0.82), (-0.52, 0.33)], 0.025, frame)
    limb([(-0.12, 0.78), (0.38, 0.84), (0.0, 0.3)], 0.025, frame)
    limb([(0.55, 0.33), (0.36, 1.0), (0.46, 1.04)], 0.025, frame)
    limb([(-0.14, 0.96), (0.2, 0.72), (0.02, 0.28), (0.14, 0.24)], 0.07, color("3a4a6c"))
    limb([(-0.14, 0.96), (0.06, 1.42)], 0.135, color("d9a441"))
    limb([(0.06, 1.42), (0.22, 1.14), (0.46, 1.07)], 0.05, color("d9a441"))
    limb([(-0.16, 0.9), (0.3, 0.6), (0.12, 0.2), (0.25, 0.17)], 0.075, color("42547a"))
    limb([(0.13, 1.62), (0.14, 1.66)], 0.115, color("c99270"))
    limb([(0.05, 1.72), (0.2, 1.72)], 0.075, color("5a3a26"))
    limb([(-0.62, 0.86), (-0.42, 0.86)], 0.12, color("8a5a34"))
    return finish(canvas.light, canvas.alpha)


def planter(pixels_per_metre: float, seed: int) -> Bytes:
    """A wooden tub overflowing with flowers; origin on the ground at its middle."""
    random = np.random.default_rng(seed)
    canvas = Canvas.spanning(-1.3, 1.3, -0.1, 1.6, pixels_per_metre)
    planks = 0.8 + 0.2 * smoothstep(0.0, 0.06, (canvas.x * 4) % 1)
    grain = planks * (1 + 0.12 * sample(noise_tile(141, 1.1), canvas.x * 150, canvas.y * 20))
    tub = canvas.mask([(-0.8, -0.05), (-0.95, 0.62), (0.95, 0.62), (0.8, -0.05)])
    shade = (grain * (0.5 + 0.6 * canvas.y))[..., None]
    canvas.fill(tub, shade * color("9a6a42") * (SUNLIT * 0.75))
    texture, corner = finish(canvas.light, canvas.alpha), np.array([canvas.x[0, 0], canvas.y[0, 0]])
    petals = [color(tint) for tint in ("e0405a", "f2c445", "f4f0e6", "b65fc0")]
    for number in range(1500):
        x, up = random.normal(0, 0.5), random.uniform(0, 1)
        y = 0.52 + 0.75 * up * np.exp(-((x / 0.8) ** 2)) + random.normal(0, 0.05)
        lit = np.clip(0.3 + 0.6 * up - 0.3 * x + random.normal(0, 0.15), 0.1, 1.2)
        flower = number > 900 and random.uniform() < 0.4
        tint = petals[int(4 * abs(np.sin(3 * x + seed))) % 4] if flower else mix(color("2f5424"), color("9db84a"), lit)
        turn, long = random.uniform(0, np.pi), random.uniform(0.035, 0.06)
        corners = np.arange(6) * np.pi / 3 + turn
        stretch = 1.0 if flower else 0.45
        leaf = np.stack([np.cos(corners) * long, np.sin(corners) * long * stretch], 1)
        placed = leaf + np.array([x, y]) - corner
        points = np.rint(placed * (pixels_per_metre, -pixels_per_metre) * 16).astype(np.int32)
        rgba = [float(v) for v in finish((tint * lit * 1.5)[None, None])[0, 0]]
        cv2.fillPoly(texture, [points], rgba, cv2.LINE_AA, shift=4)
    return texture
