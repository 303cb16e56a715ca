"""An engine that takes over once it is compiled: between two segments, recorded, and the same after an interruption."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import models.engines.build
import models.engines.capabilities
from models.engines.engine import EngineName, EngineSpec
from pipeline.errors import DeviceError
from pipeline.progress import Progress
from pipeline.resume.work_folder.manifest import read_manifest, work_dir_path
from pipeline.run import stylize_video
from pipeline.stylize.engine import engine_choice
from pipeline.stylize.engine.compiler import Compiler
from pipeline.stylize.stylizer import Stylizer
from tests.support.interrupted.resuming import FLOW, at_frame, config, edit_manifest, interrupt
from tests.support.media import contents

AUTO = replace(FLOW, engine="auto", stability="smooth")
EAGER = replace(AUTO, engine="eager")
COMPILED = replace(AUTO, engine="compile")


class FakeCompiler:
    """Stands for the process that compiles. The engine that it makes shows the negative of eager's frames.

    Attributes:
        ready: set to let it finish.
        error: why it fails; empty if it does not.
        calls: how often it was started.
    """

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.error = ""
        self.calls = 0
        self._build = models.engines.build.build_engine

    def compile(self, compiler: Compiler, name: str, spec: EngineSpec) -> None:
        self.calls += 1
        self.ready.wait(60)
        if self.error:
            raise DeviceError(self.error)

    def is_to_be_compiled(self, name: EngineName, spec: EngineSpec) -> bool:
        return name == "compile" and not (self.ready.is_set() and not self.error)

    def build(self, name: EngineName, spec: EngineSpec) -> Any:
        eager = self._build("eager", spec)
        if name == "eager":
            return eager

        def negative(*arguments: Any) -> Any:
            pixels, statistics = eager(*arguments)
            return 255 - pixels, statistics

        return negative


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeCompiler]:
    fake = FakeCompiler()
    monkeypatch.setenv("FLOWBRUSH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Compiler, "compile", lambda self, name, spec: fake.compile(self, name, spec))
    monkeypatch.setattr(Compiler, "close", lambda self: fake.ready.set())
    for module in ("compiler", "engine_choice", "successor"):
        monkeypatch.setattr(f"pipeline.stylize.engine.{module}.is_to_be_compiled", fake.is_to_be_compiled)
    monkeypatch.setattr(models.engines.build, "build_engine", fake.build)
    monkeypatch.setattr(models.engines.build, "code_of", lambda name, spec: f"code of {name}")
    monkeypatch.setattr(models.engines.capabilities, "available_engines", lambda device: ["compile", "eager"])
    for seconds in engine_choice.NEW_SECONDS.values():
        monkeypatch.setitem(seconds, "compile", 0.0)
    yield fake
    fake.ready.set()


def stylize(clip: Path, target: Path, **changes: Any) -> Any:
    return stylize_video(config(clip, target, **changes), **{})


def change_of(target: Path) -> int:
    """Return the frame at which the manifest says that the engine changed."""
    manifest = read_manifest(work_dir_path(str(target)))
    assert manifest is not None
    assert manifest.engine["engine"] == "eager"
    (change,) = manifest.changes
    assert change["engine"] == manifest.engine | {"engine": "compile", "code": "code of compile"}
    assert manifest.engine_at(change["frame"] - 1)["engine"] == "eager"
    return int(change["frame"])


def make_references(clip: Path, folder: Path, compiler: FakeCompiler) -> None:
    """Render the clip by each engine alone, into ``eager.mp4`` and ``compiled.mp4``."""
    compiler.ready.set()
    for name, engine in (("eager", EAGER), ("compiled", COMPILED)):
        stylize(clip, folder / f"{name}.mp4", stylize=engine)
    compiler.ready.clear()
    compiler.calls = 0


def negatives(target: Path, eager: Path, compiled: Path) -> list[bool]:
    """Return which frames the compiled engine stylized."""
    frames = [contents(path).planes for path in (target, eager, compiled)]
    distances = [
        tuple(np.abs(frame.astype(int) - other).mean() for other in others)
        for frame, *others in zip(*frames, strict=True)
    ]
    assert all(min(each) < max(each) / 4 for each in distances), "each frame is one or the other"
    return [to_compiled < to_eager for to_eager, to_compiled in distances]


def test_the_engine_changes_between_two_segments_and_a_resumed_render_repeats_it(
    tmp_path: Path, clip: Path, compiler: FakeCompiler
) -> None:
    make_references(clip, tmp_path, compiler)
    target = tmp_path / "out.mp4"

    def progress(state: Progress) -> None:
        if state.frames == 3:
            compiler.ready.set()
        if state.frames == 39:
            interrupt()

    with pytest.raises(KeyboardInterrupt):
        stylize_video(config(clip, target, stylize=AUTO), progress=progress)
    assert compiler.calls == 1
    frame = change_of(target)
    assert frame in (8, 16, 24)
    summary = stylize_video(config(clip, target, stylize=AUTO))
    assert (summary.frames, summary.frames_reused, summary.engine) == (40, 32, "compile")
    assert negatives(target, tmp_path / "eager.mp4", tmp_path / "compiled.mp4") == [n >= frame for n in range(40)]


def test_a_render_that_ends_before_the_engine_is_ready_goes_on_with_the_other_one_and_changes_later(
    tmp_path: Path, clip: Path, compiler: FakeCompiler
) -> None:
    make_references(clip, tmp_path, compiler)
    target = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        stylize_video(config(clip, target, stylize=AUTO), progress=at_frame(12, interrupt))
    manifest = read_manifest(work_dir_path(str(target)))
    assert manifest is not None
    assert (manifest.engine["engine"], manifest.changes) == ("eager", [])
    assert compiler.ready.is_set(), "the compiler is closed with the render; here, it is ready then"
    summary = stylize_video(config(clip, target, stylize=AUTO))
    assert (summary.frames_reused, summary.engine) == (8, "compile")
    assert negatives(target, tmp_path / "eager.mp4", tmp_path / "compiled.mp4") == [n >= 16 for n in range(40)]


def test_the_engine_that_took_over_stays_however_few_frames_are_left(
    tmp_path: Path, clip: Path, compiler: FakeCompiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one would finish sooner, had this one still to be chosen: its code is gone from the cache."""
    make_references(clip, tmp_path, compiler)
    target = tmp_path / "out.mp4"
    compiler.ready.set()
    with pytest.raises(KeyboardInterrupt):
        stylize_video(config(clip, target, stylize=AUTO), progress=at_frame(12, interrupt))
    manifest = read_manifest(work_dir_path(str(target)))
    assert manifest is not None
    assert (manifest.engine["engine"], manifest.frames) == ("compile", 8)
    monkeypatch.setitem(engine_choice.CACHED_SECONDS, "compile", 1000.0)
    assert stylize_video(config(clip, target, stylize=AUTO)).engine == "compile"
    assert negatives(target, tmp_path / "eager.mp4", tmp_path / "compiled.mp4") == [True] * 40


def test_without_the_engine_that_took_over_the_render_is_refused(
    tmp_path: Path, clip: Path, compiler: FakeCompiler
) -> None:
    target = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        stylize_video(
            config(clip, target, stylize=AUTO),
            progress=lambda state: (
                compiler.ready.set() if state.frames == 3 else interrupt() if state.frames == 39 else None
            ),
        )
    change_of(target)

    def removed(config: Any, **clip: Any) -> Stylizer:
        if config.engine == "compile":
            raise DeviceError("it was removed")
        return Stylizer(config, **clip)

    with pytest.raises(DeviceError, match=r"compile .*it was removed.*--fresh"):
        stylize_video(config(clip, target, stylize=AUTO), make=removed)
    edit_manifest(target, lambda data: data["changes"][0].update(frame=36))
    with pytest.raises(DeviceError, match=r"took over .*--fresh"):
        stylize_video(config(clip, target, stylize=AUTO))


def test_an_engine_that_cannot_be_compiled_does_not_take_over(
    tmp_path: Path, clip: Path, compiler: FakeCompiler
) -> None:
    compiler.error = "the compiler crashed"
    compiler.ready.set()
    lines: list[str] = []
    summary = stylize_video(config(clip, tmp_path / "out.mp4", stylize=AUTO), notify=lines.append)
    assert (summary.frames, summary.engine) == (40, "eager")
    assert sum("the compiler crashed" in line and "continuing with eager" in line for line in lines) == 1


def test_only_auto_changes_the_engine(tmp_path: Path, clip: Path, compiler: FakeCompiler) -> None:
    assert stylize(clip, tmp_path / "out.mp4", stylize=EAGER).engine == "eager"
    assert stylize(clip, tmp_path / "pass.mp4", stylize=EAGER, in_segments=False).engine == "eager"
    assert compiler.calls == 0
