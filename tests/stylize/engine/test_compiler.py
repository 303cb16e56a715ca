"""Engines that another process compiles: it reports why it failed, and ends with whoever waits for it."""

import errno
import io
import os
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from models.engines.aot import GRAPH, AotGraph
from models.engines.capabilities import can_compile
from models.engines.engine import EngineError, EngineSpec
from models.network import StyleNetwork
from pipeline.errors import DeviceError
from pipeline.stylize.engine import compile_process, compiler
from pipeline.stylize.engine.compiler import COMPILE_PROCESS, Compiler, build_engine, is_to_be_compiled
from pipeline.system.children import run_module
from tests.support.live import wait_for
from tests.support.tiny import TINY

CPU = torch.device("cpu")
FAIL = ("-c", "raise SystemExit('a warning\\nthe compiler crashed')")
HANG = ("-c", "import sys, time; sys.stdin.buffer.read(); time.sleep(60)")


@pytest.fixture
def spec(tmp_path: Path) -> EngineSpec:
    network = StyleNetwork(TINY)
    return EngineSpec(network=network, height=16, width=20, device=CPU, precision="fp32", cache=tmp_path)


def test_a_process_that_fails_reports_its_last_line(spec: EngineSpec) -> None:
    with pytest.raises(DeviceError, match=r"^the compiler crashed$"):
        Compiler(FAIL).compile("compile", spec)


def test_a_process_that_is_killed_reports_that(spec: EngineSpec) -> None:
    """Not its last line, which may be a warning about anything."""
    killed = ("-c", "import os, sys; print('No CUDA runtime is found', file=sys.stderr, flush=True); os.abort()")
    with pytest.raises(DeviceError, match=r"^the compiler ended with exit code -6$"):
        Compiler(killed).compile("compile", spec)
    with pytest.raises(DeviceError, match=r"^the compiler was killed, perhaps .* memory"):
        Compiler((killed[0], killed[1].replace("abort()", "kill(os.getpid(), 9)"))).compile("compile", spec)


def test_a_process_that_has_ended_is_not_killed(spec: EngineSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number may be that of another process by now: a clip takes hours, its engine half a minute."""
    monkeypatch.setattr(compiler, "kill_session", lambda process: pytest.fail("killed"))
    done = Compiler(("-c", "import sys; sys.stdin.buffer.read()"))
    done.compile("compile", spec)
    done.close()


def test_the_compile_process_reports_why_it_failed() -> None:
    command = [sys.executable, *run_module(COMPILE_PROCESS)]
    done = subprocess.run(command, input=b"not a pickle", capture_output=True, check=False, timeout=60)
    assert done.returncode == 1
    assert b"load key" in done.stderr.splitlines()[-1]
    assert b"Traceback" not in done.stderr


def test_a_cache_that_cannot_be_written_is_named_with_a_remedy(
    spec: EngineSpec, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "/cache/aot/unfinished-12")

    monkeypatch.setattr(compile_process, "compile_into_cache", fail)
    monkeypatch.setattr(compile_process, "_end_with", lambda parent: None)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(pickle.dumps(("compile", spec, True)))))
    assert compile_process.main() == 1
    assert capsys.readouterr().err.strip() == (
        "/cache/aot: Read-only file system; make room there, or set FLOWBRUSH_CACHE to another folder"
    )


def test_closing_ends_the_process(spec: EngineSpec) -> None:
    hanging, errors = Compiler(HANG), list[BaseException]()

    def wait() -> None:
        try:
            hanging.compile("compile", spec)
        except DeviceError as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.3)
    hanging.close()
    thread.join(20)
    wait_for(lambda: errors)
    with pytest.raises(DeviceError, match="has ended"):
        hanging.compile("compile", spec)


def test_an_interruption_ends_the_process(spec: EngineSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    start = compiler.start_python

    def start_and_interrupt(*arguments: str, **settings: Any) -> Any:
        child = start(*arguments, **settings)
        started.append(child)

        def interrupted(data: bytes) -> Any:
            raise KeyboardInterrupt

        monkeypatch.setattr(child, "communicate", interrupted)
        return child

    monkeypatch.setattr(compiler, "start_python", start_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        Compiler(HANG).compile("compile", spec)
    assert started[0].wait(20) != 0
    for pipe in (started[0].stdin, started[0].stderr):
        assert pipe is not None
        pipe.close()


# A process that starts the compile process, says its number, and ends as if it were killed.
PARENT = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, *sys.argv[1:]], stdin=subprocess.PIPE, start_new_session=True)
print(child.pid, flush=True)
os.set_inheritable(child.stdin.fileno(), True)
sys.stdin.readline()
os._exit(0)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs process groups")
def test_the_process_ends_with_whoever_started_it(tmp_path: Path) -> None:
    """Also one that is killed: nobody else would stop a compiler that runs for minutes."""
    module = run_module(COMPILE_PROCESS)
    busy = f"import pickle, time; pickle.load = lambda file: time.sleep(60); {module[1]}"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, module[0], busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(0.5)
    os.kill(child, 0)
    parent.communicate("end\n")
    wait_for(lambda: not _runs(child))


def _runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_what_cannot_be_loaded_is_compiled_again_by_another_process(
    spec: EngineSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by this one: frames may be stylized meanwhile, which tracing breaks."""
    if not can_compile(CPU):
        pytest.skip("no C++ compiler")
    folder = AotGraph(spec).folder
    (folder / GRAPH).parent.mkdir(parents=True)
    (folder / GRAPH).write_bytes(b"half a library")
    (folder / "sha256").write_text("0")
    compiled: list[bool] = []

    def compile_badly(self: Compiler, name: str, spec: EngineSpec) -> None:
        compiled.append(folder.exists())
        folder.mkdir()
        (folder / GRAPH).write_bytes(b"of a file system whose libraries are not loaded")

    monkeypatch.setattr(Compiler, "compile", compile_badly)
    monkeypatch.setattr(AotGraph, "compile", lambda self: pytest.fail("compiled in this process"))
    with pytest.raises(EngineError, match="cannot be loaded"):
        build_engine("compile", spec)
    assert compiled == [False]


def test_only_what_is_not_in_the_cache_is_compiled(spec: EngineSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    if not can_compile(CPU):
        pytest.skip("no C++ compiler")
    asked: list[tuple[str, bool]] = []

    def compile_nothing(self: Compiler, name: str, spec: EngineSpec) -> None:
        asked.append((name, self._is_urgent))
        raise DeviceError("no compiler today")

    monkeypatch.setattr(Compiler, "compile", compile_nothing)
    assert is_to_be_compiled("compile", spec)
    assert not is_to_be_compiled("eager", spec)
    build_engine("eager", spec)
    with pytest.raises(DeviceError, match="no compiler today"):
        build_engine("compile", spec)
    assert asked == [("compile", True)]
    monkeypatch.setattr("models.engines.aot.AotGraph.is_compiled", True)
    assert not is_to_be_compiled("compile", spec)
