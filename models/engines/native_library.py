"""Calls the compiled network of `models.native` with ctypes, which leaves Python's global lock free meanwhile."""

import ctypes
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from models.network import Architecture, Style, StyleNetwork, padding

PANEL = 16
"""Outputs of a layer that the code computes together; a multiple of them is what a width must be."""

MAX_KERNEL = 15

# Transforms of a 3x3 kernel for 4x4 outputs at once; Lavin & Gray 2016, arXiv:1509.09308, section 5.2 and wincnn.
WINOGRAD = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
# The same for a 3x3 kernel after nearest-neighbor upsampling by 2, for 2x2 outputs.
UPSAMPLING = ((1, 0, 0), (1, 1, 1), (0, 0, 1))

_PIXEL_TYPES = {torch.uint8: 0, torch.uint16: 1, torch.float32: 2}
_INTEGERS = "height width padded_height padded_width pixel_type threads full half quarter blocks kernel"
_FLOATS = "past_weight strength keep_colors"
_POINTERS = "pixels weights scale shift bias past used result memory"


class _Job(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int32) for name in _INTEGERS.split()),
        *((name, ctypes.c_float) for name in _FLOATS.split()),
        *((name, ctypes.c_void_p) for name in _POINTERS.split()),
    )


def is_fitting(architecture: Architecture) -> bool:
    """Return whether the code can run a network of this architecture."""
    return not any(width % PANEL for width in architecture.widths) and architecture.kernel <= MAX_KERNEL


class NativeLibrary:
    """The functions of the compiled code.

    Args:
        path: of the shared library.

    Raises:
        OSError: the file is no library, or this machine cannot load it.
    """

    def __init__(self, path: Path) -> None:
        library = ctypes.CDLL(str(path))
        self.memory = library.flowbrush_memory
        self.memory.restype = ctypes.c_int64
        self.stylize = library.flowbrush_stylize


class NativeNetwork:
    """Runs a network with `NativeLibrary`; may be called from several threads at once.

    Args:
        library: compiled code.
        network: what to run, see `is_fitting`.
        threads: cores of each call.
    """

    def __init__(self, library: NativeLibrary, network: StyleNetwork, threads: int) -> None:
        self._library, self._network, self._threads = library, network, threads
        self._packed: tuple[tuple[Tensor, ...], list[Tensor]] | None = None
        self._memory: list[Tensor] = []

    def __call__(
        self, image: Tensor, style: Style, past: Tensor, past_weight: Tensor, region: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Stylize ``image`` ``(1, 3, H, W)`` as `models.network.StyleNetwork` does; without regions."""
        past = torch.nn.functional.pad(past, (0, 1))
        stylized, used = self._run(image.contiguous(), style.tensors(), past, float(past_weight), 1.0, 0.0)
        return stylized, used[..., :-1]

    def stylize(
        self,
        pixels: Tensor,
        style: tuple[Tensor, ...],
        past: Tensor,
        past_weight: Tensor,
        strength: Tensor,
        keep_colors: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Stylize a frame as `models.frame_graph.FrameGraph.forward` does.

        Raises:
            MemoryError: the memory is too small.
        """
        controls = float(past_weight), float(strength), float(keep_colors)
        return self._run(pixels.contiguous(), style, past, *controls)

    def _run(self, pixels: Tensor, style: tuple[Tensor, ...], past: Tensor, *controls: float) -> tuple[Tensor, Tensor]:
        architecture, packed = self._network.architecture, self._pack(style)
        height, width = pixels.shape[-2:] if pixels.dtype == torch.float32 else pixels.shape[:2]
        padded = [size + padding(size, self._network.MULTIPLE, self._network.SMALLEST) for size in (height, width)]
        *weights, scale, shift, bias = packed
        pointers = (ctypes.c_void_p * len(weights))(*(weight.data_ptr() for weight in weights))
        past, used, result = past.float().contiguous(), torch.zeros_like(past), torch.empty_like(pixels)
        sizes = (*architecture.widths, architecture.blocks, architecture.kernel)
        job = _Job(height, width, *padded, _PIXEL_TYPES[pixels.dtype], self._threads, *sizes, *controls)
        for name, tensor in (("pixels", pixels), ("scale", scale), ("shift", shift), ("bias", bias), ("past", past)):
            setattr(job, name, tensor.data_ptr())
        job.weights = ctypes.cast(pointers, ctypes.c_void_p)
        job.used, job.result = used.data_ptr(), result.data_ptr()
        memory = self._take(self._library.memory(ctypes.byref(job)))
        job.memory = memory.data_ptr()
        failed = self._library.stylize(ctypes.byref(job))
        self._memory.append(memory)
        if failed:
            raise MemoryError("the network failed for want of memory")
        return result, used

    def _take(self, size: int) -> Tensor:
        """Return memory of ``size`` floats that no other thread uses."""
        try:
            memory = self._memory.pop()
        except IndexError:
            return torch.empty(size)
        return memory if memory.numel() >= size else torch.empty(size)

    def _pack(self, style: tuple[Tensor, ...]) -> list[Tensor]:
        last = self._packed
        if last is None or any(a is not b for a, b in zip(last[0], style, strict=True)):
            self._packed = last = style, pack(style, self._network.architecture.blocks)
        return last[1]


def pack(tensors: Sequence[Tensor], blocks: int) -> list[Tensor]:
    """Return the tensors of a style as the code reads them: the weights of all layers, scale, shift and bias."""
    *convolutions, scale, shift, weight, bias = (tensor.float() for tensor in tensors)
    down, residual, up = convolutions[:3], convolutions[3 : 3 + 2 * blocks], convolutions[3 + 2 * blocks :]
    return [
        *(_panels(kernel.permute(2, 3, 1, 0)).permute(3, 0, 1, 2, 4).contiguous() for kernel in down),
        *(_points(kernel, WINOGRAD) for kernel in residual),
        *(_points(kernel, UPSAMPLING) for kernel in up),
        weight.permute(2, 1, 3, 0).contiguous(),
        *(vector.contiguous() for vector in (scale, shift, bias)),
    ]


def _panels(weight: Tensor) -> Tensor:
    """Split the outputs, the last dimension, into panels."""
    return weight.reshape(*weight.shape[:-1], -1, PANEL)


def _points(kernel: Tensor, transform: Sequence[Sequence[float]]) -> Tensor:
    """Transform ``(O, I, 3, 3)`` into ``(points, panels, I, PANEL)``."""
    matrix = torch.tensor(transform, dtype=torch.float64)
    points = torch.einsum("pa,oiab,qb->pqio", matrix, kernel.double(), matrix).float().flatten(0, 1)
    return _panels(points).permute(0, 2, 1, 3).contiguous()
