"""The style network on a CPU: C++ in `models.native`, compiled once for frames of all sizes in each precision.

torch.compile leaves the convolutions to a library that computes each as it is defined. Here the residual blocks need a
quarter of the multiplications (Winograd), upsampling a fourth, and no layer stores its normalized input. See
docs/decisions/cpu.md.
"""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

import models.native
from models.engines.cache import cache_key, delete, is_intact, keep_file, origin, store
from models.engines.capabilities import compiler, compiler_version, processor, require_compiler
from models.engines.engine import DTYPES, Engine, EngineError, EngineSpec, StyleConverter
from models.engines.native_library import NativeLibrary, NativeNetwork, is_fitting
from models.frame_graph import FrameGraph
from models.network import Style

LIBRARY = "library.bin"
_FLAGS = ("-std=c++2a", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-shared", "-fPIC")
_OPENMP = "-fopenmp"
_BF16 = "-DFLOWBRUSH_BF16"
_BF16_INSTRUCTIONS = "__AVX512BF16__"
"""What compilers define that can use these instructions, on a processor that has them."""


def supports(spec: EngineSpec) -> bool:
    """Return whether ``spec`` can run here: whole frames, widths that fit, CPU and compiler have the precision."""
    is_plain = spec.device.type == "cpu" and spec.tiling is None and not spec.has_regions
    found = compiler()
    if not is_plain or found is None or Path(found).stem.lower() == "cl" or not is_fitting(spec.network.architecture):
        return False
    return spec.precision == "fp32" or (spec.precision == "bf16" and _has_bf16(found))


def _has_bf16(compiler: str) -> bool:
    """Return whether processor and compiler have AVX512-BF16; processors with AMX are left to torch's compiler."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or torch.cpu._is_amx_tile_supported():
        return False
    return torch.cpu._is_avx512_bf16_supported() and _compiles_bf16(compiler, flags())


@lru_cache(maxsize=2)
def _compiles_bf16(compiler: str, flags: Sequence[str]) -> bool:
    command = [compiler, *flags, "-dM", "-E", "-x", "c++", "-"]
    done = subprocess.run(command, input="", capture_output=True, text=True, check=False)  # noqa: S603 - see `compiler`
    return _BF16_INSTRUCTIONS in done.stdout


@dataclass(frozen=True)
class NativeGraph:
    """The compiled network of an engine, in the cache; the same for all networks and sizes of a precision.

    Attributes:
        spec: what to run; see `supports`.
    """

    spec: EngineSpec

    @property
    def folder(self) -> Path:
        """Folder of the compiled code; its name depends on the code, the compiler and the processor."""
        sources = [path.read_bytes() for path in models.native.SOURCES]
        facts = f"{compiler()} {self._flags()} {processor(self.spec.device)}"
        return self.spec.cache_folder / "native" / cache_key(facts, *sources)

    @property
    def is_compiled(self) -> bool:
        """Whether the compiled code is in the cache."""
        return (self.folder / LIBRARY).exists()

    @property
    def code(self) -> str:
        """Hash of the code that `load` loads, and what made it; empty if that is unknown. The same each time."""
        digest, maker = origin(self.folder / LIBRARY)
        return digest and f"C++ {digest[:12]} of {maker or 'an unknown compiler'}"

    def _flags(self) -> Sequence[str]:
        return (*flags(), _BF16) if self.spec.precision == "bf16" else flags()

    def compile(self) -> None:
        """Compile into the cache; takes some seconds.

        Raises:
            EngineError: there is no compiler, or it failed.
            OSError: the cache cannot be written.
        """
        require_compiler(self.spec.device)
        store(self.folder, LIBRARY, lambda folder: keep_file(folder / LIBRARY, self._compile, compiler_version()))

    def load(self) -> Engine:
        """Load the engine from the cache, in a millisecond.

        Raises:
            EngineError: it is not compiled, or damaged.
        """
        path = self.folder / LIBRARY
        try:
            if not is_intact(path):  # code from half a file would end this process
                raise EngineError("it is damaged")
            library = NativeLibrary(path, DTYPES[self.spec.precision])
        except (OSError, EngineError) as error:
            raise EngineError(f"the compiled network cannot be loaded ({error})") from error
        return engine(self.spec, library)

    def _compile(self, folder: Path) -> Path:
        """Compile into ``folder``, with OpenMP if the compiler has it; return the path of the library."""
        path = folder / "native.so"
        for more in ((_OPENMP,), ()):
            command = [str(compiler()), *self._flags(), *more, str(models.native.SOURCES[0]), "-o", str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own sources
            if not done.returncode:
                return path
        reason = next((line for line in done.stderr.splitlines() if "error" in line), f"exit code {done.returncode}")
        raise EngineError(f"{compiler()} failed ({reason.strip()[:200]}); use --engine eager")

    def preload(self) -> None:
        """Do nothing: `load` imports nothing."""

    def delete(self) -> None:
        """Delete the compiled code."""
        delete(self.folder)


def engine(spec: EngineSpec, library: NativeLibrary) -> Engine:
    """Return the engine that runs ``library``: whole frames at once, or the network alone if its canvas differs."""
    network = NativeNetwork(library, spec.network, spec.threads)
    if spec.canvas is not None:
        graph = FrameGraph(spec.network, spec.canvas).eval()
        graph.network = network  # type: ignore[assignment]  # called as a StyleNetwork
        return replace(spec, precision="fp32").torch_engine(graph)  # what the network gets and returns
    converted = StyleConverter(spec.device, torch.float32)
    dtype = torch.uint16 if spec.is_16_bit else torch.uint8

    def stylize(pixels: Tensor, style: Style, *controls: Tensor) -> tuple[Tensor, Tensor]:
        if pixels.shape != (spec.height, spec.width, 3) or pixels.dtype != dtype:
            raise ValueError(f"the engine takes {dtype} of {spec.height}x{spec.width}, not {tuple(pixels.shape)}")
        return network.stylize(pixels, converted(style), *controls)

    return stylize


def flags() -> Sequence[str]:
    """Return the flags of the compiler: instructions of this processor, up to those that torch may use."""
    # torch's limit (ATEN_CPU_CAPABILITY) is for tests on a newer processor than the one in question.
    is_limited = torch.backends.cpu.get_cpu_capability() == "AVX2"
    return (*_FLAGS, "-march=native", *(("-mno-avx512f",) if is_limited else ()))
