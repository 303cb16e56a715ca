"""Memory bounds: which execution mode is chosen, and what happens when the memory runs out."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.engines.build import build_engine
from models.engines.engine import EngineSpec
from models.network import Architecture, StyleNetwork
from models.tiled.tiling import Tiling
from pipeline.config import StylizeConfig
from pipeline.config.arguments import read_memory
from pipeline.errors import DeviceError, TooLittleMemoryError
from pipeline.frames import Frame
from pipeline.stylize.engine.memory_budget import (
    default_bound,
    estimate_bytes,
    fit_to_memory,
    format_bytes,
    strip_tilings,
)
from pipeline.stylize.stylizer import Stylizer
from tests.support.media import moving_square

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
NETWORK = StyleNetwork(Architecture())
PLAIN = StylizeConfig(style="great-wave", engine="eager", device="cpu", precision="fp32", stability="none")


def spec(height: int, width: int, **changes: Any) -> EngineSpec:
    plain = EngineSpec(network=NETWORK, height=height, width=width, device=CPU, precision="bf16", cache=Path())
    return replace(plain, **changes)


def smallest_strips(spec: EngineSpec, stability: str) -> int:
    """The least memory in bytes that stylizing takes."""
    return estimate_bytes("eager", replace(spec, tiling=strip_tilings(spec)[-1]), stability)


def test_less_memory_means_fewer_frames_at_once_then_strips_then_smaller_ones() -> None:
    large, choices = spec(4320, 7680), []
    bound, least = 2**50, smallest_strips(large, "smooth")
    while bound >= least:
        choices.append(fit_to_memory("compile", large, "smooth", 4, bound))
        bound = estimate_bytes(*choices[-1], "smooth") - 1
    with pytest.raises(TooLittleMemoryError, match="at least"):
        fit_to_memory("compile", large, "smooth", 4, bound)
    assert choices[:4] == [("compile", replace(large, workers=count)) for count in (4, 3, 2, 1)]
    assert {name for name, _ in choices[4:]} == {"eager"}
    tilings = list(dict.fromkeys(fitting.tiling for _, fitting in choices[4:]))
    assert tilings == [tiling for tiling in strip_tilings(large) if tiling in tilings]
    assert tilings[-1] == strip_tilings(large)[-1]
    assert fit_to_memory("compile", large, "smooth", 4, None) == choices[0]


def test_smaller_strips_take_less_memory() -> None:
    on_gpu = spec(4320, 7680, device=torch.device("cuda"))
    estimates = [estimate_bytes("eager", replace(on_gpu, tiling=each), "smooth") for each in strip_tilings(on_gpu)]
    assert estimates == sorted(estimates, reverse=True)


@pytest.mark.parametrize("change", [{"precision": "fp32"}, {"is_16_bit": True}, {"stroke_size": 0.5}])
def test_settings_that_take_more_memory_are_estimated_higher(change: dict[str, Any]) -> None:
    large = spec(4320, 7680, tiling=strip_tilings(spec(4320, 7680))[0])
    assert estimate_bytes("eager", replace(large, **change), "smooth") > estimate_bytes("eager", large, "smooth")
    assert estimate_bytes("eager", large, "flow") > estimate_bytes("eager", large, "smooth")


def test_a_formatted_memory_size_is_rounded_up() -> None:
    sizes = (4 * 2**30, 2**30 + 1, 500 * 2**20, 2**20 + 1)
    assert [format_bytes(size) for size in sizes] == ["4.0G", "1.1G", "500M", "1.1M"]
    assert all(read_memory(format_bytes(size)) >= size for size in (1234567890, 987654321, 2**31 - 1))


def test_the_limit_of_a_control_group_counts(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000000000\n")
    assert default_bound(torch.device("cpu"), tmp_path) == 7 * 10**8
    (tmp_path / "memory.max").write_text("max\n")
    assert default_bound(torch.device("cpu"), tmp_path) == default_bound(torch.device("cpu"), tmp_path / "none")


def test_a_bound_makes_the_stylizer_work_in_strips() -> None:
    pixels, notices = moving_square(0, height=80, width=64), []
    whole = Stylizer(PLAIN, height=80, width=64)
    assert whole.tiling is None
    small = spec(80, 64, network=whole.style.network, precision="fp32")
    for bound, tiling in (
        (estimate_bytes("eager", small, "none") - 1, Tiling(32)),
        (smallest_strips(small, "none"), strip_tilings(small)[-1]),
    ):
        stylizer = Stylizer(replace(PLAIN, max_memory=bound), height=80, width=64, notify=notices.append)
        assert stylizer.tiling == tiling
        assert f"in strips of {tiling.rows} rows to stay within" in notices.pop()
        assert np.abs(stylizer.stylize(pixels).astype(int) - whole.stylize(pixels)).max() <= 1


def test_a_bound_below_the_smallest_strips_names_the_least() -> None:
    with pytest.raises(DeviceError, match=r"^1M of memory is too little .* at least .*M; choose"):
        Stylizer(replace(PLAIN, max_memory=2**20), height=480, width=640)


class Greedy:
    """Builds engines that run out of memory on whole frames, and in strips of more than some rows.

    Args:
        rows: the largest strips that work; 0 lets nothing work.
        error: what the others raise.
    """

    def __init__(self, rows: int, error: Exception) -> None:
        self._rows = rows
        self._error = error
        self.is_greedy = False

    def __call__(self, name: Any, spec: Any) -> Any:
        run = build_engine(name, spec)

        def engine(*arguments: Any) -> Any:
            if self.is_greedy and (spec.tiling is None or spec.tiling.rows > self._rows):
                raise type(self._error)(*self._error.args)  # a new one: its traceback would keep the stylizer
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
def test_running_out_of_memory_makes_strips_smaller_and_loses_no_frame(error: Exception) -> None:
    greedy, notices = Greedy(8, error), []
    stylizer = Stylizer(replace(PLAIN, threads=2), height=48, width=64, notify=notices.append, build=greedy)
    expected = [frame.pixels for frame in stylizer(frames(6))]
    greedy.is_greedy = True
    stylized = list(stylizer(frames(6)))
    assert [frame.pts for frame in stylized] == list(range(6))
    for frame, pixels in zip(stylized, expected, strict=True):
        assert np.abs(frame.pixels.astype(int) - pixels).max() <= 1
    assert notices == [
        "cpu ran out of memory: continuing in strips of 32 rows",
        "cpu ran out of memory: continuing in strips of 32 rows and fewer stored features",
        "cpu ran out of memory: continuing in strips of 8 rows",
    ]
    assert stylizer.tiling == Tiling(8, keeps_half=False)
    assert stylizer.engine == "eager"


def test_running_out_of_memory_with_the_smallest_strips_is_an_error_of_the_device() -> None:
    greedy = Greedy(0, OUT[0])
    stylizer = Stylizer(PLAIN, height=48, width=64, build=greedy)
    greedy.is_greedy = True
    with pytest.raises(DeviceError, match="cpu has too little memory; choose a smaller --height"):
        stylizer.stylize(moving_square(0))


def test_other_errors_of_an_engine_shrink_nothing() -> None:
    greedy = Greedy(0, RuntimeError("unsupported memory format option Preserve"))
    stylizer = Stylizer(PLAIN, height=48, width=64, build=greedy)
    greedy.is_greedy = True
    with pytest.raises(DeviceError, match="memory format"):
        stylizer.stylize(moving_square(0))
    assert stylizer.tiling is None
