"""Where a GPU copies: streams of their own beside that of the network, and the events that order them.

The network, and all else that a thread starts on the device, runs on its current stream, which is the default one. Only
copies leave it: those to the device on one stream, those to main memory on another, as a GPU has an engine for each.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class Done(Protocol):
    """The end of a copy; a ``torch.cuda.Event`` is one."""

    def synchronize(self) -> None:
        """Wait for it, in the calling thread."""


class Streams(Protocol):
    """Copies between main memory and a device."""

    def holds(self, tensor: Tensor) -> bool:
        """Return whether ``tensor`` is on the device."""
        ...

    def pinned(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Return a new tensor in main memory that the device can copy from and to while the CPU works."""
        ...

    def copy_in(self, host: Tensor) -> tuple[Tensor, Done]:
        """Start to copy ``host``, which is pinned; return the copy on the device, and its end.

        What the calling thread starts on the device from now on waits for the copy; ``host`` must stay as it is
        until the end.
        """
        ...

    def copy_out(self, image: Tensor, host: Tensor) -> Done:
        """Start to copy ``image`` into ``host``, which is pinned, after all that was started on the device before."""
        ...


class CudaStreams:
    """The `Streams` of an NVIDIA GPU.

    Args:
        device: the GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._to_device = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._to_host = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def holds(self, tensor: Tensor) -> bool:
        """See `Streams.holds`."""
        return tensor.is_cuda

    def pinned(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """See `Streams.pinned`; torch keeps freed ones, and waits for copies that still use them."""
        with torch.cuda.device(self._device):  # otherwise pinning takes memory of the first GPU
            return torch.empty(tuple(shape), dtype=dtype, pin_memory=True)

    def copy_in(self, host: Tensor) -> tuple[Tensor, Done]:
        """See `Streams.copy_in`."""
        current = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._to_device):
            # Allocated on the stream that writes it: on the other one its memory might still be read.
            image = host.to(self._device, non_blocking=True)
            done = self._recorded(self._to_device)
        current.wait_event(done)
        image.record_stream(current)
        return image, done

    def copy_out(self, image: Tensor, host: Tensor) -> Done:
        """See `Streams.copy_out`."""
        self._to_host.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._to_host):
            host.copy_(image, non_blocking=True)
            image.record_stream(self._to_host)
            return self._recorded(self._to_host)

    def _recorded(self, stream: torch.cuda.Stream) -> torch.cuda.Event:
        # Otherwise a thread that waits occupies a core.
        done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        done.record(stream)
        return done
