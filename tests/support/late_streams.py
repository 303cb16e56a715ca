"""A device for tests on the CPU, whose copies happen as late as they may.

A buffer that is written too early, or read too early, has other pixels than on a device that is fast.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

import models.engines.engine
import models.engines.gpu.transfers
from models.engines.gpu.transfers import FrameTransfers


class OnDevice(Tensor):
    """A tensor that counts as one on the device, as does whatever is computed from it."""

    pending: Callable[[], None] | None

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Let work on the device wait for the copies to it."""
        for argument in args:
            if isinstance(argument, OnDevice) and (copy := argument.__dict__.pop("pending", None)):
                copy()
        return super().__torch_function__(func, types, args, kwargs or {})


class LateCopy:
    """A copy that happens when somebody waits for it, or when its result is used.

    Args:
        copy: does it.
        may_end: waited for before.
        error: raised instead of copying.
    """

    def __init__(self, copy: Callable[[], Any], may_end: threading.Event, error: Exception | None) -> None:
        self._copy: Callable[[], Any] | None = copy
        self._may_end, self._error = may_end, error
        self._lock = threading.Lock()

    def run(self) -> None:
        with self._lock, torch.inference_mode():
            if self._copy is not None:
                self._copy()
                self._copy = None

    def synchronize(self) -> None:
        if not self._may_end.wait(timeout=30):
            raise TimeoutError
        if self._error is not None:
            raise self._error
        self.run()


class LateStreams:
    """See `models.engines.gpu.streams.Streams`.

    Attributes:
        buffers: number of pinned tensors.
        uploaded: data pointers of the buffers that were copied from.
        may_end: copies end only while it is set.
        error: raised by whoever waits for a copy that was started while it was set.
    """

    def __init__(self) -> None:
        self.buffers = 0
        self.uploaded: list[int] = []
        self.may_end = threading.Event()
        self.may_end.set()
        self.error: Exception | None = None

    def holds(self, tensor: Tensor) -> bool:
        return isinstance(tensor, OnDevice)

    def pinned(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        self.buffers += 1
        return torch.zeros(tuple(shape), dtype=dtype)

    def copy_in(self, host: Tensor) -> tuple[Tensor, LateCopy]:
        self.uploaded.append(host.data_ptr())
        image = torch.zeros_like(host)
        copy = LateCopy(lambda: image.copy_(host), self.may_end, self.error)
        on_device: OnDevice = image.as_subclass(OnDevice)
        on_device.pending = copy.run
        return on_device, copy

    def copy_out(self, image: Tensor, host: Tensor) -> LateCopy:
        plain = image.as_subclass(Tensor)
        return LateCopy(lambda: host.copy_(plain), self.may_end, self.error)


def as_gpu(monkeypatch: pytest.MonkeyPatch) -> LateStreams:
    """Let late streams stand for a GPU where a config says ``cpu``; return them."""
    streams = LateStreams()
    transfers = FrameTransfers(streams)
    for module in (models.engines.gpu.transfers, models.engines.engine):
        monkeypatch.setattr(module, "transfers_of", lambda device: transfers)
    return streams
