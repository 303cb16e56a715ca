"""The clip ``harbor``: sailing boats at golden hour, seen from a camera that travels along a breakwater."""

from functools import partial
from math import cos, pi, sin

from sample_videos.renderer import boats, coast
from sample_videos.renderer.coast import LENS
from sample_videos.renderer.layers import SKY, Layer, Pose, Scene, facing, ground, standing

place = partial(standing, LENS)


def scene() -> Scene:
    """Sky, volcano, wooded shore, lighthouse on its cape, sea, two boats, a gull, mooring posts, boulders."""
    return Scene(LENS, camera, [*far_layers(), *near_layers()])


def camera(seconds: float) -> Pose:
    """Along the breakwater to the right, slowly nearing the water, looking back a little."""
    along = -3.0 + 6.0 * (seconds / 6 - sin(2 * pi * seconds / 6) / (4 * pi))
    return Pose((along, 0.06 * sin(1.7 * seconds), 0.14 * seconds), 0.022 * cos(pi * seconds / 6))


def far_layers() -> list[Layer]:
    """What lies behind the boats."""
    return [
        Layer("sky", coast.sky(-60, -20, 700, 175, 1.5), -60, -20, 1.5, SKY),
        Layer("peak", coast.peak(-60, 30, 700, 2), -60, 30, 2, facing(6000)),
        Layer("hills", coast.hills(-60, 50, 700, 2), -60, 50, 2, facing(900)),
        Layer("sea", coast.sea(-230, 158.5, 870, 390, 2), -230, 158.5, 2, ground(LENS.eye_metres)),
        place("lighthouse", boats.lighthouse(8), (-14, 30), (76, 12.5), 180, 8),
        Layer("headland", coast.headland(360, 80, 700, 2), 360, 80, 2, facing(180)),
    ]


def near_layers() -> list[Layer]:
    """What moves past."""
    return [
        place("yawl", boats.boat(14, "c9764a", "5d2a20", False), (-6, 11), (14, 0), 90, 14, yawl_path),
        place("sloop", boats.boat(28, "f6ecd8", "23465e", True), (-6, 11), (-11, 0), 42, 28, sloop_path),
        place("gull", boats.gull(60), (-0.9, 0.6), (6.5, 7.9), 20, 60, gull_path),
        place("posts", boats.posts(80), (-3.4, 2.9), (1.6, 0), 16, 70),
        Layer("boulders", coast.boulders(-330, 285, 970, 400, 1.6), -330, 285, 1.6, facing(7.5)),
        Layer("grass", coast.grass(-420, 230, 1080, 395, 1.5), -420, 230, 1.5, facing(5.5)),
    ]


def sloop_path(seconds: float) -> Pose:
    """To the right with the wind, pitching a little."""
    return Pose((2.6 * seconds, 0.05 * sin(2.1 * seconds), 0), 0.022 * sin(1.6 * seconds))


def yawl_path(seconds: float) -> Pose:
    """To the left, farther out."""
    return Pose((-2.4 * seconds, 0.05 * sin(1.3 * seconds), 0), 0.018 * sin(1.2 * seconds + 1))


def gull_path(seconds: float) -> Pose:
    """A glide to the left, banking as it goes."""
    return Pose((-1.5 * seconds, 0.35 * sin(0.9 * seconds), 0), 0.12 * sin(0.8 * seconds))
