"""Processes that we start import nothing from the working folder."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import cli
from models.engines.build import build_engine
from models.engines.engine import Engine, EngineName, EngineSpec
from pipeline.errors import DeviceError
from pipeline.live.sinks import stream_process, window_process
from pipeline.live.sinks.script_process import ScriptProcess
from pipeline.live.stylize.style_mixer import load_style_mixer
from pipeline.stylize.engine.compiler import Compiler
from pipeline.stylize.frame_stylizer import FrameStylizer
from pipeline.stylize.stylizer import Stylizer
from tests.support.live import PLAIN
from tests.support.planted import PlantedModules

ROOT = Path(__file__).resolve().parents[2]
# What torch's compiler does to find out which instructions the processor has.
PROBE = [sys.executable, "-c", "import json"]
# A script of a user, as it stands outside the folder of the clips.
WORKERS = """
import sys

if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    from pipeline.workers.local_pool import LocalPool

    pool = LocalPool(1, "cpu")
    print(repr(pool.submit(None).exception(60)))
    pool.close()
"""


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PlantedModules:
    """The working folder, with modules of somebody else."""
    (tmp_path / "clips").mkdir()
    monkeypatch.chdir(tmp_path / "clips")
    return PlantedModules(tmp_path / "clips")


def test_workers_import_nothing_from_the_working_folder(tmp_path: Path, planted: PlantedModules) -> None:
    script = tmp_path / "script.py"
    script.write_text(WORKERS)
    done = subprocess.run([sys.executable, str(script), str(ROOT)], capture_output=True, text=True, timeout=60)
    assert planted.imported == []
    assert "AttributeError" in done.stdout, done.stderr  # None is no job


def test_the_compile_process_imports_nothing_from_the_working_folder(planted: PlantedModules) -> None:
    core = FrameStylizer(load_style_mixer(["great-wave"]).network, PLAIN, print)
    with pytest.raises(DeviceError, match="no-such-engine"):
        Compiler().compile("no-such-engine", core.spec(48, 64))  # type: ignore[arg-type]
    assert planted.imported == []


@pytest.mark.parametrize("script", [stream_process, window_process], ids=["stream", "window"])
def test_scripts_import_nothing_from_the_working_folder(script: object, planted: PlantedModules) -> None:
    process = ScriptProcess(str(script.__file__), on_message=lambda message: None)  # type: ignore[attr-defined]
    process.close(60)
    assert planted.imported == []


def test_a_compiler_in_this_process_starts_nothing_from_the_working_folder(
    planted: PlantedModules, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)

    def build(name: EngineName, spec: EngineSpec) -> Engine:
        subprocess.run(PROBE, check=True)
        return build_engine(name, spec)

    Stylizer(PLAIN, height=48, width=64, build=build)
    assert planted.imported == []
    assert "PYTHONSAFEPATH" not in os.environ  # a program that uses the library may start its own scripts


def test_no_process_of_the_command_imports_from_the_working_folder(
    planted: PlantedModules, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    monkeypatch.setattr(sys, "argv", ["flowbrush", "--version"])
    with pytest.raises(SystemExit):
        cli.main()
    subprocess.run(PROBE, check=True)
    assert planted.imported == []


STARTS = {"subprocess", "multiprocessing", "pty", "concurrent.futures.process", "asyncio.subprocess"}
# They only name types and catch errors of processes that `children` starts; but `native` runs the C++ compiler, which
# imports nothing, in the process that compiles, and may not know of `pipeline`.
EXCEPTIONS = {
    "models/engines/capabilities.py",
    "models/engines/native.py",
    "pipeline/live/sinks/script_process.py",
    "pipeline/stylize/engine/compiler.py",
    "pipeline/workers/local_pool.py",
    "pipeline/workers/worker_process.py",
}


def test_one_module_starts_processes() -> None:
    modules = [ROOT / "cli.py", *(ROOT / "pipeline").rglob("*.py"), *(ROOT / "models").rglob("*.py")]
    starting = set()
    for module in modules:
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Import):
                names = {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names = {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                is_start = node.attr.startswith(("exec", "spawn", "posix_spawn", "fork", "popen", "system"))
                names = {"subprocess"} if node.value.id == "os" and is_start else set()
            else:
                continue
            if any(name == start or name.startswith(f"{start}.") for name in names for start in STARTS):
                starting.add(module.relative_to(ROOT).as_posix())
    assert starting == {"pipeline/system/children.py", *EXCEPTIONS}
