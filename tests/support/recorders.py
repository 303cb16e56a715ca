"""What stands for a CUDA graph on the CPU: it writes each result over the one before, as a CUDA graph does."""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.engines.gpu.replay import Work


class Repeating:
    """See `models.engines.gpu.replay.Recorder`.

    Attributes:
        replays: number of calls of `replay`.
    """

    def __init__(self) -> None:
        self.replays = 0
        self._work: Work | None = None
        self._outputs: Sequence[Tensor] = ()

    def record(self, work: Work) -> tuple[Tensor, ...]:
        self._work = work
        outputs = work()
        self._outputs = outputs
        for output in outputs:  # recorded work has not run yet
            output.zero_()
        return outputs

    def replay(self) -> None:
        assert self._work is not None
        self.replays += 1
        with torch.inference_mode():
            for output, result in zip(self._outputs, self._work(), strict=True):
                output.copy_(result)


class Failing(Repeating):
    def record(self, work: Work) -> tuple[Tensor, ...]:
        work()
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nCompile with TORCH_USE_...")
