"""Run a network on a GPU so that it need not wait for copies, and gives the same frames each time."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from models.engines.gpu.transfers import FrameTransfers

# Frames that one GPU has in hand: one is copied to it, one stylized, one copied back.
FRAMES_IN_FLIGHT = 3


def overlapped(
    graph: Callable[..., tuple[Tensor, Tensor]],
    transfers: FrameTransfers,
    finish: Callable[[Tensor], Tensor] | None = None,
) -> Callable[..., tuple[Tensor, Tensor]]:
    """Return a function that calls ``graph`` from as many threads at once as there are frames in flight.

    One frame after the other is started on the device. Each thread then waits for its own frame to come back, while
    others start theirs: the network never waits for a copy, and no frame is delayed by a later one.

    Args:
        graph: takes pixels on the device and other arguments; returns stylized pixels, on the device or, as strips do,
            in main memory, and statistics.
        transfers: to the device and back.
        finish: called with stylized pixels on the device; what it returns comes back instead.

    Returns:
        A function that takes pixels on either side, and returns stylized pixels in main memory, and statistics.
    """
    starting = threading.Lock()

    def run(pixels: Tensor, *arguments: Any) -> tuple[Tensor, Tensor]:
        with starting, torch.inference_mode(), repeatable_kernels():
            image = pixels if transfers.holds(pixels) else transfers.upload(pixels)
            stylized, used = graph(image, *arguments)
            if not transfers.holds(stylized):
                return stylized, used
            download = transfers.download(stylized if finish is None else finish(stylized))
        return download.wait(), used

    return run


def repeatable_kernels() -> AbstractContextManager[None]:
    """Let cuDNN take kernels that give the same numbers each time, in all 32 bits where fp32 is asked for.

    By default its kernel of a transposed convolution may add in any order, so that a resumed render would differ from
    one that was not interrupted; and fp32 would be TF32, whose mantissa is that of fp16.
    """
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    return flags
