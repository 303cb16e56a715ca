"""The kernels of a network, recorded once and repeated: the CPU then starts them by one call, not each by itself."""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

# A compiler, cuDNN and the allocator do what they do at a first call before a recording, which must not see it.
WARM_UPS = 3

Work = Callable[[], tuple[Tensor, ...]]
"""Reads and writes the same memory at each call."""
Graph = Callable[..., tuple[Tensor, Tensor]]
"""Takes and returns what `models.frame_graph.FrameGraph.forward` does, all on the device."""


class Recorder(Protocol):
    """Records work on a device, and repeats it; one recording each."""

    def record(self, work: Work) -> tuple[Tensor, ...]:
        """Call ``work`` a few times, record it, and return where each `replay` writes its results.

        Raises:
            RuntimeError: the device cannot record it.
        """
        ...

    def replay(self) -> None:
        """Start the recorded work, after all that was started on the device before."""
        ...


class CudaRecorder:
    """The `Recorder` of an NVIDIA GPU: a CUDA graph.

    Args:
        device: the GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._graph = torch.cuda.CUDAGraph()

    def record(self, work: Work) -> tuple[Tensor, ...]:
        """See `Recorder.record`; the calls before, and the recording, are on a stream beside the current one."""
        current = torch.cuda.current_stream(self._device)
        side = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        # The outer stream is current again at the end: torch leaves the inner one current where a recording fails.
        with torch.cuda.device(self._device), torch.cuda.stream(current):
            side.wait_stream(current)
            with torch.cuda.stream(side):
                for _ in range(WARM_UPS):
                    work()
            current.wait_stream(side)
            # Other threads may copy meanwhile.
            with torch.cuda.graph(self._graph, stream=side, capture_error_mode="thread_local"):
                return work()

    def replay(self) -> None:
        """See `Recorder.replay`."""
        with torch.cuda.device(self._device):
            self._graph.replay()


class Replayed:
    """Runs a graph for frames of one size by repeating what was recorded at the first.

    Inputs are copied to where the recording reads them, results from where it writes them: so several frames may be in
    flight, and none is overwritten by a later one. If the device cannot record the graph, it runs as it is, and a line
    is logged.

    Not for several threads at once; `models.engines.gpu.overlap.overlapped` calls it from one at a time.

    Args:
        graph: what to run.
        make: makes what records it.
    """

    def __init__(self, graph: Graph, make: Callable[[], Recorder]) -> None:
        self._graph, self._make = graph, make
        self._recording: _Recording | None = None
        self._has_failed = False

    @property
    def is_recorded(self) -> bool:
        """Whether calls repeat a recording."""
        return self._recording is not None

    def __call__(self, pixels: Tensor, style: Sequence[Tensor], *controls: Tensor) -> tuple[Tensor, Tensor]:
        """Return stylized pixels and statistics, in memory of their own.

        Raises:
            ValueError: the frame has another shape or type than the first.
        """
        if self._recording is None and not self._has_failed:
            self._try_to_record(pixels, style, controls)
        if self._recording is None:
            return self._graph(pixels, style, *controls)
        return self._recording(pixels, style, controls)

    def _try_to_record(self, pixels: Tensor, style: Sequence[Tensor], controls: Sequence[Tensor]) -> None:
        try:
            self._recording = _Recording(self._graph, self._make(), pixels, style, controls)
        except RuntimeError as error:
            self._has_failed = True
            reason = (str(error).strip().splitlines() or ["no reason given"])[0]
            logger.warning("the network cannot be recorded as a CUDA graph (%s): it runs without one", reason)


class _Recording:
    """A recorded graph with the memory of its inputs; see `Replayed`."""

    def __init__(
        self, graph: Graph, recorder: Recorder, pixels: Tensor, style: Sequence[Tensor], controls: Sequence[Tensor]
    ) -> None:
        self._pixels, self._style, self._controls = pixels.clone(), [*map(torch.clone, style)], [*map(_own, controls)]
        self._last_style = style
        self._recorder = recorder
        self._outputs = recorder.record(lambda: graph(self._pixels, self._style, *self._controls))

    def __call__(self, pixels: Tensor, style: Sequence[Tensor], controls: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        if pixels.shape != self._pixels.shape or pixels.dtype != self._pixels.dtype:
            was = f"{self._pixels.dtype} of {tuple(self._pixels.shape)}"
            raise ValueError(f"the recorded network takes {was}, not {pixels.dtype} of {tuple(pixels.shape)}")
        self._pixels.copy_(pixels)
        if style is not self._last_style:  # most frames have the style of the one before
            _copy_all(self._style, style)
            self._last_style = style
        _copy_all(self._controls, controls)
        self._recorder.replay()
        stylized, statistics = self._outputs
        return stylized.clone(), statistics.clone()


def _own(tensor: Tensor) -> Tensor:
    """Return a copy with memory of its own for each element."""
    return tensor.contiguous().clone()


def _copy_all(targets: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
    for target, source in zip(targets, sources, strict=True):
        target.copy_(source)
