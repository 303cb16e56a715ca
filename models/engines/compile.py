"""The compile engine: on a CPU code that is compiled ahead of time, on a GPU torch.compile in this process."""

import types
from collections.abc import Callable
from typing import Any

import torch

from models.engines.aot import AotGraph
from models.engines.cache import use_compiler_cache
from models.engines.canvas import canvas_spec
from models.engines.capabilities import require_compiler
from models.engines.engine import Engine, EngineError, EngineSpec
from models.engines.native import NativeGraph, supports
from models.frame_graph import FrameGraph

# No kernel is chosen by a stopwatch: another choice rounds otherwise, and a resumed render would show it.
OPTIONS: dict[str, Any] = {"deterministic": True}


def build(spec: EngineSpec) -> Engine:
    """Build the engine; on a CPU that compiles in this process what is not in the cache, see `compiled_graph`.

    Raises:
        EngineError: there is no compiler, or no folder for compiled code.
    """
    require_compiler(spec.device)
    if spec.device.type == "cpu":
        return load_or_compile(compiled_graph(spec))
    return trace(spec)


def compiled_graph(spec: EngineSpec) -> AotGraph | NativeGraph:
    """Return what runs on a CPU: `NativeGraph` if it can, after some seconds; else `AotGraph`, after 15 to 30 s.

    It is that of `canvas_spec`: what it loads takes frames of the size of the canvas, until `on_canvas` is called.
    """
    inner = canvas_spec(spec)
    return NativeGraph(inner) if supports(inner) else AotGraph(inner)


def load_or_compile(graph: AotGraph | NativeGraph) -> Engine:
    """Load the engine from the cache, after compiling it in this process if it is not there or damaged.

    Raises:
        EngineError: there is no compiler, or it failed.
        OSError: the cache cannot be written.
    """
    if graph.is_compiled:
        try:
            return graph.load()
        except EngineError:
            graph.delete()
    graph.compile()
    return graph.load()


def trace(spec: EngineSpec) -> Engine:
    """Return an engine that torch.compile traces and compiles in this process, at its first call.

    Raises:
        EngineError: there is no folder for compiled code.
    """
    return spec.torch_engine(traced_graph(spec, options=OPTIONS))


def traced_graph(spec: EngineSpec, **settings: Any) -> Callable[..., Any]:
    """Return the graph of ``spec`` for torch.compile, which traces it at its first call.

    Args:
        spec: what to compile.
        settings: of ``torch.compile``: options, mode or backend.

    Raises:
        EngineError: there is no folder for compiled code.
    """
    use_compiler_cache(spec.cache_folder)
    graph = spec.frame_graph()
    _copy_forward_code(graph)
    compiled: Callable[..., Any] = torch.compile(graph, dynamic=False, **settings)
    return compiled


def _copy_forward_code(graph: FrameGraph) -> None:
    """Give ``graph`` a code object of its own for `forward`.

    Dynamo counts compiled variants by code object, and runs the ninth frame size uncompiled, which is slow.
    """
    shared = FrameGraph.forward
    own = types.FunctionType(shared.__code__.replace(), shared.__globals__, shared.__name__, shared.__defaults__)
    graph.forward = types.MethodType(own, graph)  # type: ignore[method-assign]
