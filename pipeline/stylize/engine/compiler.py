"""Compiles engines in another process: tracing holds Python's lock for seconds, and breaks a network that runs then.

This process then loads the result from the cache, see `models.engines.aot`. It never imports the compiler.
"""

import pickle
import signal
import subprocess
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.errors import DeviceError
from pipeline.system.children import kill_session, run_module, start_python

if TYPE_CHECKING:
    from models.engines.aot import AotGraph
    from models.engines.engine import Engine, EngineName, EngineSpec
    from models.engines.native import NativeGraph

COMPILE_PROCESS = "pipeline.stylize.engine.compile_process"


class Compiler:
    """Compiles one engine at a time into the cache.

    Args:
        command: arguments of Python that run `COMPILE_PROCESS`; by default that module itself.
        is_urgent: whether somebody waits for it; otherwise the process has the lowest priority.
    """

    def __init__(self, command: Sequence[str] | None = None, *, is_urgent: bool = False) -> None:
        self._command = command or run_module(COMPILE_PROCESS)
        self._is_urgent = is_urgent
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._closed = False

    def compile(self, name: "EngineName", spec: "EngineSpec") -> None:
        """Compile the engine ``name``; takes up to a minute, in any thread.

        Raises:
            DeviceError: the other process failed, or the compiler is closed.
            OSError: the system cannot start another process.
        """
        with self._lock:
            if self._closed:
                raise DeviceError("the session has ended")
            # Ctrl-C ends what waits for it, which then ends this process.
            self._child = child = start_python(
                *self._command,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                own_session=self._is_urgent,
                own_group=not self._is_urgent,
            )
        try:
            _, output = child.communicate(pickle.dumps((name, spec, self._is_urgent)))
        except BaseException:
            kill_session(child)
            raise
        finally:
            with self._lock:
                self._child = None  # another process may get its number
        if child.returncode:
            raise DeviceError(_failure(child.returncode, output.decode(errors="replace")))

    def close(self) -> None:
        """End the other process; `compile` fails from now on."""
        with self._lock:
            self._closed = True
            if self._child is not None:
                kill_session(self._child)


def _failure(code: int, output: str) -> str:
    """Return why the other process failed: its last line, unless something has ended it."""
    if code == -signal.SIGKILL:
        return "the compiler was killed, perhaps as the memory is too small"
    lines = output.strip().splitlines()
    return lines[-1] if lines and code > 0 else f"the compiler ended with exit code {code}"


def is_to_be_compiled(name: "EngineName", spec: "EngineSpec") -> bool:
    """Return whether the engine ``name`` takes seconds to build, as its code is not in the cache of ``spec``."""
    from models.engines.compile import compiled_graph

    return _is_ahead_of_time(name, spec) and not compiled_graph(spec).is_compiled


def _is_ahead_of_time(name: "EngineName", spec: "EngineSpec") -> bool:
    return name == "compile" and spec.device.type == "cpu" and spec.cache is not None


def build_engine(name: "EngineName", spec: "EngineSpec") -> "Engine":
    """Build an engine as `models.engines.build.build_engine` does, but compile in another process.

    Raises:
        DeviceError: the other process failed.
        EngineError: the engine is not available on this machine, or does not support what ``spec`` asks for.
    """
    from models.engines import build
    from models.engines.canvas import on_canvas
    from models.engines.compile import compiled_graph

    build.require_support(name, spec)
    compile_elsewhere(name, spec)
    if _is_ahead_of_time(name, spec) and (graph := compiled_graph(spec)).is_compiled:
        return on_canvas(_load(graph), spec)
    return build.build_engine(name, spec)


def _load(graph: "AotGraph | NativeGraph") -> "Engine":
    """Load a graph from the cache; if it is damaged, or another machine's, it is compiled again, and elsewhere.

    Frames may be stylized meanwhile, see `pipeline.stylize.engine.successor`.
    """
    from models.engines.engine import EngineError

    try:
        return graph.load()
    except EngineError:
        graph.delete()
    compile_elsewhere("compile", graph.spec)
    return graph.load()


def compile_elsewhere(name: "EngineName", spec: "EngineSpec") -> None:
    """Compile the engine ``name`` in another process, and wait for it; return at once if that need not be.

    Raises:
        DeviceError: the other process failed.
        EngineError: there is no compiler.
    """
    from models.engines.capabilities import require_compiler

    if is_to_be_compiled(name, spec):
        require_compiler(spec.device)
        Compiler(is_urgent=True).compile(name, spec)
