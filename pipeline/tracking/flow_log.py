"""The optical flow of the frames before a key frame, in a temporary file, until that frame is reached."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.system.files.writing import scratch_file

Luma = NDArray[np.uint8]
"""``(h, w)`` of a frame, in levels of 255."""
Flows = tuple[Tensor, Tensor]
"""``(1, 2, h, w)`` float32 from a frame to the one before, and back, in pixels."""


class FlowLog:
    """A stack of flows and lumas, all of one size.

    Raises:
        OSError: from every method: the disk is full.
    """

    def __init__(self) -> None:
        self._file = scratch_file()
        self._size = (0, 0)
        self._count = 0

    def push(self, flows: Flows, luma: Luma) -> None:
        """Add two flows, which are rounded to 16 bits, and a luma."""
        self._size = (luma.shape[0], luma.shape[1])
        self._file.seek(self._count * self._bytes)
        for flow in flows:
            self._file.write(flow.to(torch.float16).numpy().tobytes())
        self._file.write(luma.tobytes())
        self._count += 1

    def pop(self) -> tuple[Flows, Luma]:
        """Remove what was added last, and return it."""
        self._count -= 1
        self._file.seek(self._count * self._bytes)
        content, pixels = self._file.read(self._bytes), self._size[0] * self._size[1]
        flows = np.frombuffer(content, np.float16, 4 * pixels).reshape(2, 1, 2, *self._size).astype(np.float32)
        luma = np.frombuffer(content, np.uint8, pixels, 8 * pixels).reshape(self._size).copy()
        return (torch.from_numpy(flows[0]), torch.from_numpy(flows[1])), luma

    def clear(self) -> None:
        """Remove everything."""
        self._count = 0

    def close(self) -> None:
        """Delete the file."""
        self._file.close()

    @property
    def _bytes(self) -> int:
        return 9 * self._size[0] * self._size[1]
