"""Graphs compiled ahead of time: stored once, found again by all that they depend on, equal to eager."""

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
from tests.support.tiny import TINY

CPU = torch.device("cpu")

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


@pytest.mark.slow
@pytest.mark.skipif(not can_compile(CPU), reason="no C++ compiler")
def test_a_graph_compiled_ahead_of_time_agrees_with_eager(spec: EngineSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    graph = AotGraph(spec)
    assert not graph.is_compiled
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


@pytest.mark.parametrize(
    "change",
    [
        {"height": 52},
        {"width": 68},
        {"precision": "bf16"},
        {"stroke_size": 2.0},
        {"threads": 2},
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
