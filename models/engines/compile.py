"""The compile engine: torch.compile, in this process; the first call traces and compiles."""

import types
from collections.abc import Callable
from typing import Any

import torch

from models.engines.cache import use_compiler_cache
from models.engines.capabilities import require_compiler
from models.engines.engine import Engine, EngineSpec
from models.frame_graph import FrameGraph


def build(spec: EngineSpec) -> Engine:
    """Build the engine.

    Raises:
        EngineError: there is no compiler, or no folder for compiled code.
    """
    require_compiler(spec.device)
    use_compiler_cache(spec.cache_folder)
    # With cpp_wrapper the whole graph is one C++ call, which releases Python's global lock while it runs.
    options: dict[str, str | int | bool | Callable[..., Any]] = {"cpp_wrapper": spec.device.type == "cpu"}
    graph = spec.frame_graph()
    _copy_forward_code(graph)
    return spec.torch_engine(torch.compile(graph, dynamic=False, options=options))


def _copy_forward_code(graph: FrameGraph) -> None:
    """Give ``graph`` a code object of its own for `forward`.

    Dynamo counts compiled variants by code object, and runs the ninth frame size uncompiled, which is slow.
    """
    shared = FrameGraph.forward
    own = types.FunctionType(shared.__code__.replace(), shared.__globals__, shared.__name__, shared.__defaults__)
    graph.forward = types.MethodType(own, graph)  # type: ignore[method-assign]
