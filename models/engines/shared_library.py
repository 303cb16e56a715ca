"""Calls a graph that is compiled into a shared library, as torch's ahead-of-time compiler (AOTInductor) makes them.

Loading one takes a millisecond and none of torch's compiler, whose import alone takes a second and a half. torch's own
loader holds Python's global lock while the graph runs, so that no other frame is stylized meanwhile; ctypes does not.
The functions of the library are those of torch's ``aoti_runtime/interface.h``, which promises to keep them.
"""

import ctypes
import weakref
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

_RUN = (
    ctypes.c_void_p,
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.c_size_t,
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.c_size_t,
    ctypes.c_void_p,
    ctypes.c_void_p,
)


class GraphLibrary:
    """A compiled graph on the CPU; may be called from several threads at once.

    Args:
        path: of the shared library.
        example: arguments with the shapes, types and memory layouts that it was compiled for.
        outputs: number of tensors that it returns.
        workers: how many threads call at once; further ones wait.

    Raises:
        OSError: the file is no library, or this machine cannot load it.
        RuntimeError: the library does not start.
    """

    def __init__(self, path: Path, example: Sequence[Tensor], *, outputs: int, workers: int) -> None:
        library = ctypes.CDLL(str(path))
        self._layouts = [(each.dtype, each.shape, each.stride()) for each in example]
        self._outputs = outputs
        self._container = ctypes.c_void_p()
        create = library.AOTInductorModelContainerCreateWithDevice
        if create(ctypes.byref(self._container), ctypes.c_size_t(workers), b"cpu", None):
            raise RuntimeError("the compiled graph does not start")
        weakref.finalize(self, library.AOTInductorModelContainerDelete, self._container)
        self._run = library.AOTInductorModelContainerRun
        self._run.argtypes = _RUN

    def __call__(self, *inputs: Tensor) -> list[Tensor]:
        """Run the graph.

        Raises:
            ValueError: an input has another shape or type than in the example.
            MemoryError: the graph failed. Its arguments being what it was compiled for, that is for want of memory.
        """
        fitting = [_with_layout(tensor, *layout) for tensor, layout in zip(inputs, self._layouts, strict=True)]
        handles = torch._C._aoti.unsafe_alloc_void_ptrs_from_tensors(fitting)
        arguments = (ctypes.c_void_p * len(handles))(*(_pointer(handle, None) for handle in handles))
        results = (ctypes.c_void_p * self._outputs)()
        if self._run(self._container, arguments, len(handles), results, self._outputs, None, None):
            raise MemoryError("the compiled graph failed")
        stolen = [_capsule(result, None, None) for result in results]
        return list(torch._C._aoti.alloc_tensors_by_stealing_from_void_ptrs(stolen))


def _with_layout(tensor: Tensor, dtype: torch.dtype, shape: torch.Size, stride: tuple[int, ...]) -> Tensor:
    """Return ``tensor`` in the memory layout that the graph reads, which does not look at the strides."""
    if tensor.dtype != dtype or tensor.shape != shape:
        raise ValueError(f"the graph takes {dtype} of {tuple(shape)}, not {tensor.dtype} of {tuple(tensor.shape)}")
    if tensor.stride() == stride:
        return tensor
    return torch.empty_strided(shape, stride, dtype=dtype).copy_(tensor)


_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
_capsule = ctypes.pythonapi.PyCapsule_New
_capsule.restype = ctypes.py_object
_capsule.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
