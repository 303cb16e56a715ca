"""Strips against whole pictures: the same painting, no seams, less memory; and who decides for them, and when."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import models.engines.engine
import pipeline.stylize.memory_budget
from models.engines.engine import EngineError, build_engine
from models.engines.frame_graph import FrameGraph, no_statistics
from models.network import Architecture, Style, StyleNetwork
from models.registry import load
from models.tiled.tiled_graph import TiledFrameGraph
from models.tiled.tiling import Tiling, peak_bytes
from pipeline.config import StylizeConfig
from pipeline.errors import DeviceError
from pipeline.frames import Frame
from pipeline.stylize.memory_budget import (
    ExecutionMode,
    MemoryEstimate,
    choose_mode,
    read_size,
    shown,
    strip_modes,
    whole_frame_modes,
)
from pipeline.stylize.stylizer import Stylizer
from tests.support.media import moving_square
from tests.support.tiny import blobs

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = Architecture(widths=(4, 6, 8), blocks=2, kernel=5)
FULL, HALF, NONE = torch.ones(()), torch.full((), 0.5), torch.zeros(())
PLAIN = StylizeConfig(style="great-wave", engine="eager", device="cpu", precision="fp32", stability="none")


def network(seed: int) -> StyleNetwork:
    torch.manual_seed(seed)
    return StyleNetwork(TINY).eval().requires_grad_(False)


NETWORK, END = network(3), network(4)


@pytest.fixture(scope="module")
def style() -> Style:
    torch.manual_seed(5)
    neutral = NETWORK.neutral_style()
    return Style(1 + 0.2 * torch.randn_like(neutral.scale), neutral.shift + 0.1, neutral.weight, neutral.bias - 0.2)


def picture(height: int, width: int) -> Tensor:
    """``(H, W, 3)`` uint8: blobs of colour with some texture, and the bar of a letterbox above."""
    texture = 0.1 * torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))
    pixels = ((blobs(1, height, width) + texture).clamp(0, 1) * 255).round().to(torch.uint8)
    pixels[:, :, : height // 5] = 0
    return pixels[0].permute(1, 2, 0).contiguous()


def both(
    paint: FrameGraph, tiling: Tiling, style: Style, pixels: Tensor, *controls: Tensor
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """What the whole picture becomes, and what its strips become; each with the statistics."""
    with torch.inference_mode():
        return paint(pixels, *style.tensors(), *controls), TiledFrameGraph(paint, tiling)(
            pixels, *style.tensors(), *controls
        )


def apart(a: Tensor, b: Tensor) -> Tensor:
    return (a.int() - b.int()).abs()


@pytest.mark.parametrize("tiling", [Tiling(4), Tiling(8, keeps_half=False), Tiling(1000)], ids=str)
@pytest.mark.parametrize("size", [(37, 50), (16, 90), (3, 5), (102, 67)])
def test_strips_are_painted_as_the_whole(size: tuple[int, int], tiling: Tiling, style: Style) -> None:
    pixels = picture(*size)
    controls = no_statistics(NETWORK), NONE, FULL, NONE, NONE
    (expected, statistics), (stylized, used) = both(FrameGraph(NETWORK), tiling, style, pixels, *controls)
    assert apart(stylized, expected).max() <= 1
    assert (stylized != expected).float().mean() < 0.01
    torch.testing.assert_close(used, statistics, rtol=1e-4, atol=1e-4)
    assert size == (3, 5) or apart(stylized, pixels).float().mean() > 5


@pytest.mark.parametrize("stroke_size", [0.5, 1.0, 1.3, 2.0])
def test_strips_honour_every_control(stroke_size: float, style: Style) -> None:
    height, width = 45, 58
    paint = FrameGraph(NETWORK, END, models.engines.engine.canvas_size(height, width, stroke_size))
    pixels = picture(height, width)
    with torch.inference_mode():
        _, past = paint(pixels // 2, *style.tensors(), no_statistics(NETWORK), NONE, FULL, NONE, NONE)
    for controls in ((past, HALF, FULL, NONE, FULL), (past, FULL, HALF, FULL, HALF), (past, NONE, FULL, HALF, NONE)):
        (expected, statistics), (stylized, used) = both(paint, Tiling(8), style, pixels, *controls)
        assert apart(stylized, expected).max() <= 1
        torch.testing.assert_close(used, statistics, rtol=1e-4, atol=1e-4)


def test_strips_of_deep_pictures(style: Style) -> None:
    pixels = (picture(40, 52).int() * 257 + 3).to(torch.uint16)
    controls = no_statistics(NETWORK), NONE, FULL, NONE, NONE
    (expected, _), (stylized, _) = both(FrameGraph(NETWORK), Tiling(8), style, pixels, *controls)
    assert stylized.dtype == torch.uint16
    assert apart(stylized, expected).max() <= 8  # of 65,535


def test_the_bar_of_a_letterbox_stays_black(style: Style) -> None:
    pixels = picture(120, 64)
    _, (stylized, _) = both(
        FrameGraph(NETWORK), Tiling(4), style, pixels, no_statistics(NETWORK), NONE, FULL, NONE, NONE
    )
    assert int(stylized[:12].max()) == 0
    assert apart(stylized[40:], pixels[40:]).float().mean() > 5


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_real_style_in_strips_has_no_seams(precision: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    painter, pixels, rows = load("great-wave"), picture(130, 140), 16
    build = partial(
        build_engine,
        "eager",
        painter.network,
        height=130,
        width=140,
        device=torch.device("cpu"),
        precision=precision,
        cache=tmp_path_factory.mktemp("cache"),
    )
    arguments = pixels, painter.style, no_statistics(painter.network), NONE, FULL, NONE, NONE
    expected, _ = build()(*arguments)
    for keeps_half in (True, False):
        stylized, _ = build(tiling=Tiling(rows, keeps_half))(*arguments)
        difference = apart(stylized, expected).float()
        assert difference.mean() <= (0.01 if precision == "fp32" else 1)
        assert difference.max() <= (1 if precision == "fp32" else 4)
        seams = [row for border in range(rows, 130, rows) for row in (border - 1, border)]
        elsewhere = [row for row in range(130) if row not in seams]
        assert difference[seams].mean() <= 1.5 * difference[elsewhere].mean() + 0.01


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


def test_strips_need_as_much_memory_as_is_reckoned_and_far_less_than_the_whole() -> None:
    painter, (height, width) = load("great-wave"), (512, 128)
    pixels, paint = picture(height, width), FrameGraph(painter.network)
    arguments = *painter.style.tensors(), no_statistics(painter.network), NONE, FULL, NONE, NONE
    whole = most_bytes(lambda: paint(pixels, *arguments))
    before = whole
    for tiling in (Tiling(32), Tiling(32, keeps_half=False), Tiling(4, keeps_half=False)):
        stylized = TiledFrameGraph(paint, tiling)
        most = most_bytes(lambda stylized=stylized: stylized(pixels, *arguments))  # type: ignore[misc]
        reckoned = peak_bytes(painter.network.architecture, tiling, height, width, 4)
        assert most < before, "each step down must take less"
        assert 0.5 * reckoned < most <= reckoned, tiling
        before = most
    assert before < whole / 6


def test_a_strip_has_a_multiple_of_4_rows() -> None:
    for rows in (0, 6, -4):
        with pytest.raises(ValueError, match="multiple of 4"):
            Tiling(rows)


def test_only_eager_paints_strips(tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in ("compile", "openvino"):
        with pytest.raises(EngineError, match="strips need --engine eager"):
            build_engine(
                name,  # type: ignore[arg-type]
                NETWORK,
                height=16,
                width=16,
                device=torch.device("cpu"),
                precision="fp32",
                cache=tmp_path_factory.mktemp("cache"),
                tiling=Tiling(4),
            )


def need(height: int, width: int, **changes: Any) -> MemoryEstimate:
    return replace(MemoryEstimate(height * width, (height, width), Architecture(), "bf16", "smooth", False), **changes)


def test_less_memory_means_fewer_frames_at_once_then_strips_then_smaller_ones() -> None:
    large = need(4320, 7680)
    ways = [("compile", way) for way in whole_frame_modes(4)] + [
        ("eager", way) for way in strip_modes(1, 4320, on_gpu=False)
    ]
    needed = [large.bytes(engine, way) for engine, way in ways]
    assert needed == sorted(needed, reverse=True)
    assert [way.workers for way in whole_frame_modes(4)] == [4, 3, 2, 1]
    on_gpu = strip_modes(1, 4320, on_gpu=True)
    needed = [need(4320, 7680, on_gpu=True).bytes("eager", way) for way in on_gpu]
    assert needed == sorted(needed, reverse=True)
    assert choose_mode(on_gpu, partial(large.bytes, "eager"), 1) is None
    assert choose_mode([ExecutionMode(2), ExecutionMode(1)], lambda way: 10 * way.workers, 15) == ExecutionMode(1)


@pytest.mark.parametrize(
    "change", [{"precision": "fp32"}, {"is_16_bit": True}, {"stability": "flow"}, {"canvas": (8640, 15360)}]
)
def test_what_takes_more_is_reckoned_to_take_more(change: dict[str, Any]) -> None:
    way = strip_modes(1, 4320, on_gpu=False)[0]
    assert need(4320, 7680, **change).bytes("eager", way) > need(4320, 7680).bytes("eager", way)


def test_sizes_of_memory_are_read_and_shown() -> None:
    assert [read_size(text) for text in ("4G", "500M", "1.5 GiB", "2gb", "1000")] == [
        4 * 2**30, 500 * 2**20, 3 * 2**29, 2 * 2**30, 1000,
    ]  # fmt: skip
    for text in ("", "four", "4X", "-1G", "0", "1G2"):
        with pytest.raises(ValueError, match="write 4G or 500M"):
            read_size(text)
    assert [shown(size) for size in (4 * 2**30, 2**30 + 1, 500 * 2**20, 2**20 + 1)] == ["4.0G", "1.1G", "500M", "1.1M"]
    assert all(read_size(shown(size)) >= size for size in (1234567890, 987654321, 2**31 - 1))


def test_a_limit_of_the_group_of_processes_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.stylize.memory_budget, "_group_limits", lambda: [10**9])
    assert pipeline.stylize.memory_budget.default_bound(torch.device("cpu")) == 7 * 10**8


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies around the network, made so small that a small frame's features decide."""
    monkeypatch.setattr(pipeline.stylize.memory_budget, "BASE_BYTES", 0)


def test_a_bound_makes_the_stylizer_paint_in_strips(tight: None) -> None:
    pixels, notices = moving_square(0, height=80, width=64), []
    whole = Stylizer(PLAIN, height=80, width=64)
    assert whole.tiling is None
    reckoned = whole._need()
    least = strip_modes(1, 80, on_gpu=False)[-1]
    for bound, tiling in (
        (reckoned.bytes("eager", ExecutionMode(1)) - 1, Tiling(32)),
        (reckoned.bytes("eager", least), least.tiling),
    ):
        stylizer = Stylizer(replace(PLAIN, max_memory=bound), height=80, width=64, notify=notices.append)
        assert stylizer.tiling == tiling
        assert f"painting in strips of {tiling.rows if tiling else 0} rows, to stay within" in notices.pop()
        assert np.abs(stylizer.stylize(pixels).astype(int) - whole.stylize(pixels)).max() <= 1


def test_a_bound_below_the_smallest_strips_names_the_least(tight: None) -> None:
    with pytest.raises(DeviceError, match=r"^1M of memory are too little for this video, the least is .*M; choose"):
        Stylizer(replace(PLAIN, max_memory=2**20), height=480, width=640)


class Greedy:
    """Stands in for `build_engine`: engines that run out of memory in strips of more than some rows, or whole.

    Args:
        rows: the largest strips that work; 0 lets nothing work.
        error: what the others raise.
    """

    def __init__(self, rows: int, error: Exception) -> None:
        self._rows = rows
        self._error = error
        self._build = models.engines.engine.build_engine
        self.is_greedy = False

    def __call__(self, *args: Any, tiling: Tiling | None = None, **kwargs: Any) -> Any:
        run = self._build(*args, tiling=tiling, **kwargs)

        def engine(*arguments: Any) -> Any:
            if self.is_greedy and (tiling is None or tiling.rows > self._rows):
                raise self._error
            return run(*arguments)

        return engine


def frames(count: int) -> Iterator[Frame]:
    for number in range(count):
        yield Frame(moving_square(number), number, Fraction(1, 25), 1)


OUT = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


@pytest.mark.parametrize("error", OUT, ids=lambda error: type(error).__name__ + str(error)[:3])
def test_running_out_of_memory_makes_strips_smaller_and_loses_no_frame(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    greedy, notices = Greedy(8, error), []
    monkeypatch.setattr(models.engines.engine, "build_engine", greedy)
    stylizer = Stylizer(replace(PLAIN, threads=2), height=48, width=64, notify=notices.append)
    expected = [frame.pixels for frame in stylizer(frames(6))]
    greedy.is_greedy = True
    stylized = list(stylizer(frames(6)))
    assert [frame.pts for frame in stylized] == list(range(6))
    for frame, pixels in zip(stylized, expected, strict=True):
        assert np.abs(frame.pixels.astype(int) - pixels).max() <= 1
    assert notices == [
        "cpu ran out of memory: going on in strips of 32 rows",
        "cpu ran out of memory: going on in strips of 32 rows, and keeping less between them",
        "cpu ran out of memory: going on in strips of 8 rows",
    ]
    assert stylizer.tiling == Tiling(8, keeps_half=False)
    assert stylizer.engine == "eager"


def test_running_out_of_memory_with_the_smallest_strips_is_an_error_of_the_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    greedy = Greedy(0, OUT[0])
    monkeypatch.setattr(models.engines.engine, "build_engine", greedy)
    stylizer = Stylizer(PLAIN, height=48, width=64)
    greedy.is_greedy = True
    with pytest.raises(DeviceError, match="the memory of cpu does not suffice; choose a smaller --height"):
        stylizer.stylize(moving_square(0))


def test_other_errors_of_an_engine_shrink_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    greedy = Greedy(0, RuntimeError("unsupported memory format option Preserve"))
    monkeypatch.setattr(models.engines.engine, "build_engine", greedy)
    stylizer = Stylizer(PLAIN, height=48, width=64)
    greedy.is_greedy = True
    with pytest.raises(DeviceError, match="memory format"):
        stylizer.stylize(moving_square(0))
    assert stylizer.tiling is None
