"""A textured square that moves over a textured ground, with its mask; frames whose optical flow can be found."""

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.frames import Pixels

HEIGHT, WIDTH, SIDE, STEP = 90, 160, 40, 2
BAR = slice(90, 102)


def texture(seed: int, height: int, width: int) -> NDArray[np.uint8]:
    """Return soft spots, ``(height, width, 3)``."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 6 + 2, width // 6 + 2, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def square(number: int, *, has_bar: bool = False, is_other_scene: bool = False) -> tuple[Pixels, NDArray[np.uint8]]:
    """Return frame ``number`` and its mask: 255 where the square is, 0 elsewhere.

    Args:
        number: of the frame; the square moves two pixels to the right with each.
        has_bar: whether the square passes behind a bar.
        is_other_scene: whether the frame belongs to another scene, with other colors.
    """
    pixels, mask = texture(1, HEIGHT, WIDTH) // 2, np.zeros((HEIGHT, WIDTH), np.uint8)
    left = 10 + STEP * number
    pixels[20 : 20 + SIDE, left : left + SIDE] = texture(2, SIDE, SIDE) // 2 + 120
    mask[20 : 20 + SIDE, left : left + SIDE] = 255
    if has_bar:
        pixels[:, BAR], mask[:, BAR] = texture(3, HEIGHT, 12), 0
    return 255 - pixels if is_other_scene else pixels, mask


def overlap(mask: NDArray[np.uint8], true: NDArray[np.uint8]) -> float:
    """Return the intersection of two masks over their union."""
    return float((mask.astype(int) > 127)[true > 127].sum() / ((mask > 127) | (true > 127)).sum())


def write_keys(folder: Path, *numbers: int, names_from: int = 0, **scene: bool) -> str:
    """Write the masks of some frames into a folder; return the pattern of their names."""
    folder.mkdir(exist_ok=True)
    for number in numbers:
        Image.fromarray(square(number, **scene)[1]).save(folder / f"{number + names_from:05}.png")
    return str(folder / "%05d.png")


def write_square(path: Path, count: int, *, cut: int | None = None) -> Path:
    """Write a lossless clip of the square, 25 frames per second, with another scene from frame ``cut`` on."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "bgr0"
        for number in range(count):
            pixels, _ = square(number, is_other_scene=cut is not None and number >= cut)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode(None))
    return path
