"""Crops of photos to train on, and the tenth that is kept aside to validate on."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

MINIMUM_PICTURES = 2


def split(pictures: Sequence[Tensor], generator: torch.Generator) -> tuple[list[Tensor], list[Tensor]]:
    """Shuffle, then hold out a tenth, at least one picture: (to train on, to validate on).

    Raises:
        ValueError: fewer than two pictures.
    """
    if len(pictures) < MINIMUM_PICTURES:
        raise ValueError(f"training needs at least {MINIMUM_PICTURES} content pictures, got {len(pictures)}")
    order = torch.randperm(len(pictures), generator=generator).tolist()
    held = max(1, len(pictures) // 10)
    return [pictures[i] for i in order[held:]], [pictures[i] for i in order[:held]]


def random_crops(pictures: Sequence[Tensor], count: int, size: int, generator: torch.Generator) -> Tensor:
    """Random square crops at random scale, half of them mirrored.

    Args:
        pictures: ``(3, H, W)`` uint8 each, of any size; small ones are enlarged.
        count: crops to draw.
        size: their side in pixels.
        generator: on the CPU; decides everything.

    Returns:
        ``(count, 3, size, size)`` float32 in [0, 1] on the pictures' device.
    """
    crops = []
    for _ in range(count):
        picture = pictures[int(torch.randint(len(pictures), (), generator=generator))]
        scale, vertical, horizontal, mirror = torch.rand(4, generator=generator).tolist()
        height, width = picture.shape[1:]
        side = round(min(height, width) * (0.75 + 0.25 * scale))
        top, left = round((height - side) * vertical), round((width - side) * horizontal)
        crop = resize(picture[:, top : top + side, left : left + side], size, size)
        crops.append(crop.flip(-1) if mirror < 0.5 else crop)
    return torch.stack(crops)


def central_crops(pictures: Sequence[Tensor], size: int) -> Tensor:
    """The largest central square of each picture, ``(N, 3, size, size)`` float32 in [0, 1]."""
    crops = []
    for picture in pictures:
        height, width = picture.shape[1:]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        crops.append(resize(picture[:, top : top + side, left : left + side], size, size))
    return torch.stack(crops)


def resize(picture: Tensor, height: int, width: int) -> Tensor:
    """Resample ``(3, H, W)`` uint8 with antialiasing to ``(3, height, width)`` float32 in [0, 1]."""
    wide = picture[None].float() / 255
    if picture.shape[1:] != (height, width):
        wide = F.interpolate(wide, size=(height, width), mode="bilinear", antialias=True, align_corners=False)
    return wide[0].clamp(0, 1)


def painting_at(picture: Tensor, short_side: int) -> Tensor:
    """A painting ``(3, H, W)`` uint8, scaled so that its short side is ``short_side`` px, as ``(1, 3, h, w)`` float32.

    The size at which the network sees the painting decides how large its strokes come out.
    """
    factor = short_side / min(picture.shape[1:])
    return resize(picture, round(picture.shape[1] * factor), round(picture.shape[2] * factor))[None]
