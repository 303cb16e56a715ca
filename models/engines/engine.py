"""What engines have in common: the call, and what they are built from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from models.engines.gpu.overlap import overlapped
from models.engines.gpu.replay import CudaRecorder, Replayed
from models.engines.gpu.transfers import transfers_of
from models.frame_graph import FrameGraph
from models.network import Style, StyleNetwork
from models.pixels.yuv_output import SampleFormat, encoder_samples
from models.tiled.tiling import Tiling

EngineName = Literal["eager", "compile", "openvino"]
Precision = Literal["fp32", "bf16", "fp16"]

DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class EngineError(RuntimeError):
    """The engine is not available on this machine, or does not support what it is to run."""


class Engine(Protocol):
    """Stylizes frames of one size; may be called from several threads at once."""

    def __call__(
        self,
        pixels: Tensor,
        style: Style,
        past: Tensor,
        past_weight: Tensor,
        strength: Tensor,
        keep_colors: Tensor,
        /,
    ) -> tuple[Tensor, Tensor]:
        """Return the stylized pixels, on the CPU, and the statistics; see `models.frame_graph.FrameGraph.forward`.

        The pixels are samples one after the other if `EngineSpec.samples` says so.

        ``pixels`` are on the CPU, or where the engine runs.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class EngineSpec:
    """What an engine is built from: a network, whose styles are arguments, the size of the frames, and how to run.

    Attributes:
        network: what to run.
        height: of the frames, in pixels.
        width: of the frames, in pixels.
        device: where to run.
        precision: of the convolutions.
        cache: folder of compiled code, shared by all runs, that only this user can write to; eager needs none.
        stroke_size: the network sees the frame smaller by this factor, which makes strokes larger by the same factor.
        is_16_bit: whether pixels are uint16, in and out; uint8 otherwise.
        tiling: the strips to run in, which eager alone supports; None for whole frames.
        workers: number of threads that call at once; on a CPU each uses torch's number of threads.
        threads: cores per call on a CPU; part of code that is compiled ahead of time, ignored otherwise.
        has_regions: whether the style is a `models.network.RegionStyle`, and each call has the region as a seventh
            argument, ``(H, W)`` float32 on the device; eager alone supports it.
        samples: what stylized frames become on a GPU, see `models.pixels.yuv_output.RgbToYuv.packed`; None for RGB.
            Strips, and other devices, give RGB whatever this is.
        is_recorded: whether an NVIDIA GPU repeats the kernels of the first frame as a CUDA graph; for whole frames
            without regions. Not measured yet, so that nothing but a benchmark asks for it.
    """

    network: StyleNetwork
    height: int
    width: int
    device: torch.device
    precision: Precision
    cache: Path | None = None
    stroke_size: float = 1.0
    is_16_bit: bool = False
    tiling: Tiling | None = None
    workers: int = 1
    threads: int = 1
    has_regions: bool = False
    is_recorded: bool = False
    samples: SampleFormat | None = None

    @property
    def cache_folder(self) -> Path:
        """The folder of compiled code.

        Raises:
            EngineError: there is none.
        """
        if self.cache is None:
            raise EngineError("compiled code needs a private folder; set FLOWBRUSH_CACHE")
        return self.cache

    @property
    def canvas(self) -> tuple[int, int] | None:
        """Height and width at which the network runs; None for those of the frame."""
        return canvas_size(self.height, self.width, self.stroke_size)

    def frame_graph(self) -> FrameGraph:
        """Return what the engine computes."""
        return FrameGraph(self.network, self.canvas).eval()

    def torch_engine(self, graph: Callable[..., Any]) -> Engine:
        """Return the engine that calls ``graph``, which takes and returns what `FrameGraph.forward` does."""
        device = self.device
        converted = StyleConverter(device, DTYPES[self.precision])
        transfers = transfers_of(device)
        if transfers is not None:
            run = Replayed(graph, lambda: CudaRecorder(device)) if self.is_recorded else graph
            finish = encoder_samples(self.samples).packed if self.samples is not None else None
            return overlapped(
                lambda pixels, style, *controls: run(pixels, converted(style), *controls), transfers, finish
            )

        def engine(pixels: Tensor, style: Style, *controls: Tensor) -> tuple[Tensor, Tensor]:
            with torch.inference_mode():
                stylized, used = graph(pixels.to(device), converted(style), *controls)
                return stylized.cpu(), used

        return engine


class StyleConverter:
    """Converts styles to what an engine runs; frame after frame in one style converts once.

    Args:
        device: where the engine runs.
        dtype: of the convolutions.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self._device, self._dtype = device, dtype
        self._last: tuple[Style, tuple[Tensor, ...]] | None = None

    def __call__(self, style: Style) -> tuple[Tensor, ...]:
        """Return the tensors of ``style``; from any thread."""
        last = self._last
        if last is None or last[0] is not style:
            self._last = last = style, style.to(self._device, self._dtype).tensors()
        return last[1]


def canvas_size(height: int, width: int, stroke_size: float) -> tuple[int, int] | None:
    """Return height and width at which the network runs; None if they are those of the frame."""
    size = max(round(height / stroke_size), 1), max(round(width / stroke_size), 1)
    return None if size == (height, width) else size
