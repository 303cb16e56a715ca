"""Where the network runs: find the device, and map what fails there to errors."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.errors import DeviceError, first_line

if TYPE_CHECKING:
    import torch


class OutOfMemoryError(DeviceError):
    """The device has too little memory for this engine and frame size; a smaller one may fit."""


def find_device(name: str) -> "torch.device":
    """Return the device ``name`` after an allocation on it; for ``auto`` a GPU if there is one, else the CPU.

    Raises:
        DeviceError: the device is not available.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0].split(". ")[0]
        raise DeviceError(f"device {name!r} is not available ({reason}); `flowbrush doctor` lists devices") from error
    return device


def gpu_name(device: "torch.device") -> str | None:
    """Return the model of an NVIDIA GPU; None for another device."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else None


@contextmanager
def device_errors(device: "torch.device") -> Iterator[None]:
    """Map errors of torch, of a compiler and of the cache folder to `DeviceError` within this context.

    Raises:
        OutOfMemoryError: an allocation failed.
        DeviceError: anything else failed.
    """
    try:
        yield
    except OSError as error:
        reason = f"{error.filename}: {error.strerror or error}" if error.filename else str(error.strerror or error)
        raise DeviceError(f"{reason}; or set FLOWBRUSH_CACHE to a private folder") from error
    except (RuntimeError, MemoryError) as error:
        if _is_out_of_memory(error):
            raise OutOfMemoryError(f"{device} has too little memory; choose a smaller --height") from error
        raise DeviceError(first_line(error)) from error


def _is_out_of_memory(error: Exception) -> bool:
    """Return whether an allocation failed; torch reports it differently for each device."""
    import torch

    text = str(error).lower()
    messages = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(words in text for words in messages)


def free_memory(device: "torch.device") -> None:
    """Release memory of the device that torch caches but no longer uses."""
    import torch

    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
