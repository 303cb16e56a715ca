"""Frames as stacks of flat textures seen by one moving camera, so that optical flow is exact.

Every layer is a plane in space. Its texture is drawn as the camera sees the plane in the reference pose (position
zero, no turn); from there each frame is one homography per layer, which gives both the frame and the flow
(Hartley & Zisserman, "Multiple View Geometry", 2nd edition, section 13.1).

Axes: x right, y down, z forward, in metres. Pixel ``(0, 0)`` is the centre of the first pixel of the frame.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, FPS, FRAMES = 640, 360, 30, 180

Array = NDArray[np.float32]
Matrix = NDArray[np.float64]
Bytes = NDArray[np.uint8]

SUPERSAMPLE = 2


@dataclass(frozen=True, slots=True)
class Pose:
    """Where something is at one moment.

    Attributes:
        position: x, y, z in metres away from the reference pose.
        turn: radians; for the camera about its vertical axis (positive looks right), for an object within its own
            plane about its pivot (positive turns clockwise).
    """

    position: tuple[float, float, float] = (0.0, 0.0, 0.0)
    turn: float = 0.0


Path = Callable[[float], Pose]


def stay(_: float) -> Pose:
    """The path of everything that does not move."""
    return Pose()


@dataclass(frozen=True, slots=True)
class Plane:
    """The plane of all points ``p`` in metres with ``normal · p = distance``; at infinity, ``distance`` is inf."""

    normal: tuple[float, float, float]
    distance: float

    @property
    def scaled(self) -> Matrix:
        """``normal / distance`` as a row, zero at infinity: what the plane adds to a homography."""
        return np.asarray([self.normal], np.float64) / self.distance


def facing(depth: float) -> Plane:
    """The upright plane that faces the camera ``depth`` metres away."""
    return Plane((0.0, 0.0, 1.0), depth)


def ground(below: float) -> Plane:
    """The level plane ``below`` metres under the camera."""
    return Plane((0.0, 1.0, 0.0), below)


def wall(right: float) -> Plane:
    """The upright plane along the line of sight, ``right`` metres right of the camera (negative: left)."""
    return Plane((1.0, 0.0, 0.0), right)


SKY = Plane((0.0, 0.0, 1.0), float("inf"))


@dataclass(frozen=True, slots=True)
class Lens:
    """A pinhole camera.

    Attributes:
        focal_px: focal length in pixels.
        horizon_px: row at which the horizon lies.
        eye_metres: height of the reference pose above the ground or water.
    """

    focal_px: float
    horizon_px: float
    eye_metres: float

    @property
    def matrix(self) -> Matrix:
        """The ``(3, 3)`` camera matrix: metres in the camera's axes to homogeneous pixels."""
        return np.array([[self.focal_px, 0, (WIDTH - 1) / 2], [0, self.focal_px, self.horizon_px], [0, 0, 1]])


@dataclass(frozen=True, slots=True)
class Layer:
    """A flat texture in space.

    Attributes:
        name: what it shows.
        texture: ``(height, width, 4)`` uint8 RGB with alpha, colors already multiplied by alpha.
        left: column of the reference frame at which the texture's left edge lies; may be outside the frame.
        top: row of the reference frame at which the texture's upper edge lies.
        scale: texture pixels per reference pixel.
        plane: where the texture lies in space.
        path: how it moves; time in seconds to pose.
        pivot: column and row of the reference frame about which the texture turns.
    """

    name: str
    texture: Bytes
    left: float
    top: float
    scale: float
    plane: Plane
    path: Path = stay
    pivot: tuple[float, float] = (0.0, 0.0)

    def to_reference(self, turn: float) -> Matrix:
        """Texture pixels to pixels of the reference frame, the texture turned by ``turn`` radians."""
        step = 1 / self.scale
        place = np.array([[step, 0, self.left + step / 2], [0, step, self.top + step / 2], [0, 0, 1]])
        cos, sin = np.cos(turn), np.sin(turn)
        x, y = self.pivot
        turned = np.array([[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y], [0, 0, 1]])
        return np.asarray(turned @ place, np.float64)


def standing(
    lens: Lens,
    name: str,
    texture: Bytes,
    corner: tuple[float, float],
    foot: tuple[float, float],
    depth: float,
    pixels_per_metre: float,
    path: Path = stay,
) -> Layer:
    """A layer for a thing that was painted in metres and faces the camera.

    Args:
        lens: of the camera.
        name: what it is.
        texture: as in ``Layer``.
        corner: metres right of and above the thing's origin at which the texture's upper left corner lies.
        foot: metres right of the camera and above the ground at which the origin stands; also its pivot.
        depth: metres in front of the camera.
        pixels_per_metre: of the texture.
        path: how it moves.
    """
    metre = lens.focal_px / depth
    column, row = (WIDTH - 1) / 2 + metre * foot[0], lens.horizon_px + metre * (lens.eye_metres - foot[1])
    left, top = column + metre * corner[0], row - metre * corner[1]
    return Layer(name, texture, left, top, pixels_per_metre / metre, facing(depth), path, (column, row))


@dataclass(frozen=True)
class Scene:
    """A moving scene: layers from far to near, seen through a lens on a camera that follows a path.

    A pixel belongs to the nearest layer that covers more than half of it.
    """

    lens: Lens
    camera: Path
    layers: Sequence[Layer]

    def frame(self, index: int) -> Bytes:
        """The frame number ``index`` (0 to 179): ``(360, 640, 3)`` uint8 RGB, BT.709, full range."""
        large = np.zeros((HEIGHT * SUPERSAMPLE, WIDTH * SUPERSAMPLE, 3), np.float32)
        for layer in self.layers:
            composite(large, layer, _ENLARGE @ self.homography(layer, index))
        small = cv2.resize(large, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        return np.clip(np.rint(small), 0, 255).astype(np.uint8)

    def flow(self, index: int, other: int) -> Array:
        """Where each surface point seen in frame ``index`` is seen in frame ``other``.

        Returns:
            ``(360, 640, 2)`` float32: dx (right) and dy (down) in pixels, from the centre of each pixel of frame
            ``index``. Exact for both directions and any distance in time, also where the point is hidden or out of
            the frame in ``other``.
        """
        owner = self.owner(index)
        result = np.zeros((HEIGHT, WIDTH, 2), np.float32)
        for number, layer in enumerate(self.layers):
            rows, columns = np.nonzero(owner == number)
            there = self.homography(layer, other) @ np.linalg.inv(self.homography(layer, index))
            x, y, w = there @ np.stack([columns, rows, np.ones_like(rows)])
            result[rows, columns] = np.stack([x / w - columns, y / w - rows], axis=1)
        return result

    def occlusion(self, index: int, other: int) -> NDArray[np.bool_]:
        """Which surface points seen in frame ``index`` are not seen in frame ``other``.

        Returns:
            ``(360, 640)`` bool: True where a nearer layer hides the point or it lies outside of the frame.
        """
        rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
        flow = self.flow(index, other)
        x, y = columns + flow[..., 0], rows + flow[..., 1]
        hidden = (x < -0.5) | (y < -0.5) | (x > WIDTH - 0.5) | (y > HEIGHT - 0.5)
        owner = self.owner(index)
        for number, layer in enumerate(self.layers):
            cover = cv2.remap(self.coverage(layer, other), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            hidden |= (number > owner) & (cover > 0.5)
        return np.asarray(hidden, np.bool_)

    def owner(self, index: int) -> NDArray[np.int32]:
        """The number in ``layers`` of the layer to which each pixel of frame ``index`` belongs: ``(360, 640)``."""
        result = np.zeros((HEIGHT, WIDTH), np.int32)
        for number, layer in enumerate(self.layers):
            result[self.coverage(layer, index) > 0.5] = number
        return result

    def coverage(self, layer: Layer, index: int) -> Array:
        """How much of each pixel of frame ``index`` the layer alone would cover: ``(360, 640)`` float32, 0 to 1."""
        large = np.zeros((HEIGHT * SUPERSAMPLE, WIDTH * SUPERSAMPLE), np.float32)
        alpha = np.ascontiguousarray(layer.texture[..., 3])
        part, drawn = draw(alpha, _ENLARGE @ self.homography(layer, index), large.shape)
        large[part] = drawn / np.float32(255)
        return np.asarray(cv2.resize(large, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.float32)

    def homography(self, layer: Layer, index: int) -> Matrix:
        """The ``(3, 3)`` map of the layer's texture pixels to pixels of frame ``index``."""
        return _homography(self.lens, self.camera(index / FPS), layer.plane, layer.path(index / FPS)) @ (
            layer.to_reference(layer.path(index / FPS).turn)
        )


def composite(image: Array, layer: Layer, matrix: Matrix) -> None:
    """Composite the layer over ``image`` (``(height, width, 3)``, 0 to 255), its texture mapped by ``matrix``."""
    part, drawn = draw(layer.texture, matrix, image.shape)
    image[part] *= 1 - drawn[..., 3:].astype(np.float32) / 255
    image[part] += drawn[..., :3]


def draw(texture: Bytes, matrix: Matrix, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], Bytes]:
    """Map a texture by ``matrix`` into an image of this shape; return the part of it that is drawn, and its pixels."""
    height, width = texture.shape[:2]
    corners = np.array([[[0, 0], [width, 0], [width, height], [0, height]]], np.float64) - 0.5
    placed = cv2.perspectiveTransform(corners, matrix)[0]
    size = np.array(shape[1::-1])
    left, top = np.clip(np.floor(placed.min(axis=0)) - 1, 0, size).astype(int)
    right, bottom = np.clip(np.ceil(placed.max(axis=0)) + 2, (left, top), size).astype(int)
    part = (slice(top, bottom), slice(left, right))
    if left == right or top == bottom:
        return part, np.zeros((bottom - top, right - left, *texture.shape[2:]), np.uint8)
    shifted = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]], np.float64) @ matrix
    drawn = cv2.warpPerspective(texture, shifted, (right - left, bottom - top), flags=cv2.INTER_LINEAR)
    return part, np.asarray(drawn, np.uint8)


_ENLARGE: Matrix = np.array(
    [[SUPERSAMPLE, 0, (SUPERSAMPLE - 1) / 2], [0, SUPERSAMPLE, (SUPERSAMPLE - 1) / 2], [0, 0, 1]], np.float64
)


@lru_cache(maxsize=4096)
def _homography(lens: Lens, camera: Pose, plane: Plane, moved: Pose) -> Matrix:
    """Pixels of the reference frame to pixels of the frame taken at ``camera``, for points on ``plane``."""
    cos, sin = np.cos(camera.turn), np.sin(camera.turn)
    turned = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
    away = np.subtract(camera.position, moved.position).reshape(3, 1)
    moving = turned @ (np.eye(3) - away @ plane.scaled)
    return np.asarray(lens.matrix @ moving @ np.linalg.inv(lens.matrix), np.float64)
