"""Frames to a device and back, while it works on other frames."""

import threading
from collections import deque
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from models.engines.gpu.streams import CudaStreams, Done, Streams

# While one frame is copied, the next is written into a buffer; the third covers for a thread that comes late.
UPLOADS = 3


@dataclass(frozen=True, slots=True)
class Download:
    """A frame on its way to main memory.

    Attributes:
        image: on the device; its memory is not used again before the end.
        host: pinned.
        done: the end of the copy.
    """

    image: Tensor
    host: Tensor
    done: Done

    def wait(self) -> Tensor:
        """Return the frame in main memory; all that was started on the device before it has ended too."""
        self.done.synchronize()
        return self.host


class FrameTransfers:
    """Copies frames to a device and back; from any thread.

    Frames go through a few pinned buffers, each of which is written again only after the copy from it has ended. So at
    most ``uploads`` frames are copied or wait to be. A frame that comes back lies in pinned memory until nobody holds
    it; torch then uses that memory again.

    Args:
        streams: of the device.
        uploads: number of buffers, at least 1.
    """

    def __init__(self, streams: Streams, uploads: int = UPLOADS) -> None:
        self._streams, self._uploads = streams, uploads
        self._lock = threading.Lock()
        self._busy: deque[tuple[Tensor, Done]] = deque()  # the oldest first

    def holds(self, tensor: Tensor) -> bool:
        """Return whether ``tensor`` is on the device."""
        return self._streams.holds(tensor)

    def upload(self, pixels: Tensor) -> Tensor:
        """Return ``pixels`` on the device; they are read before this returns, and copied after.

        What the calling thread starts on the device from now on waits for the copy.
        """
        # A buffer that was made in inference mode, as by an engine, can be written in inference mode only.
        with self._lock, torch.inference_mode():
            host = self._free_buffer(pixels)
            host.copy_(pixels)
            image, done = self._streams.copy_in(host)
            self._busy.append((host, done))
        return image

    def download(self, image: Tensor) -> Download:
        """Start to copy ``image`` to main memory, after all that was started on the device before."""
        host = self._streams.pinned(image.shape, image.dtype)
        return Download(image, host, self._streams.copy_out(image, host))

    def _free_buffer(self, pixels: Tensor) -> Tensor:
        """Return a pinned buffer like ``pixels`` that no copy reads; waits if all are in use."""
        if len(self._busy) >= self._uploads:
            host, done = self._busy.popleft()  # if the wait fails, it is dropped, not used again
            done.synchronize()
            if host.shape == pixels.shape and host.dtype == pixels.dtype:
                return host
        return self._streams.pinned(pixels.shape, pixels.dtype)


@cache
def transfers_of(device: torch.device) -> FrameTransfers | None:
    """Return the transfers of an NVIDIA GPU, the same for all that runs on it; None for other devices."""
    return FrameTransfers(CudaStreams(device)) if device.type == "cuda" else None
