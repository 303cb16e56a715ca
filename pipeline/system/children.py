"""The processes that we start. None imports code from the working folder, which may be somebody else's.

Python looks for modules in the working folder first for ``-c`` and ``-m``, and in a script's own folder for a script;
``-P`` and the variable PYTHONSAFEPATH turn off both. PYTHONPATH is the user's, and stays as it is.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from typing import IO, Any

from pipeline.system.process import SAFE_PATH, safe_path

_ROOT = str(Path(__file__).resolve().parents[2])


def start_python(
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    stderr: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.PIPE,
    bufsize: int = -1,
    own_session: bool = False,
    own_group: bool = False,
) -> "subprocess.Popen[bytes]":
    """Start another Python with a pipe to its standard input.

    Args:
        arguments: as on Python's command line: a script or ``-c CODE``, and its arguments.
        environment: variables to add.
        stderr: as for `subprocess.Popen`.
        stdout: as for `subprocess.Popen`.
        bufsize: as for `subprocess.Popen`.
        own_session: whether Ctrl-C in the terminal does not reach it, and `kill_session` ends it with its children.
        own_group: the same, but it stays in this session. Linux shares the cores between sessions first (autogroup), so
            only there does a low priority leave them to this process.

    Raises:
        OSError: the system cannot start another process.
    """
    return subprocess.Popen(  # noqa: S603 - only Python itself, without a shell
        [sys.executable, "-P", *arguments],
        env={**os.environ, SAFE_PATH: "1", **(environment or {})},
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=stderr,
        bufsize=bufsize,
        start_new_session=own_session and os.name == "posix",
        process_group=0 if own_group and os.name == "posix" else None,
    )


def run_module(name: str) -> tuple[str, ...]:
    """Return arguments for `start_python` that run the module ``name``, which is found where this process finds it."""
    path = [entry for entry in sys.path if entry]  # an empty one is the working folder
    if _ROOT not in path:
        path.append(_ROOT)
    code = f"import runpy, sys; sys.path[:] = {path!a}; runpy.run_module({name!a}, None, '__main__', True)"
    return "-c", code


def kill_session(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process that has a session or group of its own, and its children there; one that has ended is no error."""
    with contextlib.suppress(OSError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


class _WorkerProcess(SpawnProcess):
    """A process that starts with Ctrl-C blocked, until it can ignore it: Ctrl-C reaches all processes of a terminal."""

    def start(self) -> None:
        with safe_path:
            if not hasattr(signal, "pthread_sigmask"):  # Windows
                super().start()
                return
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                super().start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)


class WorkerContext(SpawnContext):
    """Makes the process of an executor, and keeps its handle: `ProcessPoolExecutor` itself cannot kill (before 3.14).

    Spawn, since a fork would copy locks that other threads hold. Make the executor within `safe_path`: it starts
    multiprocessing's resource tracker, which is a Python too.

    Attributes:
        process: the process, None before it is made.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self.process: SpawnProcess | None = None

    def Process(self, *args: Any, **settings: Any) -> SpawnProcess:  # type: ignore[override]
        """Make the process; called by the executor with the arguments of `SpawnProcess`."""
        self.process = _WorkerProcess(*args, **settings)
        self.process.name, self.process.daemon = self._name, True
        return self.process
