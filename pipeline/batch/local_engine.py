"""Workers of this machine: processes, each with painters of its own, that end when this process has gone."""

import gc
import multiprocessing
import os
import pickle
import queue
import signal
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from math import ceil
from multiprocessing.connection import Connection
from typing import Any

from pipeline.batch.engine import SegmentResult, SegmentTask
from pipeline.errors import DeviceError

# What a killed process may take to be gone.
END_SECONDS = 1.0


def default_workers(device: str) -> int:
    """One for each GPU that ``device`` means; elsewhere one, which has all cores."""
    return max(len(_gpus(device)), 1)


def usable_cores() -> int:
    """Those that this process may use, as `taskset` can limit."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gpus(device: str) -> list[str]:
    """The GPUs among which workers are shared out; none where ``device`` is another, or one alone."""
    if device not in ("auto", "cuda"):
        return []
    import torch

    return [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []


@dataclass
class _Work:
    """A task on its way.

    Attributes:
        task: what is to be done.
        future: its result.
        deaths: what became of workers that died of it.
    """

    task: SegmentTask
    future: Future[SegmentResult] = field(default_factory=Future)
    deaths: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Place:
    """What a worker may use.

    Attributes:
        device: for clips that leave the choice of a GPU; None for their own.
        threads: cores.
        sharers: how many workers share the memory.
    """

    device: str | None
    threads: int
    sharers: int

    def here(self, task: SegmentTask) -> SegmentTask:
        """``task`` as it is done here."""
        from pipeline.device import find_device
        from pipeline.memory import default_bound

        stylize = task.config.stylize
        if self.device is not None and stylize.device in ("auto", "cuda"):
            stylize = replace(stylize, device=self.device)
        bound = stylize.max_memory or default_bound(find_device(stylize.device))
        if bound is not None:
            stylize = replace(stylize, max_memory=bound // self.sharers)
        return replace(task, config=replace(task.config, stylize=stylize))


class LocalEngine:
    """See `pipeline.batch.engine.SegmentEngine`.

    The workers start at once, and stay until `close`. Each has its share of the cores; which ones is left to the
    system. A worker that dies is replaced, and what it painted is given to another, once.

    Args:
        workers: how many.
        device: of the clips; where it leaves the choice of a GPU, each worker has the next.

    Attributes:
        workers: how many parts are painted at once.
        threads: cores that each may use.
    """

    def __init__(self, workers: int, device: str = "auto") -> None:
        if workers < 1:
            raise ValueError(f"workers must be 1 or more, not {workers}")
        self.workers = workers
        self.threads = max(usable_cores() // workers, 1)
        self._gpus = _gpus(device)
        self._waiting: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._threads = [
            threading.Thread(target=self._serve, args=(number,), name=f"flowbrush-worker {number}", daemon=True)
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, task: SegmentTask) -> Future[SegmentResult]:
        """Paint ``task`` as soon as a worker is free; see `pipeline.batch.engine.SegmentEngine.submit`."""
        work = _Work(task)
        self._waiting.put(work)
        return work.future

    def close(self) -> None:
        """End all workers at once; what they paint is cancelled. May be called more than once."""
        self._closed.set()
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join(END_SECONDS)
        with suppress(queue.Empty):
            while True:
                work = self._waiting.get_nowait()
                if work is not None:
                    _cancel(work.future)

    def _serve(self, number: int) -> None:
        """Give tasks to one worker, one after another."""
        worker = self._started(number)
        while (work := self._waiting.get()) is not None and not self._closed.is_set():
            if not work.deaths and not work.future.set_running_or_notify_cancel():
                continue
            if worker is None or not worker.is_alive:
                worker = self._started(number)
            if worker is None:
                work.future.set_exception(DeviceError("the system starts no further process; take fewer --workers"))
            else:
                self._conclude(work, worker.paint(work.task, self._closed), worker)
        if worker is not None:
            worker.end()
        if work is not None:
            _cancel(work.future)

    def _place(self, number: int) -> "_Place":
        if not self._gpus:
            return _Place(None, self.threads, self.workers)
        return _Place(self._gpus[number % len(self._gpus)], self.threads, ceil(self.workers / len(self._gpus)))

    def _started(self, number: int) -> "_Worker | None":
        try:
            return _Worker(number, self._place(number))
        except OSError:
            return None

    def _conclude(self, work: _Work, answer: "SegmentResult | Exception | None", worker: "_Worker") -> None:
        """Make the answer known; a task whose worker died goes back into the queue once."""
        if isinstance(answer, SegmentResult):
            told = tuple(f"a worker died ({how}); another went on with its part" for how in work.deaths)
            work.future.set_result(replace(answer, notices=(*answer.notices, *told)))
        elif answer is not None:
            work.future.set_exception(answer)
        elif self._closed.is_set():
            _cancel(work.future)
        elif not work.deaths:
            work.deaths.append(worker.end())
            self._waiting.put(work)
        else:
            how = f"{work.deaths[0]}, then {worker.end()}"
            reason = f"two workers died of one part of {work.task.config.source} ({how})"
            work.future.set_exception(DeviceError(f"{reason}, for want of memory perhaps; take fewer --workers"))


def _cancel(future: Future[SegmentResult]) -> None:
    """Let nobody wait for it."""
    if not future.cancel() and not future.done():
        future.set_exception(DeviceError("the workers were ended"))


class _Worker:
    """One process, as its parent sees it."""

    def __init__(self, number: int, place: _Place) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would share locks that other threads hold
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_work, args=(theirs, place), name=f"flowbrush worker {number}", daemon=True
        )
        with _no_interruptions():
            self._process.start()
        theirs.close()

    @property
    def is_alive(self) -> bool:
        """Whether tasks can be given to it."""
        return self._process.is_alive()

    def paint(self, task: SegmentTask, closed: threading.Event) -> SegmentResult | Exception | None:
        """What it answers; None where it died, or all is to end."""
        try:
            self._connection.send(task)
            while not self._connection.poll(0.1):
                if closed.is_set():
                    return None
            answer: SegmentResult | Exception = self._connection.recv()
        except (EOFError, OSError):
            return None
        return answer

    def end(self) -> str:
        """Kill it, whatever it does; how it ended, in words."""
        self._process.join(0.1)  # what is about to die tells how
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


def _work(connection: Connection, place: _Place) -> None:
    """The process: paints what it is told to, one part after another."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent ends this one
    threading.Thread(target=_end_with_parent, name="flowbrush-parent", daemon=True).start()
    from pipeline.batch.painters import Painters
    from pipeline.batch.part import paint_part
    from pipeline.process import keep_freed_memory
    from pipeline.stability import cv

    keep_freed_memory()
    if cv is not None:
        cv.setNumThreads(place.threads)
    painters = Painters(threading.Event())
    while True:
        try:
            task: SegmentTask = connection.recv()
        except (EOFError, OSError):
            return
        answer: Any
        try:
            answer = paint_part(place.here(task), painters.stylizer)
        except Exception as error:  # noqa: BLE001 - raised again in the parent
            answer = _sendable(error)
        connection.send(answer)
        gc.collect()  # PyAV's frames and their side data hold each other, and would pile up
        if not gc.get_freeze_count():
            gc.freeze()  # what stays need not be looked through again


def _sendable(error: Exception) -> Exception:
    """``error`` as it can go to another process; where that of a bug can, with its place."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - whatever its own code does
        return RuntimeError("".join(traceback.format_exception(error)))
    return error


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
