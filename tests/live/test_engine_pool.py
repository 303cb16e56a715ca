import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from models.engines.capabilities import can_compile
from models.frame_graph import zero_statistics
from pipeline.errors import DeviceError
from pipeline.live import compile_process as compiling
from pipeline.live import engine_pool as engines
from pipeline.live.engine_pool import EnginePool, Place
from pipeline.live.style_mixer import StyleMixer, load_style_mixer
from tests.support.media import moving_square

CPU = torch.device("cpu")
SIZE = (48, 64)
NEEDS_COMPILER = pytest.mark.skipif(not can_compile(CPU), reason="no C++ compiler")

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning"),  # torch 2.11 says so of itself
]


@pytest.fixture
def mixer() -> StyleMixer:
    return load_style_mixer(["great-wave", "the-scream"])


def place(folder: Path, **changes: Any) -> Place:
    return replace(Place(CPU, "fp32", folder, threads=1), **changes)


def stylized(engine: Any, mixer: StyleMixer, *, share: float = 0.0, strength: float = 1.0) -> tuple[Any, Any]:
    pixels = torch.from_numpy(moving_square(3))
    values = (torch.tensor(value) for value in (0.0, strength, 0.0, share))
    picture, used = engine(pixels, mixer.styles[0], zero_statistics(mixer.network), *values)
    return picture.numpy().astype(int), used


def test_an_order_survives_the_command_line() -> None:
    order = compiling.Order(("a", "b#c"), "compile", 48, 64, "cpu", "bf16", "/some/folder", 1.5, 2)
    assert compiling.read_order(order.to_json()) == order


def test_the_process_says_why_it_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setattr("os.nice", lambda by: 0)
    monkeypatch.setattr("os.sched_setscheduler", lambda *_: None, raising=False)
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "1")
    order = compiling.Order(("no-such",), "compile", 48, 64, "cpu", "fp32", str(tmp_path), 1.0, 1)
    assert compiling.main([order.to_json()]) == 1
    assert "no style is named 'no-such'" in capsys.readouterr().err.strip().splitlines()[-1]


def in_no_hurry_but_not_last(command: list[str], **options: Any) -> "subprocess.Popen[bytes]":
    """`subprocess.Popen` of the compiling process at ordinary priority: on a busy machine the lowest takes minutes."""
    code = "import os, sys; os.nice = int; from pipeline.live.compile_process import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.Popen([sys.executable, "-c", code, command[-1]], **options)


@pytest.mark.slow
@pytest.mark.timeout(400)
@NEEDS_COMPILER
def test_a_fast_engine_comes_while_the_slow_one_paints(
    tmp_path: Path, mixer: StyleMixer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    names = {"Popen": in_no_hurry_but_not_last, "DEVNULL": subprocess.DEVNULL, "PIPE": subprocess.PIPE}
    monkeypatch.setattr(engines, "subprocess", SimpleNamespace(**names))  # torch has other uses for the real one
    lines: list[str] = []
    kept = EnginePool(mixer, place(tmp_path), "compile", lines.append)
    kind, slow = kept.get(SIZE)
    assert kind == "eager"
    assert kept.can_be_faster(SIZE)
    kept.prepare(SIZE)
    wanted, _ = stylized(slow, mixer)
    end = time.monotonic() + 300
    while SIZE not in kept.ready:
        assert time.monotonic() < end
        assert not lines
        assert np.array_equal(stylized(kept.get(SIZE)[1], mixer)[0], wanted)
        time.sleep(0.05)
    kind, fast = kept.get(SIZE)
    assert kind == "compile"
    assert np.abs(stylized(fast, mixer)[0] - wanted).max() <= 1
    assert not lines
    kept.close()
    # The second time nothing is compiled any more.
    monkeypatch.setattr(engines, "subprocess", None)
    again = EnginePool(mixer, place(tmp_path), "auto", lines.append)
    again.prepare(SIZE)
    assert again._worker is not None
    again._worker.join(60)
    assert again.get(SIZE)[0] == "compile"
    again.close()


@pytest.mark.slow
def test_openvino_is_prepared_elsewhere_too(tmp_path: Path, mixer: StyleMixer) -> None:
    pytest.importorskip("openvino")
    kept = EnginePool(mixer, place(tmp_path), "openvino", print)
    wanted, _ = stylized(kept.get(SIZE)[1], mixer)
    kept.prepare(SIZE)
    assert kept._worker is not None
    kept._worker.join(120)
    kind, engine = kept.get(SIZE)
    assert kind == "openvino"
    assert np.abs(stylized(engine, mixer)[0] - wanted).max() <= 2
    kept.close()


def test_what_cannot_be_had_is_said_once_and_the_next_is_tried(
    tmp_path: Path, mixer: StyleMixer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def fail(self: EnginePool, kind: str, size: object) -> None:
        tried.append(kind)
        raise RuntimeError(f"{kind} is broken\nin many lines")

    monkeypatch.setattr(EnginePool, "_prepare", fail)
    monkeypatch.setattr(
        "models.engines.capabilities.available_engines", lambda device: ["compile", "openvino", "eager"]
    )
    lines: list[str] = []
    kept = EnginePool(mixer, place(tmp_path), "auto", lines.append)
    for size in (SIZE, SIZE, (64, 64)):
        kept.prepare(size)
        if kept._worker is not None:
            kept._worker.join(20)
    assert tried == ["compile", "openvino"]
    assert lines == [
        "the engine compile cannot be had (compile is broken); going on with openvino",
        "the engine openvino cannot be had (openvino is broken); going on with eager",
    ]
    assert kept.get(SIZE)[0] == "eager"
    assert not kept.can_be_faster((64, 64))


def test_a_size_that_is_forgotten_gets_no_engine_any_more(
    tmp_path: Path, mixer: StyleMixer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even the one that was being prepared meanwhile."""
    begun, go_on = threading.Event(), threading.Event()

    def prepare(*_: object) -> object:
        begun.set()
        go_on.wait(20)
        return object()

    monkeypatch.setattr(EnginePool, "_prepare", prepare)
    monkeypatch.setattr(EnginePool, "_warm_up", lambda *_: None)
    monkeypatch.setattr("models.engines.capabilities.available_engines", lambda device: ["openvino", "eager"])
    kept = EnginePool(mixer, place(tmp_path), "auto", print)
    kept.get(SIZE)
    kept.prepare(SIZE)
    assert begun.wait(20)
    kept.forget(SIZE)
    go_on.set()
    kept.close()
    assert not kept._slow
    assert not kept.ready
    assert not kept.can_be_faster(SIZE)


def test_an_engine_that_is_not_there_is_refused(
    tmp_path: Path, mixer: StyleMixer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.engines.capabilities.available_engines", lambda device: ["eager"])
    with pytest.raises(DeviceError, match="the engine openvino is not to be had on cpu"):
        EnginePool(mixer, place(tmp_path), "openvino", print)
    kept = EnginePool(mixer, place(tmp_path), "eager", print)
    kept.prepare(SIZE)
    assert kept._worker is None


def test_closing_ends_the_process(tmp_path: Path, mixer: StyleMixer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.engines.capabilities.available_engines", lambda device: ["openvino", "eager"])
    lines: list[str] = []
    kept = EnginePool(mixer, place(tmp_path), "auto", lines.append)
    kept.prepare(SIZE)
    end = time.monotonic() + 20
    while kept._child is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    kept.close()
    assert kept._child.returncode != 0
    assert not any(thread.name == "prepare" for thread in threading.enumerate())
    assert not lines
    kept.prepare(SIZE)
    assert not any(thread.name == "prepare" for thread in threading.enumerate())
