"""The jobs that wait for a worker of a cluster, in their order, and what became of their workers."""

import time
from collections import deque
from collections.abc import Collection
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.encode.writer import EncodeReport
from pipeline.errors import DeviceError, InUseError
from pipeline.workers.protocol import JoinJob, SegmentJob, SegmentResult

# Machines may come and go, but each loss costs a job at most one segment: more losses are no accident.
MOST_DEATHS = 4
# A file server keeps the locks of a machine that died for so long; they are tried again so often.
LOCK_SECONDS, RETRY_SECONDS = 120.0, 2.0


@dataclass(eq=False, slots=True)
class Task:
    """A submitted job.

    Attributes:
        job: the job.
        future: its result.
        deaths: machines of the workers that died while they ran it.
        died_at: when the last one did, by `time.monotonic`.
        next_at: when it may run again.
        is_cancelled: whether nobody waits for its result.
    """

    job: SegmentJob | JoinJob
    future: "Future[Any]" = field(default_factory=Future)
    deaths: list[str] = field(default_factory=list)
    died_at: float = 0.0
    next_at: float = 0.0
    is_cancelled: bool = False

    def finish(self, result: SegmentResult | EncodeReport, notices: Collection[str]) -> None:
        """Set the result, with ``notices`` and one for each worker that died."""
        deaths = (f"a worker on {machine} died; another one resumed its work" for machine in self.deaths)
        self.future.set_result(replace(result, notices=(*result.notices, *deaths, *notices)))

    def stop(self) -> None:
        """Let the job fail because its worker was stopped, unless it has ended."""
        if not self.future.cancel() and not self.future.done():
            self.future.set_exception(DeviceError("the worker was stopped"))


class TaskQueue:
    """The jobs that wait; not safe for threads."""

    def __init__(self) -> None:
        self._waiting: deque[Task] = deque()

    def add(self, task: Task) -> None:
        """Add a job at the end."""
        self._waiting.append(task)

    def next(self) -> Task | None:
        """Take the next job that was not cancelled and may run now; None if there is none."""
        now = time.monotonic()
        for task in [task for task in self._waiting if task.next_at <= now]:
            self._waiting.remove(task)
            if task.future.running() or task.future.set_running_or_notify_cancel():
                return task
        return None

    def worker_died(self, task: Task, machine: str) -> None:
        """Put a job whose worker died at the front, or let it fail after too many deaths."""
        if task.is_cancelled:
            task.stop()
            return
        task.deaths.append(machine)
        task.died_at = time.monotonic()
        if len(task.deaths) < MOST_DEATHS:
            self._waiting.appendleft(task)
            return
        where = ", ".join(dict.fromkeys(task.deaths))
        reason = f"{len(task.deaths)} workers died with it (on {where}), probably out of memory; try fewer --workers"
        task.future.set_exception(DeviceError(f"{task.job.config.source}: {reason}"))

    def failed(self, task: Task, error: Exception) -> None:
        """Let a job fail, or try it again if a machine that died still locks its folder, as the file server sees it."""
        if isinstance(error, InUseError) and task.deaths and time.monotonic() < task.died_at + LOCK_SECONDS:
            task.next_at = time.monotonic() + RETRY_SECONDS
            self._waiting.append(task)
        else:
            task.future.set_exception(error)

    def stop(self, futures: "Collection[Future[Any]] | None" = None) -> None:
        """Let the waiting jobs of these futures fail, None for all."""
        for task in [task for task in self._waiting if futures is None or task.future in futures]:
            self._waiting.remove(task)
            task.stop()
