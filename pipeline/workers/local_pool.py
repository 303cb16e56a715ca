"""Workers of this machine: processes, each with painters of its own, that end when this process has gone."""

import os
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError, wait
from contextlib import suppress
from dataclasses import replace
from math import ceil

from pipeline.errors import DeviceError
from pipeline.workers.protocol import SegmentJob, SegmentResult
from pipeline.workers.worker_process import END_SECONDS, Place, Worker

# What is about to die has so long to tell how.
DYING_SECONDS = 0.1
_GUARD = 'a script of your own must be a file, and do its work below `if __name__ == "__main__":`'


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


class _Work(Future[SegmentResult]):
    """A task on its way, and the future of its result.

    Attributes:
        task: what is to be done.
        deaths: what became of workers that died of it.
        is_over: whether nobody waits for it any more.
    """

    def __init__(self, task: SegmentJob) -> None:
        super().__init__()
        self.task = task
        self.deaths: list[str] = []
        self.is_over = False

    def begin(self) -> bool:
        """Whether it is still to be done."""
        return not self.is_over and (bool(self.deaths) or self.set_running_or_notify_cancel())

    def fail(self, error: Exception) -> None:
        """Tell ``error``, unless somebody was faster to give it up."""
        with suppress(InvalidStateError):
            self.set_exception(error)

    def give_up(self) -> None:
        """Let nobody wait for it."""
        self.is_over = True
        if not self.cancel():
            self.fail(DeviceError("the workers were ended"))


class LocalPool:
    """See `pipeline.workers.protocol.SegmentExecutor`.

    The workers start at once, and stay until `close`. Each has its share of the cores; which ones is left to the
    system. A worker that dies is replaced, and what it painted is given to another, once.

    Args:
        workers: how many.
        device: of the clips; where it leaves the choice of a GPU, each worker has the next.

    Attributes:
        workers: how many parts are painted at once.
        threads: cores that each may use.
        sharers: how many share a device, and its memory.
    """

    def __init__(self, workers: int, device: str = "auto") -> None:
        if workers < 1:
            raise ValueError(f"workers must be 1 or more, not {workers}")
        self.workers = workers
        self.threads = max(usable_cores() // workers, 1)
        self._gpus = _gpus(device)
        self.sharers = ceil(workers / max(len(self._gpus), 1))
        self._waiting: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._fault = ""
        self._threads = [
            threading.Thread(target=self._serve, args=(number,), name=f"flowbrush-worker {number}", daemon=True)
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, task: SegmentJob) -> Future[SegmentResult]:
        """Paint ``task`` as soon as a worker is free; see `pipeline.workers.protocol.SegmentExecutor.submit`."""
        work = _Work(task)
        self._put(work)
        return work

    def cancel(self, futures: Sequence[Future[SegmentResult]]) -> None:
        """Give up these, and kill the workers that paint them; others take their places when there is more to do."""
        works = [future for future in futures if isinstance(future, _Work)]
        for work in works:
            work.is_over = True
        wait([work for work in works if not work.cancel()], 2 * END_SECONDS)

    def close(self) -> None:
        """End all workers at once; what they paint is cancelled. May be called more than once."""
        self._closed.set()
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join(END_SECONDS)
        self._give_up_waiting()

    def _put(self, work: _Work) -> None:
        self._waiting.put(work)
        if self._closed.is_set():  # nobody may be there to take it
            self._give_up_waiting()

    def _give_up_waiting(self) -> None:
        with suppress(queue.Empty):
            while True:
                work = self._waiting.get_nowait()
                if work is not None:
                    work.give_up()

    def _serve(self, number: int) -> None:
        """Give tasks to one worker, one after another."""
        worker: Worker | None = None
        with suppress(DeviceError, RuntimeError):  # said where there is something to do
            worker = self._started(number)
        while not self._closed.is_set() and (work := self._waiting.get()) is not None:
            if not work.begin():
                work.give_up()
                continue
            try:
                if worker is None or not worker.is_alive:
                    worker = self._started(number)
                self._do(work, worker)
            except Exception as error:  # noqa: BLE001 - raised again where the result is waited for
                work.fail(error)
                if worker is not None:  # nobody knows what it would answer next
                    worker.end()
        if worker is not None:
            worker.end()

    def _started(self, number: int) -> Worker:
        if self._fault:
            raise DeviceError(self._fault)
        place = Place(self._gpus[number % len(self._gpus)] if self._gpus else None, self.threads)
        try:
            return Worker(number, place)
        except OSError as error:
            raise DeviceError(f"the system starts no further process ({error}); take fewer --workers") from error

    def _do(self, work: _Work, worker: Worker) -> None:
        """Have it painted, and make the answer known."""
        answer = worker.stylize(work.task, lambda: work.is_over or self._closed.is_set())
        if isinstance(answer, SegmentResult):
            told = tuple(f"a worker died ({how}); another went on with its part" for how in work.deaths)
            work.set_result(replace(answer, notices=(*answer.notices, *told)))
        elif answer is not None:
            work.fail(answer)
        elif work.is_over or self._closed.is_set():
            worker.end()
            work.give_up()
        else:
            work.deaths.append(worker.end(patience_seconds=DYING_SECONDS))
            self._after_death(work, has_started=worker.has_started)

    def _after_death(self, work: _Work, *, has_started: bool) -> None:
        """Another worker tries once."""
        how = ", then ".join(work.deaths)
        if not has_started and not work.deaths[-1].startswith("SIG"):
            self._fault = f"a worker cannot be started ({how}); {_GUARD}"
            work.fail(DeviceError(self._fault))
        elif len(work.deaths) == 1:
            self._put(work)
        else:
            why = "for want of memory perhaps; take fewer --workers" if "SIGKILL" in how else "try --workers 1"
            work.fail(DeviceError(f"two workers died of one part of {work.task.config.source} ({how}), {why}"))
