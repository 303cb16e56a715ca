"""House fronts of the clip ``street``: brick and plaster, windows, shops, gables; flat or along the street."""

from dataclasses import dataclass

import numpy as np

from sample_videos.renderer.canvas import Canvas
from sample_videos.renderer.layers import Array, Bytes, Lens
from sample_videos.renderer.textures import color, finish, grid, mix, noise_tile, relief, sample, smoothstep

LENS = Lens(focal_px=500, horizon_px=205, eye_metres=2.4)


@dataclass(frozen=True, slots=True)
class House:
    """One house of a row.

    Attributes:
        left: metres along the row at which it begins.
        width: metres.
        eaves: metres of the wall's height without the gable.
        gable: metres of the gable on top.
        steps: True for a stepped gable, False for a pointed one.
        tint: color of the wall.
        brick: True for bricks, False for plaster.
        shutters: color of the shutters, empty for none.
        shop: color of the awning on the ground floor, empty for a dwelling.
    """

    left: float
    width: float
    eaves: float
    gable: float
    steps: bool
    tint: str
    brick: bool
    shutters: str
    shop: str


def row_of_houses(seed: int, length: float, low: float = 7.2, high: float = 9.6) -> list[House]:
    """Different houses side by side over ``length`` metres."""
    random = np.random.default_rng(seed)
    plasters = ["e8c078", "d98f5f", "efe0bf", "b9c7c4", "dba79a", "c9b36a", "a9bcd0"]
    bricks = ["a85a3f", "8f4b38", "b97a52"]
    awnings = ["a83232", "2f6b4f", "2d5a86", "c98a2e"]
    houses, left, number = [], 0.0, seed
    while left < length:
        width = float(random.uniform(4.6, 6.4))
        brick = number % 3 == 1
        tint = bricks[number % 3] if brick else plasters[number % 7]
        shutters = "" if brick else ["3f6b58", "40607f", "7c4034"][number % 3]
        shop = awnings[number % 4] if number % 2 else ""
        eaves, gable = random.uniform(low, high), random.uniform(2.2, 3.4)
        houses.append(House(left, width, float(eaves), float(gable), number % 2 == 0, tint, brick, shutters, shop))
        left, number = left + width, number + 1
    return houses


def fronts(houses: list[House], sun: float, pixels_per_metre: float) -> Canvas:
    """The row seen straight on; ``sun`` 1 for fronts in sunlight, 0 in shade."""
    length = houses[-1].left + houses[-1].width
    canvas = Canvas.spanning(0, length, -0.2, 14, pixels_per_metre)
    light = color("ffe2b4") * (1.75 * sun) + color("a9bfe0") * (0.62 - 0.12 * sun)
    for house in houses:
        part = canvas.part(house.left - 0.3, -0.2, house.left + house.width + 0.3, house.eaves + house.gable + 0.2)
        draw_wall(part, house, light)
        draw_windows(part, house, light, sun)
        if house.shop:
            draw_shop(part, house, light, sun)
    canvas.light *= (0.55 + 0.45 * smoothstep(0, 1.6, canvas.y))[..., None]
    return canvas


def outline(house: House) -> list[tuple[float, float]]:
    """The front's shape in metres."""
    left, right, top = house.left, house.left + house.width, house.eaves + house.gable
    middle = house.left + house.width / 2
    if not house.steps:
        return [(left, -0.2), (left, house.eaves), (middle, top), (right, house.eaves), (right, -0.2)]
    points, count = [(left, -0.2)], 4
    for i in range(count):
        x = left + i * house.width * 0.5 / (count + 0.4)
        points += [(x, house.eaves + house.gable * i / count), (x, house.eaves + house.gable * (i + 1) / count)]
    return points + [(2 * middle - x, y) for x, y in points[::-1]]


def draw_wall(canvas: Canvas, house: House, light: Array) -> None:
    """The wall with its gable, coping and the gutter shadow to the next house."""
    x, y = canvas.x, canvas.y
    inside = canvas.mask(outline(house))
    stains = sample(noise_tile(102, 1.6), x * 14, y * 9) + 0.5 * sample(noise_tile(103, 0.8), x * 60, y * 60)
    albedo = np.asarray(color(house.tint) * (1 + 0.085 * stains)[..., None], np.float32)
    bump = sample(noise_tile(104, 0.9), x * 60, y * 60) * 0.25
    if house.brick:
        course = np.floor(y / 0.16)
        along, across = (x / 0.42 + 0.5 * (course % 2)) % 1, (y / 0.16) % 1
        joint = np.minimum(
            smoothstep(0, 0.12, np.minimum(along, 1 - along)), smoothstep(0, 0.25, np.minimum(across, 1 - across))
        )
        each = sample(noise_tile(105, 0.0), np.floor(x / 0.42 + 0.5 * (course % 2)) * 7, course * 5)
        albedo = mix(color("b5a58f"), albedo * (1 + 0.16 * each)[..., None], 0.35 + 0.65 * joint)
        bump = bump + 2.2 * joint
    lit = relief(np.asarray(bump, np.float32), 0.5, (0.5, -0.6, 0.8)) / 0.72
    plinth = smoothstep(0.66, 0.62, y)
    stone = (
        color("8d857a") * (1 + 0.12 * stains)[..., None] * (1 - 0.3 * np.exp(-(((y - 0.64) / 0.04) ** 2)))[..., None]
    )
    canvas.fill(inside, mix(albedo, stone, plinth) * light * lit[..., None])
    above = canvas.mask([(px, py - 0.22) for px, py in outline(house)])
    coping = inside * (1 - above) * (y > house.eaves - 0.4)
    canvas.fill(coping, color("ece2cf") * light * 0.95)
    under = inside * above * (1 - canvas.mask([(px, py - 0.5) for px, py in outline(house)])) * (y > house.eaves - 0.6)
    canvas.light *= (1 - 0.4 * under)[..., None]
    seam = np.exp(-(((x - house.left) / 0.09) ** 2)) * inside
    canvas.light *= (1 - 0.7 * seam)[..., None]


def draw_windows(canvas: Canvas, house: House, light: Array, sun: float) -> None:
    """Rows of windows with reveals, bars, sills, shutters and flowers; a door on the ground floor."""
    count = 3 if house.width > 5.2 else 2
    floors = np.arange(3.6 if house.shop else 1.1, house.eaves - 1.5, 2.75)
    places = [(house.left + house.width * (i + 0.5) / count, floor) for floor in floors for i in range(count)]
    places.append((house.left + house.width / 2, house.eaves + 0.15))
    if not house.shop:
        door = places.pop(count // 2)[0]
        draw_window(canvas, (door, 0.1), (1.15, 2.3), light, sun, "5b3a28")
    for middle, floor in places:
        draw_window(canvas, (middle, floor), (0.95, 1.55), light, sun, "")
        if house.shutters and floor < house.eaves - 1:
            for side in (-0.78, 0.78):
                leaf = canvas.part(middle + side - 0.4, floor - 0.2, middle + side + 0.4, floor + 1.7)
                slats = (0.75 + 0.25 * np.sin(leaf.y * 60))[..., None]
                box = rectangle(middle + side - 0.25, floor - 0.02, 0.5, 1.6)
                leaf.light *= (1 - 0.45 * leaf.mask([(px + 0.05, py - 0.07) for px, py in box]))[..., None]
                leaf.fill(leaf.mask(box), slats * color(house.shutters) * light)
        if house.shutters and floor > 3:
            draw_flowers(canvas, middle, floor - 0.12, light)


def rectangle(left: float, bottom: float, width: float, height: float) -> list[tuple[float, float]]:
    """Corners of an upright rectangle."""
    right, top = left + width, bottom + height
    return [(left, bottom), (left, top), (right, top), (right, bottom)]


def draw_window(
    canvas: Canvas, foot: tuple[float, float], size: tuple[float, float], light: Array, sun: float, door: str
) -> None:
    """A window (or a door, if it has a color) standing on ``foot``, the middle of its lower edge."""
    (middle, bottom), (width, height) = foot, size
    canvas = canvas.part(middle - width / 2 - 0.3, bottom - 0.5, middle + width / 2 + 0.3, bottom + height + 0.3)
    left, x, y = middle - width / 2, canvas.x, canvas.y
    frame = rectangle(left - 0.1, bottom - 0.08, width + 0.2, height + 0.2)
    canvas.fill(canvas.mask(frame), color("efe7d8") * light * 0.92)
    pane = canvas.mask(rectangle(left, bottom, width, height))
    up = np.clip((y - bottom) / height, 0, 1)
    clouds = sample(noise_tile(106, 1.7), x * 22 + 40 * bottom, y * 22)
    glass = mix(color("26303a"), color("9fbbd6"), np.clip(0.12 + 0.45 * up**1.5 + 0.16 * clouds, 0, 0.8))
    leaf = color(door)[None, None] * light * (0.8 + 0.2 * np.cos((x - left) * 40))[..., None] if door else glass
    canvas.fill(pane, leaf)
    reveal = np.maximum(smoothstep(height - 0.2, height - 0.06, y - bottom), smoothstep(0.16, 0.03, x - left))
    canvas.light *= (1 - 0.55 * pane * reveal)[..., None]
    if door:
        return
    bars = (np.abs(x - middle) < 0.035) | (np.abs((y - bottom) / height - 0.66) < 0.025)
    canvas.fill(pane * bars, color("f1ebdd") * light * 0.8)
    sill = rectangle(left - 0.18, bottom - 0.2, width + 0.36, 0.13)
    shade = canvas.mask([(px + 0.06, py - 0.22) for px, py in sill])
    canvas.light *= (1 - (0.2 + 0.3 * sun) * shade)[..., None]
    canvas.fill(canvas.mask(sill), color("e3d9c6") * light)


def draw_flowers(canvas: Canvas, middle: float, level: float, light: Array) -> None:
    """A box of geraniums on a sill."""
    canvas = canvas.part(middle - 0.7, level - 0.4, middle + 0.7, level + 0.6)
    canvas.fill(canvas.mask(rectangle(middle - 0.5, level - 0.12, 1.0, 0.22)), color("6d4630") * light)
    near = (np.abs(canvas.x - middle) < 0.6) & (canvas.y > level - 0.2) & (canvas.y < level + 0.5)
    lush = sample(noise_tile(107, 0.9), canvas.x * 70, canvas.y * 70)
    height = (canvas.y - level - 0.12) / 0.22
    bush = smoothstep(0.1, 0.3, 1 - height**2 - ((canvas.x - middle) / 0.58) ** 6 + 0.35 * lush - 0.25) * near
    petals = smoothstep(0.5, 0.9, sample(noise_tile(108, 0.8), canvas.x * 80, canvas.y * 80))
    plant = mix(color("4f7a34") * (1 + 0.3 * lush)[..., None], color("d8344a"), petals)
    canvas.fill(bush, plant * light)


def draw_shop(canvas: Canvas, house: House, light: Array, sun: float) -> None:
    """A shop window under a striped awning."""
    x, y, left, width = canvas.x, canvas.y, house.left + 0.45, house.width - 0.9
    canvas.fill(canvas.mask(rectangle(left - 0.15, 0.1, width + 0.3, 2.9)), color("4a3a2c") * light)
    for i in range(3):
        draw_window(
            canvas, (left + width * (i + 0.5) / 3, 0.75 if i != 1 else 0.15), (width / 3 - 0.35, 1.75), light, sun, ""
        )
    warm = np.exp(-(((y - 1.5) / 0.9) ** 2)) * canvas.mask(rectangle(left, 0.8, width, 1.6))
    canvas.light += warm[..., None] * color("ffc36b") * 0.10
    drop = canvas.mask(rectangle(left - 0.3, 1.55, width + 0.6, 0.8))
    canvas.light *= (1 - 0.5 * drop * (0.4 + 0.6 * sun))[..., None]
    stripes = mix(color(house.shop), color("f4ead6"), smoothstep(-0.12, 0.12, np.sin((x - left) * 2 * np.pi / 0.62)))
    slope = 0.75 + 0.4 * smoothstep(2.2, 3.3, y)
    scallop = 2.2 + 0.09 * np.abs(np.sin((x - left) * np.pi / 0.31))
    cloth = canvas.mask(rectangle(left - 0.25, 2.0, width + 0.5, 1.2)) * smoothstep(-0.02, 0.02, y - scallop)
    canvas.fill(cloth, stripes * light * slope[..., None])


def along_street(
    canvas: Canvas, side: float, start: float, box: tuple[float, float, float, float], scale: float
) -> Bytes:
    """A row of houses as the camera sees it along the street.

    Args:
        canvas: the row seen straight on; its left end is the one nearest to the camera.
        side: metres right of the camera (negative: left) at which the row stands.
        start: metres ahead of the camera at which it begins.
        box: left, top, right, bottom of the texture in the reference frame.
        scale: texture pixels per reference pixel.
    """
    x, y = grid(*box, scale)
    edges = np.append(x[0] - 0.5 / scale, x[0, -1] + 0.5 / scale) - 319.5
    ahead = LENS.focal_px * side / np.where(np.sign(edges) == np.sign(side), edges, np.sign(side) * 1e-3)
    places = np.clip((ahead - start) * canvas.pixels_per_metre, 0, canvas.x.shape[1])
    painted = np.dstack([np.minimum(canvas.light, 3) * canvas.alpha[..., None], canvas.alpha])
    summed = np.concatenate([np.zeros_like(painted[:, :1]), np.cumsum(painted, axis=1, dtype=np.float64)], axis=1)
    whole = np.minimum(places.astype(int), canvas.x.shape[1] - 1)
    at_edges = summed[:, whole] + (summed[:, whole + 1] - summed[:, whole]) * (places - whole)[:, None]
    span = np.diff(places)
    columns = np.diff(at_edges, axis=1) / np.where(np.abs(span) > 1e-6, span, 1)[:, None]
    middle = 2 / (1 / ahead[1:] + 1 / ahead[:-1])
    height = LENS.eye_metres - (y - LENS.horizon_px) * middle / LENS.focal_px
    row = (canvas.y[0, 0] - height) * canvas.pixels_per_metre
    lower = np.clip(row.astype(int), 0, canvas.x.shape[0] - 2)
    part = np.clip(row - lower, 0, 1)[..., None]
    index = np.arange(len(middle))[None, :]
    seen = columns[lower, index] * (1 - part) + columns[lower + 1, index] * part
    seen = np.where(((row < 0) | (row > canvas.x.shape[0] - 1) | (np.abs(span) < 1e-6))[..., None], 0, seen)
    alpha = np.asarray(seen[..., 3], np.float32)
    return finish(np.asarray(seen[..., :3] / np.maximum(alpha, 1e-3)[..., None], np.float32), alpha)
