"""Builds an engine by name."""

from models.engines import compile, eager, openvino
from models.engines.engine import Engine, EngineError, EngineName, EngineSpec

BUILDERS = {"eager": eager.build, "compile": compile.build, "openvino": openvino.build}


def build_engine(name: EngineName, spec: EngineSpec) -> Engine:
    """Build the engine called ``name`` from ``spec``.

    Raises:
        EngineError: the engine is not available on this machine, or does not support what ``spec`` asks for.
    """
    require_support(name, spec)
    return BUILDERS[name](spec)


def require_support(name: EngineName, spec: EngineSpec) -> None:
    """Check that the engine called ``name`` can do what ``spec`` asks for.

    Raises:
        EngineError: it cannot.
    """
    if spec.tiling is not None and name != "eager":
        raise EngineError(f"the engine {name} stylizes whole frames only; strips need --engine eager")
    if spec.has_regions and name != "eager":
        raise EngineError(f"the engine {name} has no styles for regions; they need --engine eager")
    if spec.is_recorded and (spec.device.type != "cuda" or spec.tiling is not None or spec.has_regions):
        raise EngineError("CUDA graphs are for whole frames on an NVIDIA GPU, and not for styles of regions")
