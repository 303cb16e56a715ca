"""The network: its time for each size, precision and engine, and its frames against those of the CPU."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from benchmarks.command import verdict
from benchmarks.gpu.rows import Settings, width_for
from benchmarks.gpu.scenes import scene
from benchmarks.gpu.timing import median_ms, seconds_of, torch_memory, wall_ms
from models.engines.build import build_engine
from models.engines.compile import OPTIONS, traced_graph
from models.engines.engine import DTYPES, Engine, EngineSpec, Precision
from models.engines.gpu.overlap import repeatable_kernels
from models.engines.gpu.replay import CudaRecorder, Recorder, Replayed
from models.frame_graph import zero_statistics
from models.network import StyleNetwork
from models.registry import LoadedStyle, load
from pipeline.system.folders import cache_folder

# Mean and largest difference from the CPU in fp32, in levels from 0 to 255; in other precisions, so many times what the
# CPU itself differs by in them.
FP32_BOUNDS, FACTOR = (0.1, 2.0), 2.0
AUTOTUNE = {"mode": "max-autotune-no-cudagraphs"}


def network(settings: Settings, *, height: int, precision: str, engine: str) -> str:
    """Return the time of a frame on the device, and from main memory to main memory."""
    device, style = torch.device(settings.device), load(settings.style)
    spec = spec_of(style, height, precision, device)
    pixels = torch.from_numpy(scene(height, 0))
    with torch_memory(device) as memory:
        graph = graph_of(spec, engine, settings)
        alone = _on_device(graph, pixels.to(device), style, spec)
        first = seconds_of(alone, device)
        if isinstance(graph, Replayed) and not graph.is_recorded:
            raise RuntimeError("the device does not record it; --log has the reason")
        milliseconds = median_ms(alone, device, count=settings.count)
        whole, others = spec.torch_engine(graph), controls(spec.network, device)
        copying = wall_ms(lambda: whole(pixels, style.style, *others), device, count=settings.count)
        return (
            f"{milliseconds:.2f} ms, {1000 / milliseconds:.0f} fps, with copies {copying:.2f} ms, "
            f"first frame {first:.1f} s{memory()}"
        )


def parity(settings: Settings, *, precision: str, engine: str) -> str:
    """Return how far a frame is from that of the CPU in fp32, and whether it is the same each time."""
    device, style = torch.device(settings.device), load(settings.style)
    exact, rough = (_cpu_frame(style, settings.parity_height, each) for each in ("fp32", precision))
    spec = spec_of(style, settings.parity_height, precision, device)
    run = spec.torch_engine(graph_of(spec, engine, settings))
    found, again = (_frame(run, style, spec) for _ in range(2))
    equal = "the same bits again" if torch.equal(found, again) else "OTHER BITS at the second time"
    return f"{compared(found, exact, rough)}; {equal}"


def compared(found: Tensor, exact: Tensor, rough: Tensor) -> str:
    """Return the verdict on what ``found`` differs from ``exact`` by.

    Args:
        found: frames of the device.
        exact: those of the CPU in fp32.
        rough: those of the CPU in the precision of ``found``.
    """
    mean, most = _difference(found, exact)
    mean_bound, most_bound = map(max, FP32_BOUNDS, (FACTOR * each for each in _difference(rough, exact)))
    figure = f"{mean:.3f} levels on average, {most:.0f} at most"
    return verdict(mean <= mean_bound and most <= most_bound, figure, f"{mean_bound:.2f} and {most_bound:.0f}")


def _difference(one: Tensor, other: Tensor) -> tuple[float, float]:
    difference = (one.float() - other.float()).abs()
    return float(difference.mean()), float(difference.max())


def spec_of(style: LoadedStyle, height: int, precision: str, device: torch.device) -> EngineSpec:
    """Return the spec of an engine for frames of this height, at 16:9."""
    size = {"height": height, "width": width_for(height)}
    precise = cast(Precision, precision)
    return EngineSpec(network=style.network, **size, device=device, precision=precise, cache=cache_folder())


def graph_of(spec: EngineSpec, engine: str, settings: Settings) -> Callable[..., tuple[Tensor, Tensor]]:
    """Return what runs a frame on the device.

    Args:
        spec: the network, and the frames.
        engine: ``eager``; ``compile`` as flowbrush does it, which repeats exactly; ``autotune``, which chooses kernels
            by a stopwatch; ``graph`` and ``compile-graph``: the first two, recorded as a CUDA graph.
        settings: with the backend of torch.compile.
    """
    if engine.endswith("graph"):
        inner = graph_of(spec, "compile" if engine == "compile-graph" else "eager", settings)
        return Replayed(inner, lambda: _recorder(spec.device))
    if engine == "eager":
        return spec.frame_graph().to(spec.device)
    chosen: dict[str, Any] = {"options": OPTIONS} if engine == "compile" else AUTOTUNE
    return traced_graph(spec, **(chosen if settings.backend == "inductor" else {"backend": settings.backend}))


def controls(network: StyleNetwork, device: torch.device) -> tuple[Tensor, ...]:
    """Return what an engine is called with after pixels and style, for a first frame."""
    return zero_statistics(network, device), *(torch.tensor(value, device=device) for value in (0.0, 1.0, 0.0))


def _recorder(device: torch.device) -> Recorder:
    if device.type == "cuda":
        return CudaRecorder(device)
    from tests.support.recorders import Repeating  # there is nothing to record on a CPU

    return Repeating()


def _on_device(graph: Callable[..., Any], pixels: Tensor, style: LoadedStyle, spec: EngineSpec) -> Callable[[], object]:
    """Return a call of the network alone: nothing is copied to or from main memory."""
    tensors, others = style.style.to(spec.device, DTYPES[spec.precision]).tensors(), controls(spec.network, spec.device)

    def call() -> object:
        with torch.inference_mode(), repeatable_kernels():
            return graph(pixels, tensors, *others)

    return call


def _cpu_frame(style: LoadedStyle, height: int, precision: str) -> Tensor:
    spec = spec_of(style, height, precision, torch.device("cpu"))
    return _frame(build_engine("eager", spec), style, spec)


def _frame(run: Engine, style: LoadedStyle, spec: EngineSpec) -> Tensor:
    pixels = torch.from_numpy(scene(spec.height, 1))
    return run(pixels, style.style, *controls(style.network, spec.device))[0]
