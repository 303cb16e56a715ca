"""The process that compiles an engine into the cache; started by `pipeline.stylize.engine.compiler.Compiler`.

Standard input holds, pickled, the name of the engine, its `EngineSpec`, and whether somebody waits for it; if nobody
does, it runs at the lowest priority. If the process fails, the last line of
standard error is the reason.
"""

import contextlib
import errno
import os
import pickle
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.engines.engine import EngineName, EngineSpec

# Time between two looks at whether the process that started this one still runs.
PARENT_SECONDS = 1
_NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT)


def compile_into_cache(name: "EngineName", spec: "EngineSpec") -> None:
    """Compile the engine ``name`` and leave it in the cache of ``spec``.

    Raises:
        EngineError: the engine is not available on this machine.
        RuntimeError: the compiler failed, or the memory is too small.
    """
    import torch

    from models.engines.build import build_engine
    from models.engines.compile import compiled_graph

    if name == "compile":
        compiled_graph(spec).compile()
    else:
        torch.set_num_threads(spec.threads)
        build_engine(name, spec)


def main() -> int:
    """Compile what standard input asks for; return the exit code."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    try:
        name, spec, is_urgent = pickle.load(sys.stdin.buffer)  # noqa: S301 - our own process sends it through a pipe
        if not is_urgent:
            _stay_in_the_background()
        compile_into_cache(name, spec)
    except Exception as error:  # noqa: BLE001 - whatever it is, the session goes on without this engine
        sys.stderr.write(f"\n{' '.join(_reason(error).split())[:300] or type(error).__name__}\n")
        return 1
    return 0


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in _NOT_WRITABLE and error.filename:
        folder = os.path.dirname(error.filename)
        return f"{folder}: {error.strerror}; make room there, or set FLOWBRUSH_CACHE to another folder"
    return str(error)


def _end_with(parent: int) -> None:
    """End this process, and the compilers that it started, when the process that started it is gone."""
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)
    if os.name == "posix" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _stay_in_the_background() -> None:
    if hasattr(os, "nice"):
        os.nice(19)
    # Linux takes a core with nothing but such a process on it for a free one when it places a thread that wakes.
    if hasattr(os, "sched_setscheduler"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"


if __name__ == "__main__":
    raise SystemExit(main())
