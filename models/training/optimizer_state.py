"""What a training run stores of an optimizer, and how it resumes from it."""

from collections.abc import Mapping

import torch
from torch import Tensor

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def optimizer_tensors(optimizer: torch.optim.Adam) -> dict[str, Tensor]:
    """Return the moments of the parameters that have been trained, by ``optimizer.INDEX.NAME``."""
    state = optimizer.state_dict()["state"]
    return {f"optimizer.{index}.{name}": values[name] for index, values in state.items() for name in _MOMENTS}


def load_optimizer(optimizer: torch.optim.Adam, tensors: Mapping[str, Tensor]) -> None:
    """Restore `optimizer_tensors` in the memory layout of the parameters.

    Raises:
        ValueError: they do not fit, or some are missing.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in below("optimizer.", tensors).items():
        index, _, name = key.partition(".")
        like = torch.zeros(()) if name == "step" else parameters[int(index)].detach()
        if name not in _MOMENTS or value.shape != like.shape:
            raise ValueError(f"optimizer.{key} does not fit")
        moments.setdefault(int(index), {})[name] = torch.empty_like(like).copy_(value)
    if any(len(values) != len(_MOMENTS) for values in moments.values()):
        raise ValueError("values of the optimizer are missing")
    optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names start with ``prefix``, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
