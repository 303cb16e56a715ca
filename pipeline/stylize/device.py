"""Where the network runs: devices by name, found out before anything is loaded onto them; and what fails there."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.errors import DeviceError, first_line

if TYPE_CHECKING:
    import torch


class OutOfMemoryError(DeviceError):
    """The memory of the device does not suffice for what was tried; less of it may go."""


def find_device(name: str) -> "torch.device":
    """The device called ``name``, tried; for ``auto`` a GPU where there is one, else the CPU.

    Raises:
        DeviceError: it is not to be had.
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
        raise DeviceError(f"device {name!r} is not to be had ({reason}); `flowbrush doctor` lists devices") from error
    return device


@contextmanager
def device_errors(device: "torch.device") -> Iterator[None]:
    """Context in which what torch raises for want of memory, device or compiler becomes a `DeviceError`.

    Raises:
        OutOfMemoryError: an allocation failed.
        DeviceError: whatever else torch, a compiler or the cache's folder refused.
    """
    try:
        yield
    except OSError as error:
        reason = f"{error.strerror or error}: {error.filename}" if error.filename else str(error)
        raise DeviceError(f"{reason}; set FLOWBRUSH_CACHE to a folder that can be written") from error
    except (RuntimeError, MemoryError) as error:
        if _is_out_of_memory(error):
            raise OutOfMemoryError(f"the memory of {device} does not suffice; choose a smaller --height") from error
        raise DeviceError(first_line(error)) from error


def _is_out_of_memory(error: Exception) -> bool:
    """Whether an allocation failed; torch tells so in many ways, one for each device."""
    import torch

    text = str(error).lower()
    told = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(words in text for words in told)


def free_memory(device: "torch.device") -> None:
    """Give back what is no longer in use but held for the next time."""
    import torch

    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
