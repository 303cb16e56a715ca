"""One process that paints parts of clips: as its parent sees it, and what it does."""

import gc
import importlib
import logging
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

from pipeline.errors import first_line
from pipeline.process import set_up_logging
from pipeline.workers.protocol import SegmentJob, SegmentResult

# What a killed process may take to be gone.
END_SECONDS = 1.0
# How often is asked whether nobody waits for a part any more.
LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Place:
    """What a worker may use.

    Attributes:
        device: for clips that leave the choice of a GPU; None for their own.
        threads: cores.
    """

    device: str | None
    threads: int

    def here(self, task: SegmentJob) -> SegmentJob:
        """``task`` as it is done here."""
        from pipeline.stylize.device import find_device
        from pipeline.stylize.memory_budget import default_bound

        stylize = task.config.stylize
        if self.device is not None and stylize.device in ("auto", "cuda"):
            stylize = replace(stylize, device=self.device)
        bound = stylize.max_memory or default_bound(find_device(stylize.device))
        if bound is not None:
            stylize = replace(stylize, max_memory=bound // task.sharers)
        return replace(task, config=replace(task.config, stylize=stylize))


@dataclass(frozen=True, slots=True)
class _Ready:
    """Tells that the process could be started."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An error on its way to another process, which knows nothing of where it happened."""

    error: Exception
    trace: str

    @classmethod
    def of(cls, error: Exception) -> "Failure":
        """What can be sent of ``error``: itself, or its kind and what it says."""
        trace = "".join(traceback.format_exception(error))
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # noqa: BLE001 - whatever its own code does
            error = RuntimeError(f"{type(error).__name__}: {first_line(error)}")
        return cls(error, trace)

    def arrived(self) -> Exception:
        """The error, to be raised here; its cause tells the place."""
        self.error.__cause__ = _InWorkerError(self.trace)
        return self.error


class _InWorkerError(Exception):
    """Holds the traceback of another process, to be shown above that of this one."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class Worker:
    """One process, as its parent sees it; a daemon, which ends when the parent has gone.

    Args:
        number: by which people know it.
        place: what it may use.

    Attributes:
        has_started: whether it came as far as to ask for tasks.

    Raises:
        OSError: the system starts no further process.
    """

    def __init__(self, number: int, place: Place) -> None:
        self.has_started = False
        context = multiprocessing.get_context("spawn")  # a fork would share locks that other threads hold
        self._connection, theirs = context.Pipe()
        level = logging.getLogger().getEffectiveLevel()
        self._process = context.Process(
            target=_work, args=(theirs, place, level), name=f"flowbrush worker {number}", daemon=True
        )
        try:
            with _no_interruptions():
                self._process.start()
        finally:
            theirs.close()

    @property
    def is_alive(self) -> bool:
        """Whether tasks can be given to it."""
        return self._process.is_alive()

    def stylize(self, task: SegmentJob, is_over: Callable[[], bool]) -> SegmentResult | Exception | None:
        """What it answers; None where it died, or where nobody waits for an answer any more.

        Args:
            task: to be done.
            is_over: asked now and then whether nobody waits.
        """
        try:
            self._connection.send(task)
            while True:
                while not self._connection.poll(LOOK_SECONDS):
                    if is_over():
                        return None
                answer: SegmentResult | Failure | _Ready = self._connection.recv()
                if not isinstance(answer, _Ready):
                    return answer.arrived() if isinstance(answer, Failure) else answer
                self.has_started = True
        except (EOFError, OSError):
            return None

    def end(self, *, patience_seconds: float = 0.0) -> str:
        """Kill it, whatever it does; how it ended, in words.

        Args:
            patience_seconds: that it may take before; what is about to die tells how.
        """
        self._process.join(patience_seconds)
        self._process.kill()
        self._process.join(END_SECONDS)
        self._connection.close()
        code = self._process.exitcode
        return signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"


@contextmanager
def _no_interruptions() -> Iterator[None]:
    """Context in which a process that is started hears no Ctrl-C until it can say itself that it ignores it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # started with the first process else, and then it lifts the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(connection: Connection, place: Place, level: int) -> None:
    """The process: paints what it is told to, one part after another."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent ends this one
    threading.Thread(target=_end_with_parent, name="flowbrush-parent", daemon=True).start()
    from pipeline.process import keep_freed_memory
    from pipeline.stylize.engine_cache import EngineCache
    from pipeline.stylize.stabilizer import cv
    from pipeline.workers.segment_job import run_segment_job

    set_up_logging(level)
    keep_freed_memory()
    if cv is not None:
        cv.setNumThreads(place.threads)
    painters = EngineCache(threading.Event())
    connection.send(_Ready())
    importlib.import_module("torch")  # takes a second, while the parent decides on parts
    while True:
        try:
            task: SegmentJob = connection.recv()
        except (EOFError, OSError):
            return
        answer: SegmentResult | Failure
        try:
            answer = run_segment_job(place.here(task), painters.stylizer)
        except Exception as error:  # noqa: BLE001 - raised again in the parent
            answer = Failure.of(error)
        connection.send(answer)
        gc.collect()  # PyAV's frames and their side data hold each other, and would pile up
        if not gc.get_freeze_count():
            gc.freeze()  # what stays need not be looked through again


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
