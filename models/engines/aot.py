"""Graphs compiled ahead of time by another process, and loaded without tracing.

torch.compile traces in the process that stylizes: that holds Python's global lock for seconds, and torch replaces
`nn.Module.__call__` in all threads while it traces, which breaks an eager network that runs meanwhile. Here another
process exports and compiles the graph; the stylizing process only loads a shared library.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from models.engines.cache import cache_key, delete, store, use_compiler_cache
from models.engines.capabilities import require_compiler
from models.engines.engine import DTYPES, Engine, EngineError, EngineSpec
from models.frame_graph import zero_statistics

GRAPH = "graph.bin"


@dataclass(frozen=True)
class AotGraph:
    """The compiled graph of an engine, in the cache.

    Attributes:
        spec: what to compile; whole frames of uint8 only.
    """

    spec: EngineSpec

    @property
    def folder(self) -> Path:
        """Folder of the compiled code; its name depends on everything but the style."""
        spec = self.spec
        facts = (
            f"{spec.height}x{spec.width} {spec.canvas} {spec.device} {spec.precision} {spec.threads} "
            f"{spec.network.architecture} {torch.__version__} {_processor(spec.device)}"
        )
        return spec.cache_folder / "aot" / cache_key(facts)

    @property
    def is_compiled(self) -> bool:
        """Whether the compiled code is in the cache."""
        return (self.folder / GRAPH).exists()

    def compile(self) -> None:
        """Compile into the cache; takes 15 to 30 s the first time. Call it in a process that does not stylize.

        Raises:
            EngineError: there is no compiler.
            OSError: the cache cannot be written.
        """
        from torch._inductor import standalone_compile

        require_compiler(self.spec.device)
        use_compiler_cache(self.spec.cache_folder)
        torch.set_num_threads(self.spec.threads)
        pixels, style, *controls = example = self._example()
        with torch.no_grad():
            exported = torch.export.export(self.spec.frame_graph(), example, strict=False)
            # With cpp_wrapper the whole graph is one C++ call, which releases Python's global lock while it runs.
            options = {"config_patches": {"cpp_wrapper": self.spec.device.type == "cpu"}}
            compiled = standalone_compile(
                exported.graph_module,
                [pixels, *style, *controls],
                dynamic_shapes="from_example_inputs",
                options=options,
            )
        store(self.folder, GRAPH, lambda folder: compiled.save(path=str(folder / GRAPH), format="binary"))

    def preload(self) -> None:
        """Import what `load` needs, for a second that mostly holds Python's global lock; best done early."""
        use_compiler_cache(self.spec.cache_folder)
        importlib.import_module("torch._inductor.standalone_compile")

    def load(self) -> Engine:
        """Load the engine from the cache; takes a second, and holds Python's global lock for part of that time.

        Raises:
            EngineError: it is not compiled, damaged, or from another version of torch.
        """
        from torch._inductor.standalone_compile import CompiledArtifact

        use_compiler_cache(self.spec.cache_folder)
        try:
            graph: Callable[..., Any] = CompiledArtifact.load(path=str(self.folder / GRAPH), format="binary")
        except Exception as error:  # torch raises anything for a damaged file
            size = f"{self.spec.width}x{self.spec.height}"
            raise EngineError(f"the compiled graph for {size} cannot be loaded ({error})") from error
        return self.spec.torch_engine(lambda pixels, style, *controls: graph(pixels, *style, *controls))

    def delete(self) -> None:
        """Delete the compiled code."""
        delete(self.folder)

    def _example(self) -> tuple[Any, ...]:
        spec = self.spec
        pixels = torch.zeros(spec.height, spec.width, 3, dtype=torch.uint8, device=spec.device)
        style = spec.network.initial_style().to(spec.device, DTYPES[spec.precision])
        scalars = (torch.zeros((), device=spec.device) for _ in range(3))
        return (pixels, style.tensors(), zero_statistics(spec.network, spec.device), *scalars)


def _processor(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
