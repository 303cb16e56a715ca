"""Calls the compiled network of `models.native` with ctypes, which leaves Python's global lock free meanwhile."""

import ctypes
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from models.network import Architecture, Style, StyleNetwork, padding

PANEL = 16
"""Outputs of a layer that the code computes together; a multiple of them is what a width must be."""

MAX_KERNEL, MAX_PANELS = 15, 64

WHITE = 255
"""What the code for bfloat16 multiplies pixels by: their levels have as many bits as bfloat16 does."""

# Transforms of a 3x3 kernel for 4x4 outputs at once: values of a polynomial at 0, two pairs of points, and infinity,
# over the products of their distances; Lavin & Gray 2016, arXiv:1509.09308, section 5.2 and wincnn.
_A, _B = 0.625, 1.5
_SCALE_A, _SCALE_B = 2 * _A**2 * (_A**2 - _B**2), 2 * _B**2 * (_B**2 - _A**2)
WINOGRAD = (
    (1 / (_A * _B) ** 2, 0, 0),
    (1 / _SCALE_A, _A / _SCALE_A, _A**2 / _SCALE_A),
    (1 / _SCALE_A, -_A / _SCALE_A, _A**2 / _SCALE_A),
    (1 / _SCALE_B, _B / _SCALE_B, _B**2 / _SCALE_B),
    (1 / _SCALE_B, -_B / _SCALE_B, _B**2 / _SCALE_B),
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
    fits = all(width % PANEL == 0 and width <= PANEL * MAX_PANELS for width in architecture.widths)
    return fits and architecture.kernel <= MAX_KERNEL


class NativeLibrary:
    """The functions of the compiled code.

    Args:
        path: of the shared library.
        dtype: that it was compiled for.

    Raises:
        OSError: the file is no library, or this machine cannot load it.
    """

    def __init__(self, path: Path, dtype: torch.dtype) -> None:
        self.dtype = dtype
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
        """Return memory of ``size`` bytes that no other thread uses."""
        try:
            memory = self._memory.pop()
        except IndexError:
            return torch.empty(size, dtype=torch.uint8)
        return memory if memory.numel() >= size else torch.empty(size, dtype=torch.uint8)

    def _pack(self, style: tuple[Tensor, ...]) -> list[Tensor]:
        last = self._packed
        if last is None or any(a is not b for a, b in zip(last[0], style, strict=True)):
            self._packed = last = style, pack(style, self._network.architecture.blocks, self._library.dtype)
        return last[1]


def pack(tensors: Sequence[Tensor], blocks: int, dtype: torch.dtype) -> list[Tensor]:
    """Return the tensors of a style as the code reads them: the weights of all layers, scale, shift and bias.

    Args:
        tensors: of `models.network.Style`, in float32.
        blocks: number of residual blocks.
        dtype: that the code was compiled for; of the weights.
    """
    *convolutions, scale, shift, weight, bias = tensors
    if dtype == torch.bfloat16:
        convolutions[0] = convolutions[0] / WHITE
    down, residual, up = convolutions[:3], convolutions[3 : 3 + 2 * blocks], convolutions[3 + 2 * blocks :]
    weights = [
        *(_panels(kernel.permute(2, 3, 1, 0).flatten(1, 2), dtype).permute(2, 0, 1, 3, 4) for kernel in down),
        *(_panels(_points(kernel, WINOGRAD), dtype).permute(0, 2, 1, 3, 4) for kernel in residual),
        *(_panels(_points(kernel, UPSAMPLING), dtype).permute(0, 2, 1, 3, 4) for kernel in up),
        _groups(weight.permute(2, 1, 3, 0), 1, dtype),
    ]
    return [*(layer.to(dtype).contiguous() for layer in weights), *(v.contiguous() for v in (scale, shift, bias))]


def _panels(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Split ``(runs, inputs, outputs)`` into ``(runs, groups of inputs, panels, PANEL, numbers of a group)``."""
    groups = _groups(weight, 1, dtype)
    return groups.reshape(*groups.shape[:2], -1, PANEL, groups.shape[-1])


def _groups(weight: Tensor, dim: int, dtype: torch.dtype) -> Tensor:
    """Move the numbers that one instruction multiplies and adds, two in bfloat16, from ``dim`` to the end."""
    size = 2 if dtype == torch.bfloat16 else 1
    missing = -weight.shape[dim] % size
    padded = torch.cat((weight, weight.narrow(dim, 0, missing) * 0), dim=dim)
    return padded.reshape(*padded.shape[:dim], -1, size, *padded.shape[dim + 1 :]).movedim(dim + 1, -1)


def _points(kernel: Tensor, transform: Sequence[Sequence[float]]) -> Tensor:
    """Transform ``(O, I, 3, 3)`` into ``(points, I, O)``."""
    matrix = torch.tensor(transform, dtype=torch.float64)
    return torch.einsum("pa,oiab,qb->pqio", matrix, kernel.double(), matrix).float().flatten(0, 1)
