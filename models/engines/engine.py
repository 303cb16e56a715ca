"""Ways to run the network: uint8 pictures in, uint8 paintings out, as fast as the machine allows.

eager      PyTorch as it is: always works
compile    torch.compile: needs a C++ compiler (CPU) or Triton (CUDA); fastest
openvino   Intel's runtime, on any x86 or Arm CPU: needs no compiler
"""

import contextlib
import copy
import functools
import hashlib
import importlib.util
import inspect
import os
import platform
import shutil
import sysconfig
import tempfile
import threading
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from models.engines.frame_graph import FrameGraph, no_statistics
from models.engines.fused_kernels import upsample_convolve
from models.network import Style, StyleNetwork
from models.tiled.tiled_graph import TiledFrameGraph
from models.tiled.tiling import Tiling

EngineName = Literal["eager", "compile", "openvino"]
Precision = Literal["fp32", "bf16", "fp16"]

DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

Engine = Callable[[Tensor, Style, Tensor, Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""``(pixels, style, past, keep, strength, colors, share) -> (pixels, statistics)``; see `FrameGraph.forward`."""


class EngineError(RuntimeError):
    """The device or the engine is not to be had on this machine."""


def available_engines(device: torch.device) -> list[EngineName]:
    """The engines that this machine can run on ``device``, the fastest first."""
    engines: list[EngineName] = ["eager"]
    if device.type == "cpu" and importlib.util.find_spec("openvino") is not None:
        engines.insert(0, "openvino")
    if can_compile(device):
        engines.insert(0, "compile")
    return engines


def can_compile(device: torch.device) -> bool:
    """Whether torch.compile finds what it needs: for the CPU a C++ compiler and Python's headers, for CUDA Triton."""
    if device.type == "cuda":
        return importlib.util.find_spec("triton") is not None
    return device.type == "cpu" and compiler() is not None and python_headers() is not None


@functools.cache
def compiler() -> str | None:
    """Path of the C++ compiler that torch.compile would use; None where there is none."""
    names = (os.environ.get("CXX"), "g++", "clang++", "c++", "cl")
    return next((found for name in names if name and (found := shutil.which(name))), None)


def python_headers() -> Path | None:
    """Path of ``Python.h``, which the code that torch.compile writes includes; None where it is not installed."""
    header = Path(sysconfig.get_path("include"), "Python.h")
    return header if header.exists() else None


def native_precision(device: torch.device) -> Precision:
    """The fastest precision of ``device`` that loses nothing visible."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp16"
    if device.type == "mps":
        return "fp16"
    return "bf16" if _multiplies_bf16() else "fp32"


def _multiplies_bf16() -> bool:
    """Whether the CPU has bf16 instructions; without them bf16 runs, but slower than float32."""
    if platform.machine().lower() in ("x86_64", "amd64"):
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def build_engine(
    name: EngineName,
    network: StyleNetwork,
    *,
    height: int,
    width: int,
    device: torch.device,
    precision: Precision,
    cache: Path,
    workers: int = 1,
    end: StyleNetwork | None = None,
    stroke_size: float = 1.0,
    is_16_bit: bool = False,
    tiling: Tiling | None = None,
) -> Engine:
    """Make ``network`` ready for pictures of one size; what comes out may be called from several threads at once.

    Args:
        name: which engine.
        network: float32, on the CPU; copied, not changed.
        height: of the pictures, in pixels.
        width: of the pictures, in pixels.
        device: where to run.
        precision: of the convolutions.
        cache: folder in which compiled code is kept from run to run.
        workers: how many threads will call at once; on a CPU each uses as many cores as torch's number of threads.
        end: what ``network`` turns into as ``share`` grows, of the same architecture; see `FrameGraph`.
        stroke_size: the network sees the picture smaller by this factor, so that its strokes are as much larger.
        is_16_bit: whether pictures are uint16, and so the paintings; uint8 otherwise.
        tiling: the strips to paint in, which eager alone does; None for whole pictures.

    Raises:
        EngineError: the engine or the precision is not to be had on this machine.
    """
    canvas = canvas_size(height, width, stroke_size)
    if tiling is not None and name != "eager":
        raise EngineError(f"the engine {name} paints whole pictures alone; strips need --engine eager")
    if name == "openvino":
        # OpenVINO's way from PyTorch knows no uint16.
        example = torch.zeros(height, width, 3, dtype=torch.int32 if is_16_bit else torch.uint8)
        return _openvino(FrameGraph(network, end, canvas), example, device, precision, cache, workers)
    dtype = DTYPES[precision]
    stylize = copy.deepcopy(FrameGraph(network, end, canvas))
    stylize = stylize.to(device, dtype).to(memory_format=torch.channels_last).eval().requires_grad_(False)
    if tiling is not None:
        return _run_by(TiledFrameGraph(stylize, tiling), device, dtype)
    return _torch_engine(stylize, device, dtype, compiled=name == "compile", cache=cache)


def canvas_size(height: int, width: int, stroke_size: float) -> tuple[int, int] | None:
    """Height and width at which the network paints; None where they are those of the picture."""
    size = max(round(height / stroke_size), 1), max(round(width / stroke_size), 1)
    return None if size == (height, width) else size


def _torch_engine(
    stylize: FrameGraph, device: torch.device, dtype: torch.dtype, *, compiled: bool, cache: Path
) -> Engine:
    run: Callable[..., Any] = stylize
    if compiled:
        if not can_compile(device):
            missing = "Triton" if device.type == "cuda" else "a C++ compiler and Python's headers"
            raise EngineError(f"torch.compile needs {missing}, not found here; use --engine eager")
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache / "inductor"))
        # The whole graph called as one C++ function leaves Python's lock to other threads while it runs.
        options: dict[str, str | int | bool | Callable[..., Any]] = {"cpp_wrapper": device.type == "cpu"}
        _give_own_code(stylize)
        run = torch.compile(stylize, dynamic=False, options=options)
    return _run_by(run, device, dtype)


def _give_own_code(stylize: FrameGraph) -> None:
    """Let ``paint`` be compiled apart from all others.

    Dynamo counts what it compiles by code object, and from the ninth size on runs uncompiled, which is slow.
    """
    shared = FrameGraph.forward
    own = types.FunctionType(shared.__code__.replace(), shared.__globals__, shared.__name__, shared.__defaults__)
    stylize.forward = types.MethodType(own, stylize)  # type: ignore[method-assign]


def _run_by(run: Callable[..., Any], device: torch.device, dtype: torch.dtype) -> Engine:
    def engine(pixels: Tensor, style: Style, *controls: Tensor) -> tuple[Tensor, Tensor]:
        with torch.inference_mode():
            stylized, used = run(pixels.to(device), *style.to(device, dtype).tensors(), *controls)
            return stylized.cpu(), used

    return engine


def _openvino(
    stylize: FrameGraph,
    example: Tensor,
    device: torch.device,
    precision: Precision,
    cache: Path,
    workers: int,
) -> Engine:
    if device.type != "cpu":
        raise EngineError(f"the engine openvino runs on the CPU, not on {device}; use --engine compile")
    try:
        import openvino
    except ImportError as error:
        raise EngineError("the engine openvino is not installed; pip install 'flowbrush[cpu]'") from error
    settings = {
        "CACHE_DIR": str(cache / "openvino"),
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}[precision],
        "NUM_STREAMS": workers,
        "INFERENCE_NUM_THREADS": workers * torch.get_num_threads(),
        # Decoder and encoder want the same cores: threads pinned to them would wait for these instead of moving.
        "ENABLE_CPU_PINNING": False,
    }
    model = _openvino_model(stylize, example, cache / "openvino")
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    own = threading.local()

    def engine(pixels: Tensor, style: Style, *controls: Tensor) -> tuple[Tensor, Tensor]:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        request = own.request
        inputs = (pixels.to(example.dtype), *style.to("cpu", torch.float32).tensors(), *controls)
        request.infer([tensor.contiguous().numpy() for tensor in inputs], share_inputs=True)
        stylized, used = (torch.from_numpy(request.get_output_tensor(index).data.copy()) for index in (0, 1))
        return stylized.to(pixels.dtype), used

    return engine


def _openvino_model(stylize: FrameGraph, pixels: Tensor, folder: Path) -> Path:
    """The graph in OpenVINO's own format, converted at its first use: that takes 3 s, reading it a few ms."""
    import openvino

    network, sizes = stylize.network, f"{tuple(pixels.shape)} {pixels.dtype} {stylize.canvas}"
    digest = hashlib.sha256(f"{sizes} {network.architecture} {openvino.__version__}".encode())
    for source in (FrameGraph, StyleNetwork, upsample_convolve):
        digest.update(Path(inspect.getfile(source)).read_bytes())
    for name, tensor in stylize.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy())
    target = folder / digest.hexdigest()[:32]
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        past = no_statistics(network)
        example = (pixels, *network.neutral_style().tensors(), past, *(torch.zeros(()) for _ in range(4)))
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # of torch's own code, by torch 2.11
            model = openvino.convert_model(torch.export.export(stylize, example, strict=False))
        # Conversion forgets the sizes; the convolution whose kernel is an input does not run without them.
        model.reshape({index: list(tensor.shape) for index, tensor in enumerate(example)})
        with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as part:
            openvino.save_model(model, Path(part) / "whole" / "paint.xml", compress_to_fp16=False)
            with contextlib.suppress(OSError):  # another process was faster
                (Path(part) / "whole").rename(target)
    return target / "paint.xml"
