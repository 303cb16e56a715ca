"""Crops of photos to train on, and the tenth of the photos that is held out for validation."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

FEWEST_IMAGES = 2


def split(images: Sequence[Tensor], generator: torch.Generator) -> tuple[list[Tensor], list[Tensor]]:
    """Shuffle, then hold out a tenth, at least one image; returns the training and the validation images.

    Raises:
        ValueError: fewer than two images.
    """
    if len(images) < FEWEST_IMAGES:
        raise ValueError(f"training needs at least {FEWEST_IMAGES} content images, got {len(images)}")
    order = torch.randperm(len(images), generator=generator).tolist()
    held_out = max(1, len(images) // 10)
    return [images[i] for i in order[held_out:]], [images[i] for i in order[:held_out]]


def random_crops(images: Sequence[Tensor], count: int, size: int, generator: torch.Generator) -> Tensor:
    """Draw random square crops at random scale, half of them mirrored.

    Args:
        images: ``(3, H, W)`` uint8 each, of any size; small ones are enlarged.
        count: number of crops.
        size: their side in pixels.
        generator: on the CPU; the only source of randomness.

    Returns:
        ``(count, 3, size, size)`` float32 in [0, 1] on the device of the images.
    """
    crops = []
    for _ in range(count):
        image = images[int(torch.randint(len(images), (), generator=generator))]
        scale, vertical, horizontal, mirror = torch.rand(4, generator=generator).tolist()
        height, width = image.shape[1:]
        side = round(min(height, width) * (0.75 + 0.25 * scale))
        top, left = round((height - side) * vertical), round((width - side) * horizontal)
        crop = resize(image[:, top : top + side, left : left + side], size, size)
        crops.append(crop.flip(-1) if mirror < 0.5 else crop)
    return torch.stack(crops)


def central_crops(images: Sequence[Tensor], size: int) -> Tensor:
    """Return the largest central square of each image, ``(N, 3, size, size)`` float32 in [0, 1]."""
    crops = []
    for image in images:
        height, width = image.shape[1:]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        crops.append(resize(image[:, top : top + side, left : left + side], size, size))
    return torch.stack(crops)


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """Resample ``(3, H, W)`` uint8 with antialiasing to ``(3, height, width)`` float32 in [0, 1]."""
    wide = image[None].float() / 255
    if image.shape[1:] != (height, width):
        wide = F.interpolate(wide, size=(height, width), mode="bilinear", antialias=True, align_corners=False)
    return wide[0].clamp(0, 1)


def style_image_at(image: Tensor, short_side: int) -> Tensor:
    """Scale ``(3, H, W)`` uint8 to a short side of ``short_side`` px, as ``(1, 3, h, w)`` float32.

    The size at which training sees the style image decides how large the strokes are.
    """
    factor = short_side / min(image.shape[1:])
    return resize(image, round(image.shape[1] * factor), round(image.shape[2] * factor))[None]
