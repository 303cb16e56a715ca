"""Memory bounds: which execution mode is chosen, and what happens when the memory runs out."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

import models.engines.build
import pipeline.stylize.memory_budget
from models.network import Architecture
from models.tiled.tiling import Tiling
from pipeline.arguments import read_memory
from pipeline.config import StylizeConfig
from pipeline.errors import DeviceError
from pipeline.frames import Frame
from pipeline.stylize.memory_budget import (
    ExecutionMode,
    MemoryEstimate,
    choose_mode,
    shown,
    strip_modes,
    whole_frame_modes,
)
from pipeline.stylize.stylizer import Stylizer
from tests.support.media import moving_square

pytestmark = pytest.mark.usefixtures("one_thread")

PLAIN = StylizeConfig(style="great-wave", engine="eager", device="cpu", precision="fp32", stability="none")


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
    assert [shown(size) for size in (4 * 2**30, 2**30 + 1, 500 * 2**20, 2**20 + 1)] == ["4.0G", "1.1G", "500M", "1.1M"]
    assert all(read_memory(shown(size)) >= size for size in (1234567890, 987654321, 2**31 - 1))


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
        self._build = models.engines.build.build_engine
        self.is_greedy = False

    def __call__(self, name: Any, spec: Any) -> Any:
        run = self._build(name, spec)

        def engine(*arguments: Any) -> Any:
            if self.is_greedy and (spec.tiling is None or spec.tiling.rows > self._rows):
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
    monkeypatch.setattr(models.engines.build, "build_engine", greedy)
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
    monkeypatch.setattr(models.engines.build, "build_engine", greedy)
    stylizer = Stylizer(PLAIN, height=48, width=64)
    greedy.is_greedy = True
    with pytest.raises(DeviceError, match="the memory of cpu does not suffice; choose a smaller --height"):
        stylizer.stylize(moving_square(0))


def test_other_errors_of_an_engine_shrink_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    greedy = Greedy(0, RuntimeError("unsupported memory format option Preserve"))
    monkeypatch.setattr(models.engines.build, "build_engine", greedy)
    stylizer = Stylizer(PLAIN, height=48, width=64)
    greedy.is_greedy = True
    with pytest.raises(DeviceError, match="memory format"):
        stylizer.stylize(moving_square(0))
    assert stylizer.tiling is None
