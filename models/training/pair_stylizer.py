"""Run the network on pairs of frames, as both trainings do."""

from pathlib import Path

import torch
from torch import Tensor

from models.engines.cache import use_compiler_cache
from models.engines.capabilities import native_precision
from models.network import Style, StyleNetwork
from models.training.data.pairs import FramePairs
from models.training.losses.objective import StylizedPairs


class PairStylizer:
    """Stylizes pairs of frames, in bfloat16 where the device is made for it.

    Make it before the optimizer, which imports torch's compiler: it says where compiled code is stored.

    Args:
        network: to run.
        device: where to run it.
        is_compiled: whether ``torch.compile`` fuses the network in training steps.
        cache: folder of compiled code that only this user can write to; None if nothing is compiled.

    Attributes:
        uses_autocast: whether the network runs in bfloat16; elsewhere that is slower, and float16 would overflow.

    Raises:
        ValueError: ``cache`` is missing.
    """

    def __init__(self, network: StyleNetwork, device: torch.device, *, is_compiled: bool, cache: Path | None) -> None:
        if is_compiled:
            if cache is None:
                raise ValueError("compiled code needs a cache folder that only this user can write to")
            use_compiler_cache(cache)
        self.uses_autocast = native_precision(device) == "bf16"
        self._network, self._device = network, device
        self._compiled = torch.compile(self._run, dynamic=False) if is_compiled else self._run

    def __call__(self, pairs: FramePairs, style: Style, *, is_training: bool) -> StylizedPairs:
        """Stylize the pairs; only what is trained is compiled. The losses are not: they are faster without."""
        run = self._compiled if is_training else self._run
        both = torch.cat((pairs.first, pairs.second)).contiguous(memory_format=torch.channels_last)
        stylized, features = run(both, *style.tensors())
        return StylizedPairs(*stylized.chunk(2), *features.chunk(2))

    def _run(self, frames: Tensor, *style: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self.uses_autocast):
            stylized, features = self._network.with_features(frames, Style.of(style))
            return stylized.float(), features
