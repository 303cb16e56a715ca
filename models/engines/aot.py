"""Graphs compiled ahead of time by another process, and loaded without tracing and without torch's compiler.

torch.compile traces in the process that stylizes: that holds Python's global lock for seconds, torch replaces
`nn.Module.__call__` in all threads while it traces, which breaks an eager network that runs meanwhile, and even a warm
start imports and runs the compiler for three seconds. Here a process exports and compiles the graph once; every other
one only loads a shared library.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from models.engines.cache import cache_key, delete, is_intact, keep_file, origin, store, use_compiler_cache
from models.engines.capabilities import compiler_version, processor, require_compiler
from models.engines.engine import DTYPES, Engine, EngineError, EngineSpec
from models.engines.shared_library import GraphLibrary
from models.frame_graph import zero_statistics

GRAPH = "graph.bin"
# Pixels and statistics.
_OUTPUTS = 2


@dataclass(frozen=True)
class AotGraph:
    """The compiled graph of an engine, in the cache.

    Attributes:
        spec: what to compile; whole frames only.
    """

    spec: EngineSpec

    @property
    def folder(self) -> Path:
        """Folder of the compiled code; its name depends on everything but the style."""
        spec = self.spec
        facts = (
            f"{spec.height}x{spec.width} {spec.canvas} {spec.device} {spec.precision} {spec.threads} {spec.is_16_bit} "
            f"{spec.network.architecture} {torch.__version__} {processor(spec.device)}"
        )
        return spec.cache_folder / "aot" / cache_key(facts)

    @property
    def is_compiled(self) -> bool:
        """Whether the compiled code is in the cache."""
        return (self.folder / GRAPH).exists()

    @property
    def code(self) -> str:
        """What made the code that `load` loads; empty if unknown. Its files differ each time, its results do not."""
        _, maker = origin(self.folder / GRAPH)
        return maker and f"torch's compiler with {maker}"

    def compile(self) -> None:
        """Compile into the cache; takes 15 to 30 s. Call it in a process that does not stylize.

        Raises:
            EngineError: there is no compiler.
            OSError: the cache cannot be written.
        """
        require_compiler(self.spec.device)
        use_compiler_cache(self.spec.cache_folder)
        torch.set_num_threads(self.spec.threads)
        with torch.no_grad():
            exported = torch.export.export(self.spec.frame_graph(), self._example(), strict=False)
            store(self.folder, GRAPH, lambda folder: self._compile(exported, folder / GRAPH))

    def load(self) -> Engine:
        """Load the engine from the cache: in a millisecond on a CPU, in a second or two on a GPU.

        Raises:
            EngineError: it is not compiled, damaged, or from another version of torch.
        """
        try:
            graph = self._load(self.folder / GRAPH)
        except Exception as error:  # torch raises anything for a damaged file
            size = f"{self.spec.width}x{self.spec.height}"
            raise EngineError(f"the compiled graph for {size} cannot be loaded ({error})") from error
        return self.spec.torch_engine(lambda pixels, style, *controls: graph(pixels, *style, *controls))

    def preload(self) -> None:
        """Import what `load` needs, for a second that mostly holds Python's global lock; best done early."""
        if self.spec.device.type != "cpu":
            use_compiler_cache(self.spec.cache_folder)
            importlib.import_module("torch._inductor.standalone_compile")

    def delete(self) -> None:
        """Delete the compiled code."""
        delete(self.folder)

    def _compile(self, exported: torch.export.ExportedProgram, path: Path) -> None:
        if self.spec.device.type == "cpu":
            keep_file(path, lambda folder: self._compile_library(exported, folder / "graph.so"), compiler_version())
            return
        from torch._inductor import standalone_compile

        pixels, style, *controls = self._example()
        inputs = [pixels, *style, *controls]
        compiled = standalone_compile(exported.graph_module, inputs, dynamic_shapes="from_example_inputs")
        compiled.save(path=str(path), format="binary")

    def _compile_library(self, exported: torch.export.ExportedProgram, path: Path) -> Path:
        """Write a shared library to ``path``, and other files beside it; return ``path``."""
        from torch._inductor import aot_compile

        aot_compile(exported.module(), self._example(), options={"aot_inductor.output_path": str(path)})
        return path

    def _load(self, path: Path) -> Callable[..., Any]:
        if self.spec.device.type == "cpu":
            if not is_intact(path):  # code from half a file would end this process
                raise EngineError("it is damaged")
            pixels, style, *controls = self._example()
            return GraphLibrary(path, [pixels, *style, *controls], outputs=_OUTPUTS, workers=self.spec.workers)
        self.preload()
        from torch._inductor.standalone_compile import CompiledArtifact

        artifact: Callable[..., Any] = CompiledArtifact.load(path=str(path), format="binary")
        return artifact

    def _example(self) -> tuple[Any, ...]:
        spec = self.spec
        dtype = torch.uint16 if spec.is_16_bit else torch.uint8
        pixels = torch.zeros(spec.height, spec.width, 3, dtype=dtype, device=spec.device)
        style = spec.network.initial_style().to(spec.device, DTYPES[spec.precision])
        scalars = (torch.zeros((), device=spec.device) for _ in range(3))
        return (pixels, style.tensors(), zero_statistics(spec.network, spec.device), *scalars)
