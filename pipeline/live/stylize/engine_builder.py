"""Builds the engines of a live session, for any size of frames: eager at once, compiled ones through the cache."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.errors import DeviceError
from pipeline.live.stylize.modes import Mode
from pipeline.stylize.device import device_errors
from pipeline.stylize.engine.bounded_engine import BuildEngine, with_cache
from pipeline.stylize.engine.compiler import Compiler
from pipeline.stylize.engine.engine_choice import new_seconds
from pipeline.stylize.frame_stylizer import FrameStylizer

if TYPE_CHECKING:
    import torch

    from models.engines.engine import Engine, EngineName, EngineSpec


def fast_engines(device: "torch.device", wanted: str) -> "list[EngineName]":
    """Return the engines that are faster than eager, the fastest first; only ``wanted``, unless that is ``auto``.

    Raises:
        DeviceError: the engine ``wanted`` is not available.
    """
    from models.engines.capabilities import available_engines

    available = available_engines(device)
    if wanted not in ("auto", *available):
        raise DeviceError(f"the engine {wanted} is not available on {device}; --engine auto uses what is")
    return [name for name in available if name != "eager" and wanted in ("auto", name)]


class EngineBuilder:
    """Builds engines.

    Compiling runs in another process, because tracing holds Python's lock for seconds and breaks a network that runs
    meanwhile; see `models.engines.aot`. This process then loads the result from the cache.

    Args:
        core: runs the engines.
        build: builds an engine in this process; `models.engines.build.build_engine` by default.
        compile_command: see `pipeline.stylize.engine.compiler.Compiler`.
    """

    def __init__(
        self,
        core: FrameStylizer,
        build: BuildEngine | None = None,
        compile_command: Sequence[str] | None = None,
    ) -> None:
        from models.engines.build import build_engine

        self._core, self._build = core, build or build_engine
        # One for each engine: another one may get ready while compiling takes its time.
        self._compilers = {name: Compiler(compile_command) for name in ("compile", "openvino")}

    def is_stored(self, mode: Mode) -> bool:
        """Return whether the engine of ``mode`` only has to be loaded from the cache."""
        from models.engines.compile import compiled_graph
        from models.engines.openvino import is_converted

        try:
            spec = self._spec(mode)
            return is_converted(spec) if mode.engine == "openvino" else compiled_graph(spec).is_compiled
        except (DeviceError, ImportError):  # `prepare` reports it
            return False

    def prepare_seconds(self, mode: Mode) -> float:
        """Return an estimate of the seconds that `prepare` takes; 0 if the engine only has to be loaded."""
        return 0.0 if self.is_stored(mode) else new_seconds(mode.engine, self._spec(mode))

    def is_for_all_modes(self, mode: Mode) -> bool:
        """Return whether the engine of ``mode``, once it is prepared, only has to be loaded in all other modes."""
        from models.engines.native import supports

        return mode.engine == "compile" and supports(self._spec(mode))

    def build(self, mode: Mode) -> "Engine":
        """Build the engine of a mode in this process.

        Raises:
            OutOfMemoryError: the memory is too small.
            DeviceError: the engine cannot be built.
        """
        with device_errors(self._core.device):
            return self._build(mode.engine, self._spec(mode))

    def prepare(self, mode: Mode) -> "Engine":
        """Build an engine that has to be compiled first, and run it once; takes up to a minute, in any thread.

        Raises:
            DeviceError: the other process failed, there is no private cache folder, or the builder is closed.
            RuntimeError: the engine cannot be loaded, or fails.
        """
        import torch

        from models.engines.canvas import on_canvas

        spec = self._spec(mode)
        torch.set_num_threads(spec.threads)
        if mode.engine == "compile":
            engine = on_canvas(self._load_or_compile(spec), spec)
        else:
            if not self.is_stored(mode):
                self._compilers[mode.engine].compile(mode.engine, spec)
            engine = self.build(mode)
        self._core.warm_up(engine, spec)
        return engine

    def close(self) -> None:
        """End the other processes; `prepare` fails from now on."""
        for compiler in self._compilers.values():
            compiler.close()

    def _spec(self, mode: Mode) -> "EngineSpec":
        with device_errors(self._core.device):
            threads = max(self._core.cores // mode.workers, 1)
            spec = replace(self._core.spec(*mode.size), workers=mode.workers, threads=threads)
            return with_cache(mode.engine, spec)

    def _load_or_compile(self, spec: "EngineSpec") -> "Engine":
        from models.engines.compile import compiled_graph

        graph = compiled_graph(spec)
        graph.preload()
        if graph.is_compiled:
            try:
                return graph.load()
            except RuntimeError:
                graph.delete()
        self._compilers["compile"].compile("compile", spec)
        return graph.load()
