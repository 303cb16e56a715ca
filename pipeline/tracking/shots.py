"""Divide the frames of a clip into shots: a mask is carried from frame to frame within one."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from pipeline.stylize.scene_cuts import Thumbnail, is_cut, thumbnail

FLASH_FRAMES = 3
"""Number of frames that a flash lasts at most."""


@dataclass(frozen=True, slots=True)
class NumberedFrame:
    """A frame, made smaller for its flow.

    Attributes:
        number: by which key frames name it.
        pts: of the frame.
        pixels: ``(h, w, 3)`` RGB.
    """

    number: int
    pts: int
    pixels: NDArray[np.uint8]


def divide(frames: Iterable[NumberedFrame]) -> Iterator[tuple[NumberedFrame, bool]]:
    """Yield each frame, and whether it starts a shot.

    A flash does not end a shot: frames that look like another scene, after which the scene from before is back. There
    is nothing in them to follow, so they are yielded with the pixels of the frame before them.
    """
    seen = ((frame, thumbnail(frame.pixels)) for frame in frames)
    ahead = deque(islice(seen, 1))
    before: tuple[NumberedFrame, Thumbnail] | None = None
    while ahead:
        frame, scene = now = ahead.popleft()
        is_first = is_cut(None if before is None else before[1], scene)
        if is_first and before is not None:
            ahead.extend(islice(seen, FLASH_FRAMES - len(ahead)))
            if any(not is_cut(before[1], later) for _, later in ahead):
                yield replace(frame, pixels=before[0].pixels), False
                continue
        yield frame, is_first
        before = now
        ahead.extend(islice(seen, 1 if not ahead else 0))
