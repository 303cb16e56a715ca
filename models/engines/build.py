"""Builds an engine by name, and says what its results depend on."""

from importlib.metadata import PackageNotFoundError, version

from models.engines import compile, eager, openvino
from models.engines.canvas import canvas_spec, on_canvas
from models.engines.capabilities import instructions
from models.engines.engine import Engine, EngineError, EngineName, EngineSpec

BUILDERS = {"eager": eager.build, "compile": compile.build, "openvino": openvino.build}


def build_engine(name: EngineName, spec: EngineSpec) -> Engine:
    """Build the engine called ``name`` from ``spec``.

    Raises:
        EngineError: the engine is not available on this machine, or does not support what ``spec`` asks for.
    """
    require_support(name, spec)
    return on_canvas(BUILDERS[name](canvas_spec(spec)), spec)


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


def code_of(name: EngineName, spec: EngineSpec) -> str:
    """Return what computes the numbers of an engine that is built; others may round otherwise.

    On a CPU kind, version and instructions of the code: torch's own kernels (eager) choose by the instructions, our C++
    is named by its hash, that of torch's compiler by the C++ compiler. On a GPU the version of Triton. The versions of
    torch and flowbrush, the names of processor and GPU, and the number of cores are left to the caller.

    Returns:
        One line; empty if nothing more is known.
    """
    if spec.device.type != "cpu":
        return _package("triton") if name == "compile" else ""
    if name == "eager":
        return instructions()
    code = _package("openvino") if name == "openvino" else compile.compiled_graph(spec).code
    return code and f"{code}, {instructions()}"


def _package(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return ""
