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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from models.folding import upsample_convolve
from models.network import Style, StyleNetwork
from models.temporal import LUMA

EngineName = Literal["eager", "compile", "openvino"]
Precision = Literal["fp32", "bf16", "fp16"]

DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

Engine = Callable[[Tensor, Style, Tensor, Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""``(pixels, style, past, keep, strength, colors, share) -> (painted pixels, statistics)``; see `Paint.forward`."""


class EngineError(RuntimeError):
    """The device or the engine is not to be had on this machine."""


# Contrast (standard deviation of the pixels in [0, 1], over the picture) at which the paint begins, and is full.
FAINT, FULL = 0.01, 0.06

# Brightest channel in [0, 1], mean over a block, at which the paint begins, and is full; the side of a block in pixels.
BLACK, DARK = 3 / 255, 28 / 255
BLOCK_PX = 8


class Paint(nn.Module):
    """The whole graph from pixels to pixels, so that a compiler sees it in one piece.

    Instance normalisation gives every picture the same contrast: a fade to black would stay bright and end in the
    sensor's noise, blown up. So the paint thins out where the picture as a whole has next to no contrast, and where it
    is black: the bars of a letterbox, a stage in the dark.

    Args:
        network: in the precision it is to run in.
        end: of the same architecture, what ``network`` can be turned into; None where it stays as it is.
        canvas: height and width in pixels at which the network paints; None for those of the picture.
    """

    def __init__(
        self, network: StyleNetwork, end: StyleNetwork | None = None, canvas: tuple[int, int] | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self.end = end
        self.canvas = canvas

    def forward(
        self,
        pixels: Tensor,
        scale: Tensor,
        shift: Tensor,
        weight: Tensor,
        bias: Tensor,
        past: Tensor,
        keep: Tensor,
        strength: Tensor,
        colors: Tensor,
        share: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Paint one picture.

        Args:
            pixels: ``(H, W, 3)`` uint8 RGB.
            scale: of the style, as all of the next three; see `Style`.
            shift: see `Style`.
            weight: see `Style`.
            bias: see `Style`.
            past: ``(1, 2, C + 1)`` float32 statistics from elsewhere: the network's, then the picture's own.
            keep: scalar float32, the share of ``past``.
            strength: scalar float32 in [0, 1]; 0 gives the picture back, 1 the painting.
            colors: scalar float32 in [0, 1]; 1 keeps the picture's colours and takes only light and dark (the luma of
                BT.709) from the painting, 0 takes the painting's colours.
            share: scalar float32 in [0, 1]; 0 paints with ``network``, 1 with ``end``. Without ``end`` it does nothing.

        Returns:
            ``(H, W, 3)`` uint8 RGB, and the statistics ``(1, 2, C + 1)`` float32 that were used.
        """
        picture = pixels.permute(2, 0, 1)[None].float() / 255
        painted, used = self._run(
            share, resize(picture, self.canvas), Style(scale, shift, weight, bias), past[..., :-1], keep
        )
        painted = resize(painted.float(), picture.shape[-2:])
        own = torch.lerp(_mean_and_variance(picture), past[..., -1:], keep)
        thickness = ((own[:, 1].sqrt() - FAINT) / (FULL - FAINT)).clamp(0, 1)
        mixed = _lay_over(picture, painted, strength * thickness[..., None] * _lit(picture), colors)
        return (mixed * 255).round().to(torch.uint8), torch.cat((used, own), dim=2)

    def _run(self, share: Tensor, picture: Tensor, style: Style, past: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
        """The network at ``share`` of its way to ``end``.

        Deep network interpolation (Wang et al., CVPR 2019, arXiv:1811.10515), inside the graph: so each frame can have
        a share of its own while others are painted, in any engine, and a fade costs no more than a style.
        """
        picture = picture.to(next(self.network.parameters()).dtype)
        if self.end is None:
            painting, used = self.network(picture, style, past, keep)
            return painting, used
        ends = dict(self.end.named_parameters())
        between = {  # in float32: a share in bf16 would go up in 256 steps
            name: torch.lerp(start.float(), ends[name].float(), share).to(start.dtype)
            for name, start in self.network.named_parameters()
        }
        painting, used = functional_call(self.network, between, (picture, style, past, keep))
        return painting, used


def resize(picture: Tensor, size: Sequence[int] | None) -> Tensor:
    """Scale ``(N, 3, H, W)`` in [0, 1] to ``size``, height and width; None leaves it.

    By the mean of what falls on a pixel where it shrinks, else bicubic: OpenVINO has no antialiased interpolation.
    """
    if size is None or tuple(size) == tuple(picture.shape[-2:]):
        return picture
    if size[0] * size[1] < picture.shape[-2] * picture.shape[-1]:
        return F.interpolate(picture, tuple(size), mode="area")
    return F.interpolate(picture, tuple(size), mode="bicubic", align_corners=False).clamp(0, 1)


def _lay_over(picture: Tensor, painted: Tensor, amount: Tensor, colors: Tensor) -> Tensor:
    """``(H, W, 3)``: ``amount`` of the painting over the picture, whose colours are kept by the share ``colors``.

    A channel at a time: of an expression over all three at once the compiler works out the painting four times for
    each pixel, 4 ms of 43.
    """
    red, green, blue = (painted - picture).unbind(dim=1)
    lighter = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    channels = zip(picture.unbind(dim=1), painted.unbind(dim=1), strict=True)
    toned = ((plain, torch.lerp(paint, (plain + lighter).clamp(0, 1), colors)) for plain, paint in channels)
    return torch.stack([torch.lerp(plain, paint, amount) for plain, paint in toned], dim=-1)[0]


def _lit(picture: Tensor) -> Tensor:
    """``(N, H, W)``: 0 where the picture ``(N, 3, H, W)`` is black, 1 where it is not, without steps between."""
    height, width = picture.shape[-2:]
    blocks = (max(height // BLOCK_PX, 1), max(width // BLOCK_PX, 1))
    light = F.interpolate(picture.amax(dim=1, keepdim=True), blocks, mode="area")
    lit = ((light - BLACK) / (DARK - BLACK)).clamp(0, 1)
    return F.interpolate(lit, (height, width), mode="bilinear", align_corners=False)[:, 0]


def _mean_and_variance(picture: Tensor) -> Tensor:
    """``(N, 2, 1)``: over the pixels of each channel, mean over the channels."""
    mean = picture.mean(dim=(2, 3))
    variance = (picture.square().mean(dim=(2, 3)) - mean.square()).clamp_min(0)
    return torch.stack((mean.mean(dim=1), variance.mean(dim=1)), dim=1)[..., None]


def no_statistics(network: StyleNetwork, device: torch.device | str = "cpu") -> Tensor:
    """What to pass as ``past`` where there is none: zeros ``(1, 2, C + 1)``, of which ``keep`` 0 takes nothing."""
    return torch.zeros(1, 2, network.statistics_size + 1, device=device)


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
        end: what ``network`` turns into as ``share`` grows, of the same architecture; see `Paint`.
        stroke_size: the network sees the picture smaller by this factor, so that its strokes are as much larger.

    Raises:
        EngineError: the engine or the precision is not to be had on this machine.
    """
    canvas = canvas_size(height, width, stroke_size)
    if name == "openvino":
        return _openvino(Paint(network, end, canvas), height, width, device, precision, cache, workers)
    dtype = DTYPES[precision]
    paint = copy.deepcopy(Paint(network, end, canvas))
    paint = paint.to(device, dtype).to(memory_format=torch.channels_last).eval().requires_grad_(False)
    return _torch_engine(paint, device, dtype, compiled=name == "compile", cache=cache)


def canvas_size(height: int, width: int, stroke_size: float) -> tuple[int, int] | None:
    """Height and width at which the network paints; None where they are those of the picture."""
    size = max(round(height / stroke_size), 1), max(round(width / stroke_size), 1)
    return None if size == (height, width) else size


def _torch_engine(paint: Paint, device: torch.device, dtype: torch.dtype, *, compiled: bool, cache: Path) -> Engine:
    run: Callable[..., Any] = paint
    if compiled:
        if not can_compile(device):
            missing = "Triton" if device.type == "cuda" else "a C++ compiler and Python's headers"
            raise EngineError(f"torch.compile needs {missing}, not found here; use --engine eager")
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache / "inductor"))
        # The whole graph called as one C++ function leaves Python's lock to other threads while it runs.
        options: dict[str, str | int | bool | Callable[..., Any]] = {"cpp_wrapper": device.type == "cpu"}
        run = torch.compile(paint, dynamic=False, options=options)

    def engine(pixels: Tensor, style: Style, *controls: Tensor) -> tuple[Tensor, Tensor]:
        with torch.inference_mode():
            painted, used = run(pixels.to(device), *style.to(device, dtype).tensors(), *controls)
            return painted.cpu(), used

    return engine


def _openvino(
    paint: Paint,
    height: int,
    width: int,
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
    model = _openvino_model(paint, height, width, cache / "openvino")
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    own = threading.local()

    def engine(pixels: Tensor, style: Style, *controls: Tensor) -> tuple[Tensor, Tensor]:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        request = own.request
        inputs = (pixels, *style.to("cpu", torch.float32).tensors(), *controls)
        request.infer([tensor.contiguous().numpy() for tensor in inputs], share_inputs=True)
        painted, used = (torch.from_numpy(request.get_output_tensor(index).data.copy()) for index in (0, 1))
        return painted, used

    return engine


def _openvino_model(paint: Paint, height: int, width: int, folder: Path) -> Path:
    """The graph in OpenVINO's own format, converted at its first use: that takes 3 s, reading it a few ms."""
    import openvino

    network, sizes = paint.network, f"{height}x{width} {paint.canvas}"
    digest = hashlib.sha256(f"{sizes} {network.architecture} {openvino.__version__}".encode())
    for source in (Paint, StyleNetwork, upsample_convolve):
        digest.update(Path(inspect.getfile(source)).read_bytes())
    for name, tensor in paint.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy())
    target = folder / digest.hexdigest()[:32]
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        pixels, past = torch.zeros(height, width, 3, dtype=torch.uint8), no_statistics(network)
        example = (pixels, *network.neutral_style().tensors(), past, *(torch.zeros(()) for _ in range(4)))
        model = openvino.convert_model(torch.export.export(paint, example, strict=False))
        # Conversion forgets the sizes; the convolution whose kernel is an input does not run without them.
        model.reshape({index: list(tensor.shape) for index, tensor in enumerate(example)})
        with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as part:
            openvino.save_model(model, Path(part) / "whole" / "paint.xml", compress_to_fp16=False)
            with contextlib.suppress(OSError):  # another process was faster
                (Path(part) / "whole").rename(target)
    return target / "paint.xml"
