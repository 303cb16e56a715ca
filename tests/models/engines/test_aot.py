"""Graphs compiled ahead of time: stored once, found again by all that they depend on, equal to eager."""

import os
import pickle
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from models.engines.aot import GRAPH, AotGraph
from models.engines.build import build_engine
from models.engines.cache import store
from models.engines.capabilities import can_compile
from models.engines.engine import Engine, EngineError, EngineSpec
from models.frame_graph import zero_statistics
from models.network import Style, StyleNetwork
from tests.support.media import moving_square
from tests.support.networks.compiling import shared_precompiled_headers
from tests.support.tiny import TINY

CPU = torch.device("cpu")
ROOT = Path(__file__).resolve().parents[3]

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning"),  # of torch 2.11's own code
]


@pytest.fixture
def spec(tmp_path: Path) -> EngineSpec:
    torch.manual_seed(1)
    network = StyleNetwork(TINY)
    return EngineSpec(network=network, height=48, width=64, device=CPU, precision="fp32", cache=tmp_path)


def stylized(engine: Engine, style: Style) -> tuple[torch.Tensor, torch.Tensor]:
    controls = (torch.tensor(value) for value in (0.0, 1.0, 0.0))
    pixels, used = engine(torch.from_numpy(moving_square(3)), style, zero_statistics(StyleNetwork(TINY)), *controls)
    return pixels.int(), used


def test_a_folder_is_stored_beside_other_processes_that_store_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "graphs" / "key"
    target.mkdir(parents=True)
    (target / "rest").write_text("[]")  # left over from an interrupted deletion
    store(target, GRAPH, lambda folder: (folder / GRAPH).write_bytes(b"graph"))
    assert (target / GRAPH).read_bytes() == b"graph"
    assert not (target / "rest").exists()

    def slower(folder: Path) -> None:
        (folder / GRAPH).write_bytes(b"mine")
        store(target, GRAPH, lambda other: (other / GRAPH).write_bytes(b"of another process"))

    target = tmp_path / "graphs" / "other"
    store(target, GRAPH, slower)
    assert (target / GRAPH).read_bytes() == b"of another process"
    assert {path.name for path in target.parent.iterdir()} == {"key", "other"}


def test_a_folder_that_cannot_be_filled_is_not_stored(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "rest").write_text("[]")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        store(tmp_path / "graphs" / "key", GRAPH, fail)
    assert not list((tmp_path / "graphs").iterdir())


def test_what_a_killed_process_left_is_deleted_a_day_later(tmp_path: Path) -> None:
    """Nothing else would: a render that ends before its engine is compiled kills the compiler, each time."""

    def write(folder: Path) -> None:
        (folder / GRAPH).write_bytes(b"graph")
        if folder.parent.parent.name == "graphs":
            shutil.copytree(folder.parent, tmp_path / "killed" / folder.parent.name)

    graphs = tmp_path / "graphs"
    store(graphs / "key", GRAPH, write)
    (left,) = (tmp_path / "killed").iterdir()
    new, old = (shutil.copytree(left, graphs / f"{left.name}{name}") for name in ("new", "old"))
    for path in (old, graphs / "key"):
        os.utime(path, (0, time.time() - 25 * 3600))
    store(graphs / "other", GRAPH, lambda folder: (folder / GRAPH).write_bytes(b"graph"))
    assert {path.name for path in graphs.iterdir()} == {"key", "other", new.name}


@pytest.mark.slow
@pytest.mark.skipif(not can_compile(CPU), reason="no C++ compiler")
def test_a_graph_compiled_ahead_of_time_agrees_with_eager(
    spec: EngineSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    graph = AotGraph(spec)
    assert not graph.is_compiled
    with shared_precompiled_headers(tmp_path):
        graph.compile()
    assert graph.is_compiled
    with monkeypatch.context() as patched:
        patched.setattr(torch.export, "export", None)  # loading must not trace
        loaded = AotGraph(spec).load()
    eager = build_engine("eager", spec)
    styles = [spec.network.initial_style() for _ in range(2)]
    for style in styles:
        (pixels, used), (expected, statistics) = (stylized(engine, style) for engine in (loaded, eager))
        assert (pixels - expected).abs().max() <= 1
        torch.testing.assert_close(used, statistics, rtol=1e-4, atol=1e-4)
    assert not torch.equal(*(stylized(loaded, style)[0] for style in styles)), "the style is an argument"
    check_layouts(loaded, styles[0])
    check_threads(replace(spec, workers=2), styles[0])
    check_imports(spec)
    check_damage(spec)


def check_layouts(engine: Engine, style: Style) -> None:
    """What is laid out otherwise in memory is the same frame; what has another size or type is refused."""
    pixels = torch.from_numpy(moving_square(3))
    flipped = pixels.flip(1).contiguous()
    controls = (zero_statistics(StyleNetwork(TINY)), *(torch.tensor(value) for value in (0.0, 1.0, 0.0)))
    expected = engine(pixels, style, *controls)[0]
    assert torch.equal(engine(flipped.flip(1), style, *controls)[0], expected)
    assert torch.equal(engine(pixels.permute(1, 0, 2).contiguous().permute(1, 0, 2), style, *controls)[0], expected)
    for other in (pixels[1:], pixels.float()):
        with pytest.raises(ValueError, match="the graph takes"):
            engine(other, style, *controls)


def check_threads(spec: EngineSpec, style: Style) -> None:
    """Frames that are stylized at once are those that are stylized one after another."""
    engine = AotGraph(spec).load()
    expected = stylized(engine, style)[0]
    with ThreadPoolExecutor(2) as pool:
        assert all(torch.equal(pixels, expected) for pixels, _ in pool.map(lambda _: stylized(engine, style), range(8)))


def check_imports(spec: EngineSpec) -> None:
    """Loading imports nothing of the compiler, which takes longer than everything else at the start."""
    code = """
import pickle, sys
from models.engines.aot import AotGraph
AotGraph(pickle.load(sys.stdin.buffer)).load()
compilers = {"torch._dynamo", "torch._inductor.compile_fx", "sympy", "torchvision"}
print(*compilers & sys.modules.keys())
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, input=pickle.dumps(spec), capture_output=True, check=False, timeout=60, cwd=ROOT)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, [], b"")


def check_damage(spec: EngineSpec) -> None:
    """A library of which the disk has lost a page is not loaded: it would end the process."""
    graph = AotGraph(spec)
    content = (graph.folder / GRAPH).read_bytes()
    (graph.folder / GRAPH).unlink()  # this process still runs what is in it
    (graph.folder / GRAPH).write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    with pytest.raises(EngineError, match="damaged"):
        graph.load()


@pytest.mark.parametrize(
    "change",
    [
        {"height": 52},
        {"width": 68},
        {"precision": "bf16"},
        {"stroke_size": 2.0},
        {"threads": 2},
        {"is_16_bit": True},
        {"network": StyleNetwork(replace(TINY, blocks=2))},
        {"cache": Path("other")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_all_that_compiled_code_depends_on_changes_the_folder(spec: EngineSpec, change: dict[str, Any]) -> None:
    assert AotGraph(replace(spec, **change)).folder != AotGraph(spec).folder


def test_a_missing_or_damaged_graph_cannot_be_loaded(spec: EngineSpec) -> None:
    graph = AotGraph(spec)
    with pytest.raises(EngineError, match="64x48"):
        graph.load()
    graph.folder.mkdir(parents=True)
    (graph.folder / GRAPH).write_bytes(b"nonsense")
    with pytest.raises(EngineError, match="64x48"):
        graph.load()
    graph.delete()
    assert not graph.is_compiled
