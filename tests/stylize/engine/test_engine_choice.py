"""``--engine auto``: compiling only if the clip is long enough, or if the code is in the cache."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import models.engines.build
import models.engines.capabilities
from models.engines.aot import GRAPH, AotGraph
from models.engines.engine import EngineName, EngineSpec
from models.network import StyleNetwork
from pipeline.stylize.engine import engine_choice
from pipeline.stylize.engine.engine_cache import EngineCache
from pipeline.stylize.engine.engine_choice import soonest_first
from pipeline.stylize.stylizer import Stylizer
from tests.support.live import PLAIN
from tests.support.tiny import TINY

CPU = torch.device("cpu")
NAMES: tuple[EngineName, ...] = ("compile", "openvino", "eager")


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineSpec:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2026.1")
    network = StyleNetwork(TINY)
    return EngineSpec(network=network, height=360, width=640, device=CPU, precision="bf16", cache=tmp_path)


def order(spec: EngineSpec, frame_count: int | None, cores: int = 2) -> list[str]:
    return [name for name, _ in soonest_first([(name, spec) for name in NAMES], frame_count, cores)]


def test_a_short_clip_does_not_wait_for_a_compiler(spec: EngineSpec) -> None:
    assert order(spec, 90)[0] == "eager"
    assert order(spec, 30 * 60 * 2)[0] == "compile"
    assert order(replace(spec, height=2160, width=3840), 90)[0] == "compile", "three seconds of 4K take a minute"
    assert order(spec, 30 * 60 * 2, cores=64)[0] == "eager", "the compiler uses one of them"


@pytest.mark.parametrize(("is_native", "expected"), [(True, "compile"), (False, "eager")])
def test_our_own_code_pays_sooner_as_it_is_faster_and_compiled_sooner(
    spec: EngineSpec, monkeypatch: pytest.MonkeyPatch, is_native: bool, expected: str
) -> None:
    monkeypatch.setattr("models.engines.native.supports", lambda spec: is_native)
    assert order(spec, 150)[0] == "eager"
    assert order(spec, 250)[0] == expected
    monkeypatch.setitem(engine_choice.NEW_SECONDS["torch"], "compile", 5.0)
    assert order(spec, 250)[0] == expected, "compiled as soon, torch's is slower"


def test_a_clip_of_unknown_length_is_taken_for_a_long_one(spec: EngineSpec) -> None:
    assert order(spec, None) == list(NAMES)


def test_what_is_in_the_cache_is_used_for_one_frame(spec: EngineSpec) -> None:
    folder = AotGraph(spec).folder
    folder.mkdir(parents=True)
    (folder / GRAPH).touch()
    assert order(spec, 1) == ["compile", "eager", "openvino"]
    assert order(replace(spec, width=320), 1)[0] == "eager", "another size is not"


def test_openvino_that_is_converted_starts_soon(spec: EngineSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    assert order(spec, 800).index("openvino") > order(spec, 800).index("eager")
    monkeypatch.setattr("models.engines.openvino.is_converted", lambda spec: True)
    assert order(spec, 800)[0] == "openvino"
    assert order(spec, 10)[0] == "eager"


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Names of the engines that are built; all are eager."""
    names: list[str] = []
    build = models.engines.build.build_engine

    def count(name: EngineName, spec: EngineSpec) -> Any:
        names.append(name)
        return build("eager", spec)

    monkeypatch.setenv("FLOWBRUSH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(models.engines.build, "build_engine", count)
    monkeypatch.setattr(models.engines.capabilities, "available_engines", lambda device: ["compile", "eager"])
    monkeypatch.setattr("pipeline.stylize.engine.compiler.compile_elsewhere", lambda name, spec: None)
    monkeypatch.setattr("pipeline.stylize.engine.engine_cache.compile_elsewhere", lambda name, spec: None)
    return names


@pytest.mark.parametrize(("frame_count", "name"), [(24, "eager"), (10**7, "compile"), (None, "compile")])
def test_a_stylizer_knows_the_length_of_its_clip(built: list[str], frame_count: int | None, name: str) -> None:
    lines: list[str] = []
    automatic = replace(PLAIN, engine="auto")
    stylizer = Stylizer(automatic, height=16, width=16, frame_count=frame_count, notify=lines.append)
    assert (stylizer.engine, built, lines) == (name, [name], [])
    assert Stylizer(replace(PLAIN, engine="compile"), height=16, width=16, frame_count=1).engine == "compile"


@pytest.mark.parametrize(("count", "name"), [(24, "eager"), (10**7, "compile"), (None, "compile")])
def test_in_a_batch_all_clips_of_a_size_count(built: list[str], count: int | None, name: str) -> None:
    asked: list[tuple[int, int, bool]] = []

    def count_frames(*size: Any) -> int | None:
        asked.append(size)
        return count

    cache = EngineCache(count_frames)
    stylizer = cache.stylizer(replace(PLAIN, engine="auto"), height=16, width=20, frame_count=5)
    assert (stylizer.engine, built, asked) == (name, [name], [(16, 20, False)])
