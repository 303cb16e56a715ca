"""Workers on this machine: processes with engines of their own."""

import logging
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, replace
from math import ceil
from typing import Any
from weakref import WeakKeyDictionary

from pipeline.errors import DeviceError
from pipeline.resume.fingerprint import usable_cores
from pipeline.workers.protocol import SegmentJob, SegmentResult
from pipeline.workers.worker_process import Share, Worker

_GUARD = 'a script must be a file and do its work below `if __name__ == "__main__":`'


def default_workers(device: str) -> int:
    """Return the number of GPUs that ``device`` means, or 1 elsewhere: one worker uses all cores."""
    return max(len(_gpus(device)), 1)


def _gpus(device: str) -> list[str]:
    """Return the GPUs that workers share, none if ``device`` is a CPU or a single GPU."""
    if device not in ("auto", "cuda"):
        return []
    import torch

    return [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []


@dataclass(eq=False, slots=True)
class _Task:
    """A submitted job.

    Attributes:
        job: the job.
        worker: worker that runs it now, None before and after.
        is_cancelled: whether nobody waits for its result.
    """

    job: SegmentJob
    worker: Worker | None = None
    is_cancelled: bool = False


class LocalPool:
    """A `pipeline.workers.protocol.SegmentExecutor` of processes on this machine.

    The processes start at once and stay until `close`. Each uses its share of the cores; the system decides which. A
    process that dies is replaced, and its job is tried once more.

    Args:
        workers: number of processes, 1 or more.
        device: device of the clips. If it leaves the choice of a GPU open, the workers take turns among all.

    Attributes:
        workers: number of jobs that run at once.
        threads: number of cores that each may use.
        sharers: number of workers that share a device and its memory.
    """

    join = None

    def __init__(self, workers: int, device: str = "auto") -> None:
        if workers < 1:
            raise ValueError(f"workers must be 1 or more, not {workers}")
        self.workers = workers
        self.threads = max(usable_cores() // workers, 1)
        gpus = _gpus(device)
        self.sharers = ceil(workers / max(len(gpus), 1))
        self._lock = threading.Lock()
        self._is_closed = False
        self._fault: str | None = None
        self._tasks: WeakKeyDictionary[Future[SegmentResult], _Task] = WeakKeyDictionary()
        self._threads = ThreadPoolExecutor(workers, "flowbrush-worker")
        level = logging.getLogger().getEffectiveLevel()
        shares = [Share(gpus[number % len(gpus)] if gpus else None, self.threads) for number in range(workers)]
        self._workers = [Worker(number, share, level) for number, share in enumerate(shares)]
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        for worker in self._workers:
            with suppress(OSError):  # reported with the first job
                worker.start()
            self._idle.put(worker)

    def submit(self, job: SegmentJob) -> Future[SegmentResult]:
        """Run ``job`` as soon as a worker is free; see `pipeline.workers.protocol.SegmentExecutor.submit`."""
        task = _Task(job)
        with self._lock:
            if self._is_closed:
                refused: Future[SegmentResult] = Future()
                refused.set_exception(DeviceError("the workers have been closed"))
                return refused
            future = self._threads.submit(self._run, task)
            self._tasks[future] = task
        return future

    def cancel(self, futures: Sequence[Future[Any]]) -> None:
        """Cancel these jobs and kill the processes that run them; returns when the processes have ended."""
        running = [future for future in futures if not future.cancel()]
        with self._lock:
            for task in (self._tasks[future] for future in running if future in self._tasks):
                task.is_cancelled = True
                if task.worker is not None:
                    task.worker.kill()
        wait(running)

    def close(self) -> None:
        """Kill all processes and cancel their jobs; may be called more than once."""
        with self._lock:
            self._is_closed = True
            for worker in self._workers:
                worker.kill()
        self._threads.shutdown(cancel_futures=True)
        for worker in self._workers:
            worker.end()

    def _run(self, task: _Task) -> SegmentResult:
        worker, deaths = self._idle.get(), list[str]()
        try:
            while True:
                try:
                    result = self._submit(task, worker).result()
                except BrokenProcessPool:
                    deaths.append(self._end(worker))
                    if len(deaths) > 1:
                        raise _died_twice(task.job, deaths) from None
                else:
                    notices = (f"a worker process died ({how}); another one resumed its work" for how in deaths)
                    return replace(result, notices=(*result.notices, *notices))
                finally:
                    with self._lock:
                        task.worker = None
        finally:
            self._idle.put(worker)

    def _submit(self, task: _Task, worker: Worker) -> Future[SegmentResult]:
        with self._lock:
            if self._is_closed or task.is_cancelled:
                raise DeviceError("the worker was stopped")
            if worker.has_died:  # while it was idle
                self._end(worker)
            if self._fault is not None:
                raise DeviceError(self._fault)
            try:
                running = worker.submit(task.job)
            except OSError as error:
                reason = f"the system cannot start another process ({error})"
                raise DeviceError(f"{reason}; use fewer --workers") from error
            task.worker = worker
        return running

    def _end(self, worker: Worker) -> str:
        """Return how the worker's process died; one that never got ready is not started again."""
        how, was_ready = worker.end()
        if not was_ready and not how.startswith("SIG"):
            self._fault = f"a worker process cannot start ({how}); {_GUARD}"
        return how


def _died_twice(job: SegmentJob, deaths: list[str]) -> DeviceError:
    why = "probably out of memory; use fewer --workers" if "SIGKILL" in deaths else "try --workers 1"
    return DeviceError(f"{job.config.source}: two worker processes died ({', '.join(deaths)}), {why}")
