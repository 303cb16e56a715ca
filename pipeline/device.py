"""Where the network runs: devices by name, found out before anything is loaded onto them."""

from typing import TYPE_CHECKING

from pipeline.errors import DeviceError

if TYPE_CHECKING:
    import torch


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
