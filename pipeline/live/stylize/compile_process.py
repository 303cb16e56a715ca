"""The process that compiles an engine into the cache, at the lowest priority; started by `EngineBuilder`.

Standard input holds the name of the engine and its `EngineSpec`, pickled. If the process fails, the last line of
standard error is the reason.
"""

import contextlib
import os
import pickle
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.engines.engine import EngineName, EngineSpec


def compile_into_cache(name: "EngineName", spec: "EngineSpec") -> None:
    """Compile the engine ``name`` and leave it in the cache of ``spec``.

    Raises:
        EngineError: the engine is not available on this machine.
        RuntimeError: the compiler failed, or the memory is too small.
    """
    import torch

    from models.engines.aot import AotGraph
    from models.engines.build import build_engine

    if name == "compile":
        AotGraph(spec).compile()
    else:
        torch.set_num_threads(spec.threads)
        build_engine(name, spec)


def main() -> int:
    """Compile what standard input asks for; return the exit code."""
    if hasattr(os, "nice"):
        os.nice(19)
    if hasattr(os, "sched_setscheduler"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    try:
        compile_into_cache(*pickle.load(sys.stdin.buffer))  # noqa: S301 - our own process sends it through a pipe
    except Exception as error:  # noqa: BLE001 - whatever it is, the session goes on without this engine
        sys.stderr.write(f"\n{' '.join(str(error).split())[:300] or type(error).__name__}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
