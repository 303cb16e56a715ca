"""Clips one after another, neighbours overlapping.

While one is painted the next is opened and decoded, and the one before is encoded and put together. What happens to a
clip stays its own matter. With several workers each is given clips, or parts of them, as soon as it is free.
"""

import gc
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from pipeline.batch.arrivals import Arrivals
from pipeline.batch.clip_run import FrameGraph, Interrupted, Message, Outcome, run_clip
from pipeline.batch.config import BatchConfig
from pipeline.batch.events import Emit, Ended, Failed, Finished, Skipped, Started
from pipeline.batch.plan import Step
from pipeline.batch.records import Record, Records, new_record
from pipeline.frames import VideoInfo
from pipeline.resume.work_dir import clear_remains
from pipeline.run import stylize_video
from pipeline.stylize.engine_cache import EngineCache
from pipeline.workers.local_pool import LocalPool, default_workers
from pipeline.workers.long_clip import stylize_long_clip
from pipeline.workers.partition import count_parts
from pipeline.workers.protocol import SegmentExecutor

# One is painted; the next waits with its first frames; the one before is put together.
IN_FLIGHT = 3
# How often new clips are looked for, and an interruption is noticed at the latest.
LOOK_SECONDS = 0.25
# What the system's kill leaves is whole; so nobody waits longer for a stage that does not hear.
GRACE_SECONDS = 1.2


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be done, or was, for one output.

    Attributes:
        step: of the plan, or of what came later.
        record: what became of it.
    """

    step: Step
    record: Record


class Runner:
    """Runs the steps of a plan; to be used once.

    Args:
        config: of the batch.
        steps: in the order in which they are done.
        emit: called with each event, in the thread that calls `run`.
        arrivals: where further steps come from, without an end; without it the batch ends with its steps.
        engine: that paints; None for workers of this machine, as many as the batch wants. Whoever gives it closes it.
        meanwhile: called a few times a second.
        owns_process: whether the process serves the batch alone, so that Python's memory may be managed for it.

    Attributes:
        entries: by the names of their outputs, in the order of the plan; a clip that comes again takes its old place.
    """

    def __init__(
        self,
        config: BatchConfig,
        steps: Sequence[Step],
        emit: Emit,
        *,
        arrivals: Arrivals | None = None,
        engine: SegmentExecutor | None = None,
        meanwhile: Callable[[], None] = lambda: None,
        owns_process: bool = False,
    ) -> None:
        self._config = config
        self._emit = emit
        self._arrivals = arrivals
        self._meanwhile = meanwhile
        self._owns_process = owns_process
        self._kept = Records(config.state_folder)
        self._stopped = threading.Event()
        self._engines = EngineCache(self._stopped)
        self._stylize: FrameGraph = partial(stylize_video, make=self._engines.stylizer)
        self._in_flight = IN_FLIGHT
        self._engine = engine
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._running: dict[str, threading.Thread] = {}
        self._waiting = deque(step.job.name for step in steps if not step.is_done)
        self._again: deque[str] = deque()
        self._ends_early = False
        self._is_frozen = False
        self.entries = {step.job.name: self._entry(step) for step in steps}

    def run(self) -> None:
        """Do all steps; what fails is tried once more at the end.

        Raises:
            KeyboardInterrupt: as it came; within `GRACE_SECONDS` all clips have been told to end.
        """
        own = self._started_workers() if self._engine is None else None
        engine = self._engine if own is None else own
        if engine is not None:
            self._stylize = partial(stylize_long_clip, engine=engine, count=self._count_parts)
            self._in_flight = IN_FLIGHT - 1 + engine.workers
        try:
            for entry in self.entries.values():
                self._skip_done(entry)
            while self._has_work():
                self._start_some()
                self._hear()
                self._meanwhile()
        finally:
            self._stopped.set()
            if self._is_frozen:
                gc.unfreeze()
            try:
                self._wait()
            finally:
                if own is not None:
                    own.close()

    def ended(self, seconds: float, report: str) -> Ended:
        """What came of it."""
        records = [entry.record for entry in self.entries.values()]
        before = sum(record.is_from_before for record in records)
        done = sum(record.status == "done" for record in records)
        failed = sum(record.status == "failed" for record in records)
        left = len(records) - done - failed
        return Ended(done - before, before, failed, left, round(seconds, 3), report)

    def _started_workers(self) -> LocalPool | None:
        """Processes that paint; none where one is enough, which is this one."""
        device = str(self._config.options.get("device") or "auto")
        workers = self._config.workers or default_workers(device)
        return LocalPool(workers, device) if workers > 1 else None

    def _count_parts(self, info: VideoInfo, workers: int) -> int:
        others = len(self._waiting) + len(self._running) - 1
        return count_parts(info, workers, are_busy=others >= workers)

    def _entry(self, step: Step) -> Entry:
        if not step.is_done:
            return Entry(step, new_record(step.job))
        record = self._kept.of(step.job)
        record.status, record.is_from_before, record.attempts = "done", True, 0
        record.source = step.job.config.source
        return Entry(step, record)

    def _skip_done(self, entry: Entry) -> None:
        if entry.step.is_done:
            clear_remains(entry.step.job.config.target)
            self._emit(Skipped(entry.step.job.name))

    def _welcome(self, step: Step) -> None:
        """Take a step that has come meanwhile; none for the same output is at work."""
        name = step.job.name
        known = self.entries.get(name)
        if step.is_done and known is not None and known.record.status == "done":
            return  # only its time has changed
        if name in self._again:
            self._again.remove(name)
        self.entries[name] = self._entry(step)
        self._skip_done(self.entries[name])
        if not step.is_done and name not in self._waiting:
            self._waiting.append(name)

    def _has_work(self) -> bool:
        if self._ends_early:
            return bool(self._running)
        if not self._waiting and not self._running:
            self._waiting, self._again = self._again, deque()
        if self._arrivals is None:
            return bool(self._waiting or self._running)
        if len(self._waiting) < self._in_flight:
            for step in self._arrivals({self.entries[name].step.job.config.source for name in self._running}):
                self._welcome(step)
        return True

    def _start_some(self) -> None:
        while self._waiting and len(self._running) < self._in_flight and not self._ends_early:
            name = self._waiting.popleft()
            step, record = self.entries[name].step, self.entries[name].record
            record.attempts += 1
            self._emit(Started(name, step.job.config.source, record.attempts, step.megapixels))
            work = (step, record, self._kept, self._stylize, self._messages.put, self._stopped)
            thread = threading.Thread(target=run_clip, args=work, name=f"flowbrush-clip {name}", daemon=True)
            self._running[name] = thread
            thread.start()

    def _hear(self) -> None:
        """Pass on what the clips say; return after a while without a word."""
        try:
            message = self._messages.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            return
        if isinstance(message, Outcome):
            self._running.pop(message.step.job.name).join()
            self._conclude(message)
            del message
            self._tidy()
        else:
            self._emit(message)

    def _conclude(self, outcome: Outcome) -> None:
        record, job = outcome.record, outcome.step.job
        if isinstance(outcome.error, Interrupted):
            record.status = "waiting"
        elif outcome.error is None:
            self._emit(Finished(job.name, record.figures))
        elif self._arrivals is not None and self._arrivals.expects(job.config.source):
            record.status = "waiting"
            self._emit(Failed(job.name, record.error or "", will_retry=True))
        else:
            will_retry = self._config.keep_going and record.attempts == 1
            self._emit(Failed(job.name, record.error or "", will_retry))
            if will_retry:
                self._again.append(job.name)
            self._ends_early = self._ends_early or not self._config.keep_going

    def _tidy(self) -> None:
        """Let go of what a clip has left.

        PyAV's frames and their side data hold each other, as other things do, and Python would look for such pairs too
        seldom: a hundred clips later. What is loaded for good is left out of the search, which takes half a
        millisecond then instead of a hundred; only in a process of one's own, as that is everything in it.
        """
        gc.collect()
        if self._owns_process and not self._is_frozen:
            self._is_frozen = True
            gc.freeze()

    def _wait(self) -> None:
        """Let the clips end; who does not is left behind."""
        until = time.monotonic() + GRACE_SECONDS
        for thread in self._running.values():
            thread.join(max(until - time.monotonic(), 0))
        while not self._messages.empty():
            message = self._messages.get()
            if isinstance(message, Outcome) and message.error is None:  # in its place all the same
                self._emit(Finished(message.step.job.name, message.record.figures))


def is_busy() -> bool:
    """Whether a thread of ours still runs: after an interruption, one that is in the middle of something long."""
    return any(thread.name.startswith("flowbrush-") for thread in threading.enumerate())
