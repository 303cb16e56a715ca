"""What the figures depend on."""

import torch

from benchmarks.command import machine as facts
from benchmarks.command import machine_line
from benchmarks.gpu.rows import Settings


def machine(settings: Settings) -> str:
    """Return GPU and processor, with versions."""
    device = torch.device(settings.device)
    line = machine_line(facts())
    if device.type != "cuda":
        return line
    properties = torch.cuda.get_device_properties(device)
    torch.zeros(1, device=device)  # the GPU is started before anything is measured
    return (
        f"{properties.name}, {properties.total_memory / 1e9:.0f} GB, CUDA {torch.version.cuda}, "
        f"cuDNN {torch.backends.cudnn.version()}; {line}"
    )
