"""The clip ``street``: an old town on a summer afternoon, the camera walking in and looking about."""

from functools import partial
from math import cos, pi, sin

from sample_videos.renderer import town
from sample_videos.renderer.houses import LENS, along_street, fronts, row_of_houses
from sample_videos.renderer.layers import SKY, Layer, Pose, Scene, ground, standing, wall

place = partial(standing, LENS)


def scene() -> Scene:
    """Sky, balloon, church, houses, tram, two rows of fronts, cobbles, trees, bunting, cyclist, lamps, flowers."""
    return Scene(LENS, camera, [*far_layers(), *near_layers()])


def camera(seconds: float) -> Pose:
    """Four metres into the street, drifting left, looking from the right side to the left."""
    part = seconds / 6 - sin(2 * pi * seconds / 6) / (4 * pi)
    return Pose((0.9 - 1.5 * part, 0.035 * sin(2.6 * seconds), 4.0 * part), 0.075 * cos(pi * part))


def far_layers() -> list[Layer]:
    """The square behind the street, and the street's walls."""
    left = along_street(fronts(row_of_houses(1, 24), 1.0, 48), -6, 7.2, (-100, -70, 262, 420), 2)
    right = along_street(fronts(row_of_houses(2, 26.5), 0.0, 48), 6, 4.7, (378, -70, 800, 420), 2)
    return [
        Layer("sky", town.sky(-90, -30, 730, 215, 1.5), -90, -30, 1.5, SKY),
        place("balloon", town.balloon(6), (-12, 13), (36, 62), 230, 6, balloon_path),
        Layer("paving", town.paving(-330, 205.5, 970, 400, 2), -330, 205.5, 2, ground(LENS.eye_metres)),
        place("church", town.church(13), (-9, 42), (-3.5, 0), 84, 13),
        place("far houses", town.far_row(18), (0, 14), (-22, 0), 62, 18),
        place("park left", town.tree(22, 151), (-2.9, 7.4), (-5.2, 0), 52, 22),
        place("park right", town.tree(22, 152), (-2.9, 7.4), (5.6, 0), 52, 22),
        place("tram", town.tram(28), (-7, 4.6), (11.5, 0), 38, 28, tram_path),
        Layer("left wall", left, -100, -70, 2, wall(-6)),
        Layer("right wall", right, 378, -70, 2, wall(6)),
    ]


def near_layers() -> list[Layer]:
    """What stands and moves between the walls."""
    return [
        place("far bunting", town.bunting(36, 2), (-6.2, 1.3), (0, 6.6), 25, 36),
        place("far lamp", town.lamp(44), (-0.7, 4.4), (-4.4, 0), 22, 44),
        place("tree", town.tree(54, 153), (-2.9, 7.4), (4.3, 0), 19, 54),
        place("cyclist", town.cyclist(72), (-1.1, 1.9), (-3.6, 0), 14.5, 72, cyclist_path),
        place("bunting", town.bunting(68, 0), (-6.2, 1.3), (0, 6.2), 15, 68),
        place("lamp", town.lamp(110), (-0.7, 4.4), (-2.6, 0), 10.5, 110),
        place("tub", town.planter(130, 161), (-1.3, 1.6), (3.5, 0), 8.8, 130),
    ]


def balloon_path(seconds: float) -> Pose:
    """With the wind to the left, rising, swaying a little."""
    return Pose((-5.0 * seconds, -0.8 * seconds, 0), 0.03 * sin(0.9 * seconds))


def tram_path(seconds: float) -> Pose:
    """Across the square to the left."""
    return Pose((-3.4 * seconds, 0, 0))


def cyclist_path(seconds: float) -> Pose:
    """Across the street to the right."""
    return Pose((1.15 * seconds, 0, 0), 0.012 * sin(2.5 * seconds))
