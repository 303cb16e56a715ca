"""The OpenVINO engine: Intel's runtime on a CPU, without a compiler."""

import importlib
import importlib.metadata
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.engines.cache import cache_key, store, use_torch_cache
from models.engines.canvas import canvas_spec
from models.engines.engine import Engine, EngineError, EngineSpec, StyleConverter
from models.frame_graph import zero_statistics
from models.network import Style

_TELEMETRY = "openvino_telemetry"
GRAPH = "graph.xml"
PRECISIONS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}


def build(spec: EngineSpec) -> Engine:
    """Build the engine.

    Raises:
        EngineError: OpenVINO is not installed, the device is not a CPU, or there is no folder for compiled code.
    """
    if spec.device.type != "cpu":
        raise EngineError(f"the engine openvino runs on the CPU, not on {spec.device}; use --engine compile")
    openvino = import_openvino()
    cache = spec.cache_folder / "openvino"
    settings = {
        "CACHE_DIR": str(cache),
        "INFERENCE_PRECISION_HINT": PRECISIONS[spec.precision],
        "NUM_STREAMS": spec.workers,
        "INFERENCE_NUM_THREADS": spec.workers * torch.get_num_threads(),
        # Decoder and encoder use the same cores: a pinned thread would wait for them instead of moving.
        "ENABLE_CPU_PINNING": False,
    }
    graph = _converted(spec)
    compiled = openvino.Core().compile_model(graph, "CPU", settings)
    dtype, of_thread = _dtype(spec), threading.local()
    converted = StyleConverter(spec.device, torch.float32)

    def engine(pixels: Tensor, style: Style, *controls: Tensor) -> tuple[Tensor, Tensor]:
        if not hasattr(of_thread, "request"):
            of_thread.request = compiled.create_infer_request()
        request = of_thread.request
        inputs = (pixels.to(dtype), *converted(style), *controls)
        request.infer([tensor.contiguous().numpy() for tensor in inputs], share_inputs=True)
        stylized, used = (torch.from_numpy(request.get_output_tensor(index).data.copy()) for index in (0, 1))
        return stylized.to(pixels.dtype), used

    return engine


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry, which would connect to a server at the import and at each conversion.

    Raises:
        EngineError: it is not installed.
    """
    known = sys.modules.get(_TELEMETRY)
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # its import fails: OpenVINO then has a stand-in
    try:
        return importlib.import_module("openvino")
    except ImportError as error:
        raise EngineError("the engine openvino is not installed; pip install 'flowbrush[cpu]'") from error
    finally:
        sys.modules.pop(_TELEMETRY)
        if known is not None:
            sys.modules[_TELEMETRY] = known


def is_converted(spec: EngineSpec) -> bool:
    """Return whether the cache of ``spec`` has the graph in OpenVINO's format; converting it takes 3 s."""
    return (_folder(canvas_spec(spec)) / GRAPH).exists()


def _folder(spec: EngineSpec) -> Path:
    version = importlib.metadata.version("openvino")
    facts = f"{spec.height}x{spec.width} {_dtype(spec)} {spec.canvas} {spec.network.architecture} {version}"
    return spec.cache_folder / "openvino" / cache_key(facts)


def _dtype(spec: EngineSpec) -> torch.dtype:
    return torch.int32 if spec.is_16_bit else torch.uint8  # the conversion does not support uint16


def _converted(spec: EngineSpec) -> Path:
    """Return the graph in OpenVINO's format; converted at its first use, later only read."""
    target = _folder(spec)
    if (target / GRAPH).exists():
        return target / GRAPH
    openvino, network = import_openvino(), spec.network
    pixels = torch.zeros(spec.height, spec.width, 3, dtype=_dtype(spec))
    style = network.initial_style().tensors()
    controls = (zero_statistics(network), *(torch.zeros(()) for _ in range(3)))
    use_torch_cache(spec.cache_folder)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # of torch's own code, in torch 2.11
        model = openvino.convert_model(
            torch.export.export(spec.frame_graph(), (pixels, style, *controls), strict=False)
        )
    # The conversion drops the sizes; a convolution with a kernel as input does not run without them.
    model.reshape({index: list(tensor.shape) for index, tensor in enumerate((pixels, *style, *controls))})
    store(target, GRAPH, lambda path: openvino.save_model(model, path / GRAPH, compress_to_fp16=False))
    return target / GRAPH
