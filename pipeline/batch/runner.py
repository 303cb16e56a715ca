"""Run the clips of a batch, with overlapping stages.

While one clip is stylized, the next one is opened and decoded, and the one before is encoded and concatenated. An error
ends one clip, not the batch. With several workers, each takes the next clip or segment job as soon as it is free.
"""

import gc
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from pipeline.batch.clip_run import ClipRun, Interrupted, StylizeClip
from pipeline.batch.config import BatchConfig
from pipeline.batch.events import Emit, Ended, Event, Failed, Finished, Skipped, Started
from pipeline.batch.inputs.places import clear_remains
from pipeline.batch.plan import Step
from pipeline.batch.records import Record, Records, new_record
from pipeline.batch.watch import Arrivals
from pipeline.frames import VideoInfo
from pipeline.run import stylize_video
from pipeline.stylize.engine.engine_cache import EngineCache
from pipeline.workers.executors import start_executor
from pipeline.workers.partition import count_jobs
from pipeline.workers.protocol import SegmentExecutor
from pipeline.workers.stored.clip import stylize_clip
from pipeline.workers.stored.job import is_stored

# One clip is stylized, the next one has its first frames decoded, the one before is concatenated.
OPEN_CLIPS = 3
# Longest time until new clips and interruptions are noticed.
POLL_SECONDS = 0.25
# A clip that does not stop within this time is abandoned; its partial output can be resumed.
GRACE_SECONDS = 1.2


@dataclass(frozen=True, slots=True)
class Entry:
    """One output of the batch.

    Attributes:
        step: a step of the plan, or of a clip that arrived later.
        record: its record.
    """

    step: Step
    record: Record


class Runner:
    """Runs the steps of a plan; used once.

    Args:
        config: configuration of the batch.
        steps: the steps in their order.
        emit: called with each event, in the thread that calls `run`.
        arrivals: returns the steps of clips that arrived since, and keeps the batch running; None to end after
            ``steps``.
        executor: runs the clips; None for workers on this machine, as many as the config asks for. The caller closes
            it.
        idle: called a few times a second.
        owns_process: whether the process runs only this batch, so that its garbage collector may be tuned.

    Attributes:
        entries: by the names of the outputs, in the order of the plan; a clip that arrives again keeps its place.
    """

    def __init__(
        self,
        config: BatchConfig,
        steps: Sequence[Step],
        emit: Emit,
        *,
        arrivals: Arrivals | None = None,
        executor: SegmentExecutor | None = None,
        idle: Callable[[], None] = lambda: None,
        owns_process: bool = False,
    ) -> None:
        self._config = config
        self._emit = emit
        self._arrivals = arrivals
        self._executor = executor
        self._idle = idle
        self._owns_process = owns_process
        self._records = Records(config.state_folder, config.state_url)
        self._stopped = threading.Event()
        self._engines = EngineCache() if arrivals else EngineCache(partial(_count_frames, steps))
        self._stylize: StylizeClip = partial(stylize_video, make=self._engines.stylizer)
        self._messages: queue.SimpleQueue[Event | ClipRun] = queue.SimpleQueue()
        self._running: dict[str, threading.Thread] = {}
        self._waiting = deque(step.job.name for step in steps if not step.is_done)
        self._retries: deque[str] = deque()
        self._ends_early = False
        self._is_frozen = False
        self.entries = {step.job.name: self._entry(step) for step in steps}

    def run(self) -> None:
        """Run all steps; those that failed are started once more at the end.

        Raises:
            KeyboardInterrupt: the caller was interrupted; all clips were stopped within `GRACE_SECONDS`.
        """
        own_pool = self._start_workers() if self._executor is None else None
        self._executor = self._executor or own_pool
        if self._executor is not None:
            self._stylize = partial(stylize_clip, executor=self._executor, count=self._count_jobs)
        try:
            for entry in self.entries.values():
                self._skip_if_done(entry)
            while self._has_work():
                self._start_clips()
                self._receive()
                self._idle()
        finally:
            self._stopped.set()
            self._engines.close()
            if self._is_frozen:
                gc.unfreeze()
            try:
                self._join_clips()
            finally:
                if own_pool is not None:
                    own_pool.close()

    def ended(self, seconds: float, report: str) -> Ended:
        """Return the figures of the batch so far."""
        records = [entry.record for entry in self.entries.values()]
        before = sum(record.done_before for record in records)
        done = sum(record.status == "done" for record in records)
        failed = sum(record.status == "failed" for record in records)
        left = len(records) - done - failed
        return Ended(done - before, before, failed, left, round(seconds, 3), report)

    def _start_workers(self) -> SegmentExecutor | None:
        """Start workers; return None if this process is the only one."""
        config = self._config
        device = str(config.options.get("device") or "auto")
        has_urls = any(is_stored(entry.step.job.config) for entry in self.entries.values())
        return start_executor(
            config.cluster,
            workers=config.workers,
            device=device,
            gpus_per_worker=config.gpus_per_worker,
            may_be_none=not has_urls,
        )

    @property
    def _max_open(self) -> int:
        """Number of clips that may be open; on a cluster, workers come and go."""
        return OPEN_CLIPS if self._executor is None else OPEN_CLIPS - 1 + self._executor.workers

    def _count_jobs(self, info: VideoInfo, workers: int) -> int:
        others = len(self._waiting) + len(self._running) - 1
        return count_jobs(info, workers, are_busy=others >= workers)

    def _entry(self, step: Step) -> Entry:
        if not step.is_done:
            return Entry(step, new_record(step.job))
        record = self._records.read(step.job)
        record.status, record.done_before, record.attempts = "done", True, 0
        record.source = step.job.config.source
        return Entry(step, record)

    def _skip_if_done(self, entry: Entry) -> None:
        if entry.step.is_done:
            if not entry.step.job.is_led_out:
                clear_remains(entry.step.job.config.target)
            self._emit(Skipped(entry.step.job.name))

    def _add(self, step: Step) -> None:
        """Add the step of a clip that arrived; no clip with the same output may be running."""
        name = step.job.name
        known = self.entries.get(name)
        if step.is_done and known is not None and known.record.status == "done":
            return  # only its modification time has changed
        if name in self._retries:
            self._retries.remove(name)
        self.entries[name] = self._entry(step)
        self._skip_if_done(self.entries[name])
        if not step.is_done and name not in self._waiting:
            self._waiting.append(name)

    def _has_work(self) -> bool:
        if self._ends_early:
            return bool(self._running)
        if not self._waiting and not self._running:
            self._waiting, self._retries = self._retries, deque()
        if self._arrivals is None:
            return bool(self._waiting or self._running)
        if len(self._waiting) < self._max_open:
            for step in self._arrivals({self.entries[name].step.job.config.source for name in self._running}):
                self._add(step)
        return True

    def _start_clips(self) -> None:
        while self._waiting and len(self._running) < self._max_open and not self._ends_early:
            name = self._waiting.popleft()
            step, record = self.entries[name].step, self.entries[name].record
            record.attempts += 1
            self._emit(Started(name, step.job.config.source, record.attempts, step.megapixels))
            clip = ClipRun(step, record, self._records, self._stylize, self._messages.put, self._stopped)
            thread = threading.Thread(target=clip.run, name=f"flowbrush-clip {name}", daemon=True)
            self._running[name] = thread
            thread.start()

    def _receive(self) -> None:
        """Handle the next message of a clip; return after `POLL_SECONDS` without one."""
        try:
            message = self._messages.get(timeout=POLL_SECONDS)
        except queue.Empty:
            return
        if isinstance(message, ClipRun):
            self._running.pop(message.step.job.name).join()
            self._conclude(message)
            del message
            self._collect_garbage()
        else:
            self._emit(message)

    def _conclude(self, clip: ClipRun) -> None:
        record, job = clip.record, clip.step.job
        if isinstance(clip.error, Interrupted):
            record.status = "waiting"
        elif clip.error is None:
            self._emit(Finished(job.name, record.figures))
        elif self._arrivals is not None and self._arrivals.expects(job.config.source):
            record.status = "waiting"
            self._emit(Failed(job.name, record.error or "", will_retry=True))
        else:
            will_retry = self._config.keep_going and record.attempts == 1
            self._emit(Failed(job.name, record.error or "", will_retry))
            if will_retry:
                self._retries.append(job.name)
            self._ends_early = self._ends_early or not self._config.keep_going

    def _collect_garbage(self) -> None:
        """Free the reference cycles of a finished clip.

        PyAV's frames and their side data refer to each other, and Python would collect them only every hundred clips.
        If the process runs only this batch, objects that are loaded permanently are excluded: a collection then takes
        half a millisecond instead of a hundred.
        """
        gc.collect()
        if self._owns_process and not self._is_frozen:
            self._is_frozen = True
            gc.freeze()

    def _join_clips(self) -> None:
        """Wait for the running clips to stop, at most `GRACE_SECONDS`."""
        deadline = time.monotonic() + GRACE_SECONDS
        for thread in self._running.values():
            thread.join(max(deadline - time.monotonic(), 0))
        while not self._messages.empty():
            message = self._messages.get()
            if isinstance(message, ClipRun) and message.error is None:  # finished before it noticed the interruption
                self._emit(Finished(message.step.job.name, message.record.figures))


def _count_frames(steps: Sequence[Step], height: int, width: int, is_16_bit: bool) -> int | None:
    """Return how many frames of this size are to be stylized; None if the header of a clip does not give it."""
    clips = [step.clip for step in steps if not step.is_done]
    counts = [clip.frames for clip in clips if (clip.height, clip.width, clip.is_16_bit) == (height, width, is_16_bit)]
    known = [count for count in counts if count]
    return sum(known) if len(known) == len(counts) > 0 else None


def is_busy() -> bool:
    """Return whether a thread of a batch is still running, as in a long step after an interruption."""
    return any(thread.name.startswith("flowbrush-") for thread in threading.enumerate())
