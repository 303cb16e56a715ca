"""Workers on a Ray cluster: actors with engines of their own, on as many machines as there are.

Only descriptions of jobs and results cross the network: all machines see inputs and outputs under the same paths.
"""

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from math import ceil
from typing import Any

from pipeline.encode.writer import EncodeReport
from pipeline.errors import DeviceError
from pipeline.resume.fingerprint import different_versions
from pipeline.resume.work_folder.manifest import job_dir_path, work_dir_path
from pipeline.system.lock import HeldError, Lock
from pipeline.workers.cluster.machines import connect, size_workers
from pipeline.workers.cluster.ray_worker import Hello, Outcome, RayWorker
from pipeline.workers.cluster.tasks import Task, TaskQueue
from pipeline.workers.protocol import JoinJob, SegmentJob, SegmentResult
from pipeline.workers.worker_process import Share

logger = logging.getLogger(__name__)

# How long the pool waits for an answer, and how often it looks for new machines.
POLL_SECONDS, GROW_SECONDS = 0.5, 2.0
# Workers that die before they are ready are replaced so often.
MOST_FAILED_STARTS = 10
# If no worker gets ready within this time, none will.
START_SECONDS = 600.0
# A killed worker may write for a moment.
KILL_SECONDS = 10.0


@dataclass(eq=False, slots=True)
class _Worker:
    """An actor.

    Attributes:
        actor: its handle.
        answer: reference to what it will say next; None while it is idle, or if it is not used.
        task: what it runs.
        machine: name of its machine, empty until it is ready.
        process: id of its process there.
        is_used: whether it may run jobs; False for one with other software, which takes its place without working.
    """

    actor: Any
    answer: Any
    task: Task | None = None
    machine: str = ""
    process: int = 0
    is_used: bool = True


class RayPool:
    """A `pipeline.workers.protocol.SegmentExecutor` of actors on a Ray cluster.

    A worker that dies is replaced where there is room, and its job is assigned again. Machines that join later get
    workers too.

    Args:
        address: of the cluster, see `pipeline.workers.cluster.machines.connect`.
        workers: number of workers; None for as many as fit.
        device: device of the clips.
        gpus_per_worker: part of a GPU for each worker.

    Attributes:
        threads: number of cores that each worker may use.
        sharers: number of workers that share a device and its memory.

    Raises:
        DeviceError: the cluster cannot be used.
    """

    def __init__(
        self, address: str = "auto", *, workers: int | None = None, device: str = "auto", gpus_per_worker: float = 1.0
    ) -> None:
        self._ray, self._leaves = connect(address)
        try:
            machines = self._machines()
            self._size = size_workers(machines, device=device, workers=workers, gpus_per_worker=gpus_per_worker)
        except BaseException:
            self._leave()
            raise
        self.threads = self._size.cpus
        self.sharers = ceil(1 / gpus_per_worker) if self._size.gpus else max(map(self._size.fitting, machines))
        self._wanted = workers
        self._lock = threading.RLock()
        self._is_closed = False
        self._fault: str | None = None
        self._notices: dict[str, None] = {}
        self._failed_starts = 0
        self._started_at, self._grow_at = time.monotonic(), 0.0
        self._queue = TaskQueue()
        self._workers: list[_Worker] = []
        self._actor_class = self._ray.remote(RayWorker).options(
            num_cpus=self._size.cpus, num_gpus=self._size.gpus, max_restarts=0, scheduling_strategy="SPREAD"
        )
        self._grow()
        self._thread = threading.Thread(target=self._run, name="flowbrush-cluster", daemon=True)
        self._thread.start()

    @property
    def workers(self) -> int:
        """Number of jobs that run at once, 1 or more."""
        return max(sum(worker.is_used for worker in self._workers), 1)

    def processes(self) -> list[tuple[str, int]]:
        """Return machine and process id of each worker that is ready."""
        with self._lock:
            return [(worker.machine, worker.process) for worker in self._workers if worker.machine and worker.is_used]

    def submit(self, job: SegmentJob) -> "Future[SegmentResult]":
        """Run ``job`` as soon as a worker is free; see `pipeline.workers.protocol.SegmentExecutor.submit`."""
        return self._add(job)

    def join(self, job: JoinJob) -> "Future[EncodeReport]":
        """Make an output on a worker; see `pipeline.workers.protocol.SegmentExecutor.join`."""
        return self._add(job)

    def cancel(self, futures: "Sequence[Future[Any]]") -> None:
        """Cancel these jobs and kill the workers that run them; returns when nobody writes for them."""
        running = [future for future in futures if not future.cancel()]
        with self._lock:
            stopped = [worker for worker in self._workers if worker.task and worker.task.future in running]
            jobs = [self._stop(worker) for worker in stopped]
            self._queue.stop(running)  # those whose worker has just died
        wait(running)
        for job in jobs:
            _wait_until_unlocked(job)

    def close(self) -> None:
        """Kill all workers, cancel their jobs and leave the cluster; may be called more than once."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            running = [worker.task for worker in self._workers if worker.task]
            for worker in self._workers:
                self._ray.kill(worker.actor)
        self._thread.join()
        self._queue.stop()
        for task in running:
            task.stop()
        self._leave()

    def _add(self, job: SegmentJob | JoinJob) -> "Future[Any]":
        task = Task(job)
        with self._lock:
            if self._is_closed:
                task.future.set_exception(DeviceError("the workers have been closed"))
            else:
                self._queue.add(task)
                self._assign()
        return task.future

    def _run(self) -> None:
        """Serve the workers until the pool is closed."""
        while not self._is_closed:
            try:
                self._serve()
                self._fault = None
            except Exception as error:
                logger.exception("the cluster")
                with self._lock:
                    self._fault = (
                        f"the Ray cluster does not answer ({type(error).__name__}); run the same command again"
                    )
                    self._assign()
                time.sleep(POLL_SECONDS)

    def _serve(self) -> None:
        with self._lock:
            asked = {worker.answer: worker for worker in self._workers if worker.answer is not None}
        answers = list(asked)
        if not answers:
            time.sleep(POLL_SECONDS / 10)
        elif self._ray.wait(answers, num_returns=1, timeout=POLL_SECONDS)[0]:
            for answer in self._ray.wait(answers, num_returns=len(answers), timeout=0)[0]:
                self._receive(asked[answer])
        with self._lock:
            if not self._is_closed:
                self._grow()
                self._assign()

    def _receive(self, worker: _Worker) -> None:
        """Take the answer of a worker."""
        errors = self._ray.exceptions
        try:
            said = self._ray.get(worker.answer)
        except errors.RayActorError as error:
            with self._lock:
                self._bury(worker, error)
            return
        except errors.RayError as error:
            said = Outcome(error=DeviceError(f"a worker on {worker.machine} failed ({_last_line(error)})"))
        with self._lock:
            worker.answer, task, worker.task = None, worker.task, None
            if isinstance(said, Hello):
                self._welcome(worker, said)
            elif task is not None and said.result is not None:
                task.finish(said.result, self._notices)
            elif task is not None:
                self._queue.failed(task, said.error or DeviceError("the worker has no result"))

    def _welcome(self, worker: _Worker, hello: Hello) -> None:
        """Use a worker that is ready, unless it has other software, which would give other frames."""
        worker.machine, worker.process = hello.machine, hello.process
        other = different_versions(hello.software)
        if other:
            found = ", ".join(f"{name} {hello.software.get(name)} instead of {here}" for name, here in other.items())
            self._refuse(worker, f"the worker on {hello.machine} is not used: it has {found}; install the same there")

    def _refuse(self, worker: _Worker, reason: str) -> None:
        worker.is_used, worker.answer = False, None
        self._notices[reason] = None
        self._ray.kill(worker.actor)

    def _bury(self, worker: _Worker, error: Exception) -> None:
        """Give the job of a dead worker to another one."""
        task = worker.task
        if not worker.machine and "creation task" in str(error):
            self._refuse(worker, f"a worker cannot start ({_last_line(error)}); install flowbrush on all machines")
            return
        self._workers.remove(worker)
        self._grow_at = 0.0  # replace it now
        if task is None:
            self._failed_starts += not worker.machine
        else:
            self._queue.worker_died(task, worker.machine)

    def _grow(self) -> None:
        """Start workers where there is room for them."""
        if time.monotonic() < self._grow_at or self._failed_starts > MOST_FAILED_STARTS:
            return
        self._grow_at = time.monotonic() + GROW_SECONDS
        fitting = sum(map(self._size.fitting, self._machines()))
        while len(self._workers) < (fitting if self._wanted is None else self._wanted):
            share = Share(None, self._size.cpus)
            actor = self._actor_class.remote(share, logging.getLogger().getEffectiveLevel())
            self._workers.append(_Worker(actor, actor.hello.remote()))

    def _assign(self) -> None:
        """Give the waiting jobs to idle workers; without any usable worker, they fail."""
        for worker in self._workers:
            if worker.is_used and worker.answer is None:
                task = self._queue.next()
                if task is None:
                    return
                worker.task, worker.answer = task, worker.actor.run.remote(task.job)
        fault = self._fault or self._find_fault()
        while fault and (task := self._queue.next()) is not None:
            task.future.set_exception(DeviceError(fault))

    def _find_fault(self) -> str | None:
        """Return why no worker will ever run a job; None if one may."""
        if self._workers and not any(worker.is_used for worker in self._workers):
            return next(iter(self._notices))
        if not self._workers and self._failed_starts > MOST_FAILED_STARTS:
            return "all workers of the cluster die while they start; `ray logs` shows why"
        is_late = time.monotonic() > self._started_at + START_SECONDS
        if is_late and not any(worker.machine for worker in self._workers):
            return f"no worker of the cluster got ready in {START_SECONDS:.0f} s; `ray status` shows what is missing"
        return None

    def _stop(self, worker: _Worker) -> SegmentJob | JoinJob:
        assert worker.task is not None  # noqa: S101 - for mypy: the caller has asked
        worker.task.is_cancelled = True
        self._ray.kill(worker.actor)
        return worker.task.job

    def _machines(self) -> list[dict[str, float]]:
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def _leave(self) -> None:
        if self._leaves:
            self._ray.shutdown()


def _wait_until_unlocked(job: SegmentJob | JoinJob) -> None:
    """Wait until the killed worker of a job has let go of its folder, which the file server knows."""
    target, deadline = job.config.target, time.monotonic() + KILL_SECONDS
    folder = work_dir_path(target) if isinstance(job, JoinJob) else job_dir_path(target, job.number)
    while time.monotonic() < deadline:
        try:
            Lock(f"{folder}/lock").release()
        except HeldError:
            time.sleep(0.02)
            continue
        except OSError:
            pass
        return


def _last_line(error: Exception) -> str:
    """Return the last line of an error of Ray, which ends with the error of the worker."""
    return ([line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__])[-1][:200]
