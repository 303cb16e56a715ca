"""A worker process: how it starts, ends with its parent, and runs segment jobs."""

import gc
import importlib
import os
import pickle
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from multiprocessing import parent_process
from typing import TYPE_CHECKING, TypeVar

from pipeline.errors import first_line
from pipeline.system.children import WorkerContext
from pipeline.system.process import keep_freed_memory, safe_path, set_up_logging, silence_pillow
from pipeline.workers.protocol import JoinJob, SegmentJob, SegmentResult

if TYPE_CHECKING:
    from pipeline.encode.writer import EncodeReport
    from pipeline.stylize.engine.engine_cache import EngineCache

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Share:
    """What one worker may use.

    Attributes:
        device: GPU for clips whose config leaves the choice open, None to keep the config's device.
        threads: number of cores, 1 or more.
    """

    device: str | None
    threads: int

    def limit(self, job: SegmentJob) -> SegmentJob:
        """Return ``job`` with this worker's GPU and its part of the device's memory."""
        from pipeline.stylize.device import find_device
        from pipeline.stylize.engine.memory_budget import default_bound

        stylize = job.config.stylize
        if self.device is not None and stylize.device in ("auto", "cuda"):
            stylize = replace(stylize, device=self.device)
        bound = stylize.max_memory or default_bound(find_device(stylize.device))
        if bound is not None:
            stylize = replace(stylize, max_memory=bound // job.sharers)
        return replace(job, config=replace(job.config, stylize=stylize))


class Worker:
    """One process of its own executor, so that its death breaks no other worker.

    Args:
        number: number of the worker, shown in the name of its process.
        share: what it may use.
        log_level: level from which it writes log records to standard error.
    """

    def __init__(self, number: int, share: Share, log_level: int) -> None:
        self._share = share
        self._log_level = log_level
        self._context = WorkerContext(f"flowbrush worker {number}")
        self._executor: ProcessPoolExecutor | None = None
        self._ready: Future[None] = Future()

    def start(self) -> None:
        """Start the process; it loads torch while the parent plans.

        Raises:
            OSError: the system cannot start another process.
        """
        with safe_path:
            executor = ProcessPoolExecutor(1, self._context, _initialize, (self._log_level,))
            self._ready = executor.submit(load_libraries, self._share.threads)
        self._executor = executor

    @property
    def has_died(self) -> bool:
        """Whether the process has died by itself, and needs an `end` before the next job."""
        return self._executor is not None and self._context.process is not None and not self._context.process.is_alive()

    def submit(self, job: SegmentJob) -> "Future[SegmentResult]":
        """Run ``job`` in the process, which is started if necessary.

        Raises:
            BrokenProcessPool: the process has died; also raised by the future.
            OSError: the system cannot start another process.
        """
        if self._executor is None:
            self.start()
        assert self._executor is not None  # noqa: S101 - for mypy: `start` has set it
        return self._executor.submit(run_job, job, self._share)

    def kill(self) -> None:
        """Kill the process, whatever it does."""
        process = self._context.process
        if process is not None and process.pid is not None:
            process.kill()

    def end(self) -> tuple[str, bool]:
        """Kill the process and wait for its end.

        Returns:
            How it ended (``SIGKILL``, ``exit code 1``), and whether it had got ready for jobs.
        """
        self.kill()
        if self._executor is None or self._context.process is None:
            return "not started", False
        self._executor.shutdown()
        self._executor = None
        code = self._context.process.exitcode
        how = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
        return how, self._ready.exception() is None


def run_job(job: SegmentJob, share: Share) -> SegmentResult:
    """Run one segment job in this process, with engines that stay loaded from job to job."""
    from pipeline.workers.segment_job import run_segment_job
    from pipeline.workers.stored.job import run_stored_job

    run = partial(run_segment_job, make=_engines().stylizer)
    return _run(lambda: run_stored_job(share.limit(job), run))


def join_job(job: JoinJob) -> "EncodeReport":
    """Run the last job of a clip in this process."""
    from pipeline.workers.stored.job import run_stored_join

    return _run(lambda: run_stored_join(job))


def _run(work: Callable[[], T]) -> T:
    """Return the result of a job; all errors can be sent to another process."""
    try:
        return work()
    except Exception as error:
        if not _can_be_sent(error):  # it would break the executor
            raise RuntimeError(f"{type(error).__name__}: {first_line(error)}") from error
        raise
    finally:
        gc.collect()  # PyAV's frames and their side data refer to each other, and would pile up
        if not gc.get_freeze_count():
            gc.freeze()  # what is loaded for good need not be searched again


def _can_be_sent(error: Exception) -> bool:
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - made in the same line
    except Exception:  # noqa: BLE001 - raised by the error's own code
        return False
    return True


def _initialize(log_level: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    threading.Thread(target=_end_with_parent, name="flowbrush-parent", daemon=True).start()
    prepare_process(log_level)


def prepare_process(log_level: int) -> None:
    """Set up logging and memory of a process that runs jobs."""
    set_up_logging(log_level)
    silence_pillow()
    keep_freed_memory()


def load_libraries(threads: int) -> None:
    """Load torch, and limit OpenCV to ``threads`` cores."""
    from pipeline.stylize.opencv import cv

    importlib.import_module("torch")
    if cv is not None:
        cv.setNumThreads(threads)


def _end_with_parent() -> None:
    """End this process when its parent has died, in whatever way."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@cache
def _engines() -> "EngineCache":
    from pipeline.stylize.engine.engine_cache import EngineCache

    return EngineCache()
