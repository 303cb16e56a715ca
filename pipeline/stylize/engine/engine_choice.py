"""Which engine finishes a clip first: a fast one that has to be compiled, or a slower one that starts at once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.stylize.engine.compiler import is_to_be_compiled

if TYPE_CHECKING:
    from models.engines.engine import EngineName, EngineSpec

# Seconds that a core works on a million pixels. Measured on one processor (docs/performance.md); on others, compiling
# and stylizing take longer or shorter by about the same factor, so that the choice stays right.
CORE_SECONDS = {
    "bf16": {"compile": 0.24, "openvino": 0.36, "eager": 0.37},
    "fp32": {"compile": 0.23, "openvino": 0.43, "eager": 0.47},
}
# The same for compile, by what compiles: 15.3 ms a frame of 640x360 on two cores in bf16 by our C++, 26.5 by torch.
COMPILED_SECONDS = {"native": {"bf16": 0.13, "fp32": 0.23}, "torch": {"bf16": 0.24, "fp32": 0.41}}
# Seconds until the first frame, beyond those of eager: from the cache, and without it, by what compiles.
CACHED_SECONDS = {"compile": 0.0, "openvino": 0.3, "eager": 0.0}
NEW_SECONDS = {
    "native": {"compile": 5.0, "openvino": 4.0, "eager": 0.0},
    "torch": {"compile": 25.0, "openvino": 4.0, "eager": 0.0},
}
# On a GPU, a guess: nothing is measured there.
GPU_SECONDS = {"compile": 0.002, "eager": 0.004}


def soonest_first(
    choices: "Sequence[tuple[EngineName, EngineSpec]]", frame_count: int | None, cores: int
) -> "list[tuple[EngineName, EngineSpec]]":
    """Return engines, the one first that is through with a clip first.

    Args:
        choices: engines with what they are built from and the folder of compiled code, the one first that is fastest
            once it runs.
        frame_count: of the clip; None if unknown, as that of a pipe: then the order stays.
        cores: that the network may use on a CPU.
    """
    if frame_count is None:
        return list(choices)
    return sorted(choices, key=lambda choice: total_seconds(choice[0], choice[1], frame_count, cores))


def total_seconds(name: "EngineName", spec: "EngineSpec", frame_count: int, cores: int) -> float:
    """Return an estimate of the seconds that starting an engine and stylizing ``frame_count`` frames take."""
    height, width = spec.canvas or (spec.height, spec.width)
    if spec.device.type == "cpu":
        seconds = core_seconds(name, spec) / cores
    else:
        seconds = GPU_SECONDS.get(name, GPU_SECONDS["eager"])
    start = new_seconds(name, spec) if _is_new(name, spec) else CACHED_SECONDS[name]
    return start + frame_count * height * width / 1e6 * seconds


def core_seconds(name: "EngineName", spec: "EngineSpec") -> float:
    """Return an estimate of the seconds that a core works on a million pixels."""
    precision = "bf16" if spec.precision == "bf16" else "fp32"
    return COMPILED_SECONDS[_maker(spec)][precision] if name == "compile" else CORE_SECONDS[precision][name]


def new_seconds(name: "EngineName", spec: "EngineSpec") -> float:
    """Return an estimate of the seconds until the first frame of an engine that is not in the cache."""
    return NEW_SECONDS[_maker(spec)][name]


def _maker(spec: "EngineSpec") -> str:
    """Return what compiles the engine compile, ``native`` or ``torch``."""
    from models.engines.native import supports

    return "native" if supports(spec) else "torch"


def _is_new(name: "EngineName", spec: "EngineSpec") -> bool:
    if name == "openvino":
        from models.engines.openvino import is_converted

        return spec.cache is None or not is_converted(spec)
    return is_to_be_compiled(name, spec) or (name == "compile" and spec.device.type != "cpu")
