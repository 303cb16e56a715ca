"""Pictures to learn from: random crops of paintings at random sizes, mirrored and recolored, and drawings."""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.training.data.content import resize
from models.training.predictor.drawings import draw

WHOLE = 0.25
"""Share of the crops that are of the whole picture, made smaller."""


class PictureSource:
    """Draws pictures to learn from.

    A picture is never enlarged: its strokes would be blurred ones. A picture n times as large has crops at n^2 times as
    many places and in n times as many sizes; so it is drawn n^3 times as often.

    Args:
        paintings: ``(3, H, W)`` uint8 images.
        side: of a crop, in pixels; a smaller painting gives smaller crops.
        drawings: how many pictures to draw by code, once.
        drawing_share: share of the draws that are of drawings.
        recolor_share: share of the draws that take the colors of another picture.
        generator: on the CPU; the only source of randomness.
    """

    def __init__(
        self,
        paintings: Sequence[Tensor],
        *,
        side: int,
        drawings: int,
        drawing_share: float,
        recolor_share: float,
        generator: torch.Generator,
    ) -> None:
        if not paintings and not drawings:
            raise ValueError("there is no picture to learn from")
        self._paintings = list(paintings)
        self._side, self._generator = side, generator
        larger = round(1.25 * side)
        device = paintings[0].device if paintings else None
        self._chances = torch.tensor([float(min(painting.shape[1:])) ** 3 for painting in paintings])
        self._drawings = [(draw(larger, generator) * 255).to(device, torch.uint8) for _ in range(drawings)]
        self._drawing_share = drawing_share if paintings else 1.0
        self._recolor_share = recolor_share

    def draw(self) -> Tensor:
        """Return a picture ``(1, 3, h, w)`` float32 in [0, 1]."""
        is_drawn, is_recolored, turn = torch.rand(3, generator=self._generator).tolist()
        is_drawing = bool(self._drawings) and is_drawn < self._drawing_share
        picture = self._crop(self._any_drawing() if is_drawing else self._any_painting())
        if is_drawing and turn < 0.5:  # a painting has an up and down, strokes of a drawing have not
            picture = picture.transpose(1, 2)
        if is_recolored < self._recolor_share:
            picture = recolored(picture, self._crop(self._any_painting()))
        return picture[None].contiguous()

    def _any_drawing(self) -> Tensor:
        return self._drawings[int(torch.randint(len(self._drawings), (), generator=self._generator))]

    def _any_painting(self) -> Tensor:
        if not self._paintings:
            return self._any_drawing()
        return self._paintings[int(torch.multinomial(self._chances, 1, generator=self._generator))]

    def _crop(self, picture: Tensor) -> Tensor:
        whole, scale, down, across, mirror = torch.rand(5, generator=self._generator).tolist()
        height, width = picture.shape[1:]
        short = min(height, width)
        side = min(self._side, short)
        taken = short if whole < WHOLE else round(side + (short - side) * scale)
        top, left = round((height - taken) * down), round((width - taken) * across)
        crop = resize(picture[:, top : top + taken, left : left + taken], side, side)
        return crop.flip(-1) if mirror < 0.5 else crop


def central_picture(picture: Tensor, side: int) -> Tensor:
    """Return the middle of ``(3, H, W)`` uint8 as ``(1, 3, h, w)`` in [0, 1], at most ``side`` px, not enlarged."""
    height, width = picture.shape[1:]
    side = min(side, height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resize(picture[:, top : top + side, left : left + side], side, side)[None]


def recolored(picture: Tensor, other: Tensor) -> Tensor:
    """Return ``(3, H, W)`` in [0, 1] with the mean and the covariance of the colors of ``other``.

    Whitening and coloring of the pixels, as in Reinhard et al., "Color Transfer between Images", 2001, but in RGB.
    """
    flat, wanted = picture.flatten(1), other.flatten(1)
    mean = flat.mean(dim=1, keepdim=True)
    matrix = _root(torch.cov(wanted), 0.5) @ _root(torch.cov(flat), -0.5)
    moved = matrix @ (flat - mean) + wanted.mean(dim=1, keepdim=True)
    return moved.clamp(0, 1).view_as(picture)


def _root(covariance: Tensor, power: float) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = vectors @ torch.diag(values.clamp_min(1e-4) ** power) @ vectors.T
    return root
