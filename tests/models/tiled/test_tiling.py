"""Strips against whole frames: the same result, no visible boundaries, less memory."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from models.engines.build import build_engine
from models.engines.engine import EngineError, EngineSpec, canvas_size
from models.frame_graph import FrameGraph, zero_statistics
from models.network import Architecture, Style, StyleNetwork
from models.registry import load
from models.tiled.tiled_graph import TiledFrameGraph
from models.tiled.tiling import Tiling, peak_bytes
from tests.support.tiny import blobs

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = Architecture(widths=(4, 6, 8), blocks=2, kernel=5)
FULL, HALF, NONE = torch.ones(()), torch.full((), 0.5), torch.zeros(())
CPU = torch.device("cpu")


NETWORK = StyleNetwork(TINY)


@pytest.fixture(scope="module")
def style() -> Style:
    torch.manual_seed(5)
    start = NETWORK.initial_style()
    scale = 1 + 0.2 * torch.randn_like(start.scale)
    return replace(start, scale=scale, shift=start.shift + 0.1, bias=start.bias - 0.2)


def image(height: int, width: int) -> Tensor:
    """``(H, W, 3)`` uint8: blobs of color with some texture, and the bar of a letterbox above."""
    texture = 0.1 * torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))
    pixels = ((blobs(1, height, width) + texture).clamp(0, 1) * 255).round().to(torch.uint8)
    pixels[:, :, : height // 5] = 0
    return pixels[0].permute(1, 2, 0).contiguous()


def both(
    graph: FrameGraph, tiling: Tiling, style: Style, pixels: Tensor, *controls: Tensor
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Stylize the whole image, and its strips; return both with their statistics."""
    with torch.inference_mode():
        return graph(pixels, style.tensors(), *controls), TiledFrameGraph(graph, tiling)(
            pixels, style.tensors(), *controls
        )


def apart(a: Tensor, b: Tensor) -> Tensor:
    return (a.int() - b.int()).abs()


@pytest.mark.parametrize("tiling", [Tiling(4), Tiling(8, keeps_half=False), Tiling(1000)], ids=str)
@pytest.mark.parametrize("size", [(37, 50), (16, 90), (3, 5), (102, 67)])
def test_strips_match_the_whole_image(size: tuple[int, int], tiling: Tiling, style: Style) -> None:
    pixels = image(*size)
    controls = zero_statistics(NETWORK), NONE, FULL, NONE
    (expected, statistics), (stylized, used) = both(FrameGraph(NETWORK), tiling, style, pixels, *controls)
    assert apart(stylized, expected).max() <= 1
    assert (stylized != expected).float().mean() < 0.01
    torch.testing.assert_close(used, statistics, rtol=1e-4, atol=1e-4)
    assert size == (3, 5) or apart(stylized, pixels).float().mean() > 5


@pytest.mark.parametrize("stroke_size", [0.5, 1.0, 1.3, 2.0])
def test_strips_honour_every_control(stroke_size: float, style: Style) -> None:
    height, width = 45, 58
    graph = FrameGraph(NETWORK, canvas_size(height, width, stroke_size))
    pixels = image(height, width)
    with torch.inference_mode():
        _, past = graph(pixels // 2, style.tensors(), zero_statistics(NETWORK), NONE, FULL, NONE)
    for controls in ((past, HALF, FULL, NONE), (past, FULL, HALF, FULL), (past, NONE, FULL, HALF)):
        (expected, statistics), (stylized, used) = both(graph, Tiling(8), style, pixels, *controls)
        assert apart(stylized, expected).max() <= 1
        torch.testing.assert_close(used, statistics, rtol=1e-4, atol=1e-4)


def test_strips_of_deep_pictures(style: Style) -> None:
    pixels = (image(40, 52).int() * 257 + 3).to(torch.uint16)
    controls = zero_statistics(NETWORK), NONE, FULL, NONE
    (expected, _), (stylized, _) = both(FrameGraph(NETWORK), Tiling(8), style, pixels, *controls)
    assert stylized.dtype == torch.uint16
    assert apart(stylized, expected).max() <= 8  # of 65,535


def test_the_bar_of_a_letterbox_stays_black(style: Style) -> None:
    pixels = image(120, 64)
    _, (stylized, _) = both(FrameGraph(NETWORK), Tiling(4), style, pixels, zero_statistics(NETWORK), NONE, FULL, NONE)
    assert int(stylized[:12].max()) == 0
    assert apart(stylized[40:], pixels[40:]).float().mean() > 5


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_real_style_in_strips_has_no_visible_boundaries(precision: Any, tmp_path: Path) -> None:
    loaded, pixels, rows = load("great-wave"), image(130, 140), 16
    spec = EngineSpec(network=loaded.network, height=130, width=140, device=CPU, precision=precision, cache=tmp_path)
    arguments = pixels, loaded.style, zero_statistics(loaded.network), NONE, FULL, NONE
    expected, _ = build_engine("eager", spec)(*arguments)
    for keeps_half in (True, False):
        stylized, _ = build_engine("eager", replace(spec, tiling=Tiling(rows, keeps_half)))(*arguments)
        difference = apart(stylized, expected).float()
        assert difference.mean() <= (0.01 if precision == "fp32" else 1)
        assert difference.max() <= (1 if precision == "fp32" else 4)
        boundaries = [row for border in range(rows, 130, rows) for row in (border - 1, border)]
        inside = [row for row in range(130) if row not in boundaries]
        assert difference[boundaries].mean() <= 1.5 * difference[inside].mean() + 0.01


class Watch(TorchDispatchMode):
    """Sums up the tensors that are alive, and remembers the most there were, in bytes."""

    def __init__(self) -> None:
        super().__init__()
        self._alive: dict[int, tuple[Any, int]] = {}
        self.most = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                self._alive[storage.data_ptr()] = (
                    torch.multiprocessing.reductions.StorageWeakRef(storage),
                    storage.nbytes(),
                )
        self._alive = {key: value for key, value in self._alive.items() if not value[0].expired()}
        self.most = max(self.most, sum(size for _, size in self._alive.values()))
        return result


def most_bytes(call: Callable[[], object]) -> int:
    with torch.no_grad(), Watch() as watch:
        call()
    return watch.most


def test_strips_need_the_estimated_memory_and_far_less_than_the_whole_frame() -> None:
    loaded, (height, width) = load("great-wave"), (512, 128)
    pixels, graph = image(height, width), FrameGraph(loaded.network)
    arguments = loaded.style.tensors(), zero_statistics(loaded.network), NONE, FULL, NONE
    whole = most_bytes(lambda: graph(pixels, *arguments))
    before = whole
    for tiling in (Tiling(32), Tiling(32, keeps_half=False), Tiling(4, keeps_half=False)):
        stylized = TiledFrameGraph(graph, tiling)
        most = most_bytes(lambda stylized=stylized: stylized(pixels, *arguments))  # type: ignore[misc]
        estimate = peak_bytes(loaded.network.architecture, tiling, height, width, 4)
        assert most < before, "each step down must take less"
        assert 0.5 * estimate < most <= estimate, tiling
        before = most
    assert before < whole / 6


def test_a_strip_has_a_multiple_of_4_rows() -> None:
    for rows in (0, 6, -4):
        with pytest.raises(ValueError, match="multiple of 4"):
            Tiling(rows)


@pytest.mark.parametrize("name", ["compile", "openvino"])
def test_eager_alone_supports_strips(name: Any, tmp_path: Path) -> None:
    spec = EngineSpec(
        network=NETWORK, height=16, width=16, device=CPU, precision="fp32", cache=tmp_path, tiling=Tiling(4)
    )
    with pytest.raises(EngineError, match="--engine eager"):
        build_engine(name, spec)
