"""Engines that another process compiles: ready while eager runs, loaded from the cache, and reported if they fail."""

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import models.engines.capabilities
from models.engines.capabilities import can_compile
from pipeline.errors import DeviceError
from pipeline.live.stylize.engine_builder import EngineBuilder, fast_engines
from pipeline.live.stylize.engine_pool import EnginePool
from pipeline.live.stylize.modes import Mode
from pipeline.live.stylize.style_mixer import StyleMixer, load_style_mixer
from pipeline.stylize.engine.compiler import COMPILE_PROCESS, Compiler
from pipeline.stylize.frame_stylizer import FrameControls, FrameStylizer
from pipeline.stylize.stabilizer import TemporalState
from pipeline.system.children import run_module
from tests.support.live import PLAIN
from tests.support.media import moving_square
from tests.support.networks.compiling import shared_precompiled_headers

CPU = torch.device("cpu")
SIZE = (48, 64)
NEEDS_COMPILER = pytest.mark.skipif(not can_compile(CPU), reason="no C++ compiler")

# The compile process at ordinary priority: on a busy machine the lowest one takes minutes.
COMPILE = (
    run_module(COMPILE_PROCESS)[0],
    f"import os; os.nice = int; os.sched_setscheduler = print; {run_module(COMPILE_PROCESS)[1]}",
)
FAIL = ("-c", "raise SystemExit('a warning\\nthe compiler crashed')")

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning"),  # torch 2.11 warns of its own code
]


@pytest.fixture
def mixer(tiny_style: Path) -> StyleMixer:
    return load_style_mixer([str(tiny_style)])


@pytest.fixture
def core(mixer: StyleMixer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FrameStylizer]:
    with shared_precompiled_headers(tmp_path), monkeypatch.context() as patched:
        patched.setenv("FLOWBRUSH_CACHE", str(tmp_path))
        patched.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
        yield FrameStylizer(mixer.network, PLAIN, print)


def stylized(core: FrameStylizer, engine: Any, mixer: StyleMixer) -> Any:
    pixels, _ = core(moving_square(3), TemporalState(), FrameControls(mixer.styles[0]), engine)
    return pixels.astype(int)


@pytest.mark.slow
@pytest.mark.timeout(400)
@NEEDS_COMPILER
def test_a_fast_engine_gets_ready_while_eager_runs(core: FrameStylizer, mixer: StyleMixer) -> None:
    lines: list[str] = []
    pool = EnginePool(EngineBuilder(core, compile_command=COMPILE), ["compile"], lines.append)
    eager = pool.get(Mode(SIZE, "eager"))
    compiled = Mode(SIZE, "compile")
    assert pool.prepare_seconds(compiled) > 10
    pool.prepare(compiled)
    expected = stylized(core, eager, mixer)
    end = time.monotonic() + 300
    while "compile" not in pool.ready(SIZE):
        assert time.monotonic() < end
        assert not lines
        assert np.array_equal(stylized(core, pool.get(Mode(SIZE, "eager")), mixer), expected)
        time.sleep(0.05)
    assert np.abs(stylized(core, pool.get(compiled), mixer) - expected).max() <= 1
    pool.close()
    # The second time it comes from the cache.
    again = EngineBuilder(core, compile_command=FAIL)
    assert again.prepare_seconds(compiled) == 0
    assert not again.is_for_all_modes(compiled)
    assert np.abs(stylized(core, again.prepare(compiled), mixer) - expected).max() <= 1


@NEEDS_COMPILER
def test_the_network_in_float32_is_found_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWBRUSH_CACHE", str(tmp_path))
    network = load_style_mixer(["great-wave"]).network
    core = FrameStylizer(network, replace(PLAIN, precision="fp32"), print)
    builder, mode = EngineBuilder(core, compile_command=COMPILE), Mode(SIZE, "compile")
    assert 0 < builder.prepare_seconds(mode) < 10
    builder.prepare(mode)
    assert builder.is_for_all_modes(mode)
    assert builder.prepare_seconds(mode) == builder.prepare_seconds(Mode((64, 64), "compile", 2)) == 0


@pytest.mark.slow
def test_openvino_is_converted_in_another_process(core: FrameStylizer, mixer: StyleMixer) -> None:
    pytest.importorskip("openvino")
    builder = EngineBuilder(core, compile_command=COMPILE)
    expected = stylized(core, builder.build(Mode(SIZE, "eager")), mixer)
    converted = Mode(SIZE, "openvino")
    assert not builder.is_stored(converted)
    assert np.abs(stylized(core, builder.prepare(converted), mixer) - expected).max() <= 2
    # Another number of frames side by side takes the same graph from the cache.
    again = EngineBuilder(core, compile_command=FAIL).prepare(Mode(SIZE, "openvino", 2))
    assert np.abs(stylized(core, again, mixer) - expected).max() <= 2


@pytest.mark.parametrize("name", ["compile", "openvino"])
def test_a_process_that_fails_reports_its_last_line(core: FrameStylizer, name: Any) -> None:
    with pytest.raises(DeviceError, match=r"^the compiler crashed$"):
        EngineBuilder(core, compile_command=FAIL).prepare(Mode(SIZE, name))


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="only Linux has this priority")
@pytest.mark.parametrize("is_urgent", [True, False])
def test_what_nobody_waits_for_is_compiled_where_a_core_is_idle(is_urgent: bool) -> None:
    """In the session of the live video: that low priority counts within one session alone. Ctrl-C ends neither."""
    code = (
        f"import os, sys; sys.path[:] = {sys.path!a}; from pipeline.stylize.engine import compile_process as process\n"
        "is_group = os.getpgid(0) == os.getpid()\n"
        "def report(*_): raise RuntimeError(f'{os.sched_getscheduler(0)} {os.getsid(0)} {is_group}')\n"
        "process.compile_into_cache = report; raise SystemExit(process.main())"
    )
    spec: Any = None
    idle = rf"^{os.SCHED_IDLE} {os.getsid(0)} True$"
    urgent = rf"^{os.SCHED_OTHER} (?!{os.getsid(0)} )\d+ True$"
    with pytest.raises(DeviceError, match=urgent if is_urgent else idle):
        Compiler(("-c", code), is_urgent=is_urgent).compile("compile", spec)


def test_the_engine_that_is_asked_for_must_be_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.engines.capabilities, "available_engines", lambda device: ["compile", "eager"])
    assert fast_engines(CPU, "auto") == fast_engines(CPU, "compile") == ["compile"]
    assert fast_engines(CPU, "eager") == []
    with pytest.raises(DeviceError, match="the engine openvino is not available on cpu"):
        fast_engines(CPU, "openvino")
