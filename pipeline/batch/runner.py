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
from functools import partial

from pipeline.batch.clip_run import Interrupted, Message, Outcome, Paint, run_clip
from pipeline.batch.engine import SegmentEngine
from pipeline.batch.events import Emit, Ended, Failed, Finished, Skipped, Started
from pipeline.batch.jobs import BatchConfig
from pipeline.batch.local_engine import LocalEngine, default_workers
from pipeline.batch.long import paint_on
from pipeline.batch.painters import Painters
from pipeline.batch.plan import Step
from pipeline.batch.records import Record, Records
from pipeline.batch.seams import count_parts
from pipeline.frames import VideoInfo
from pipeline.run import stylize_video
from pipeline.work_folder import clear_remains

# One is painted; the next waits with its first frames; the one before is put together.
IN_FLIGHT = 3
# How often new clips are looked for, and an interruption is noticed at the latest.
LOOK_SECONDS = 0.25
# What the system's kill leaves is whole; so nobody waits longer for a stage that does not hear.
GRACE_SECONDS = 1.2


class Runner:
    """Runs the steps of a plan; to be used once.

    Args:
        config: of the batch.
        steps: in the order in which they are done.
        emit: called with each event, in the thread that calls `run`.
        more: asked for further steps now and then until it gives None; without it the batch ends with its steps.
        engine: that paints; None for workers of this machine, as many as the batch wants. Whoever gives it closes it.

    Attributes:
        records: of each step, in the order of the plan.
    """

    def __init__(
        self,
        config: BatchConfig,
        steps: Sequence[Step],
        emit: Emit,
        more: Callable[[], list[Step] | None] = lambda: None,
        engine: SegmentEngine | None = None,
    ) -> None:
        self.records: list[Record] = []
        self._config = config
        self._emit = emit
        self._more = more
        self._kept = Records(config.state_folder)
        self._stopped = threading.Event()
        self._painters = Painters(self._stopped)
        self._paint: Paint = partial(stylize_video, make=self._painters.stylizer)
        self._in_flight = IN_FLIGHT
        self._engine = engine
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._running: dict[int, threading.Thread] = {}
        self._waiting: deque[tuple[Step, Record]] = deque()
        self._again: deque[tuple[Step, Record]] = deque()
        self._ends_early = False
        self._is_tidy = False
        for step in steps:
            self._add(step)

    def run(self) -> None:
        """Do all steps; what fails is tried once more at the end.

        Raises:
            KeyboardInterrupt: as it came; within `GRACE_SECONDS` all clips have been told to end.
        """
        own = self._started_workers() if self._engine is None else None
        engine = self._engine if own is None else own
        if engine is not None:
            self._paint = partial(paint_on, engine=engine, count=self._count_parts)
            self._in_flight = IN_FLIGHT - 1 + engine.workers
        try:
            while self._has_work():
                self._start_some()
                self._hear()
        finally:
            self._stopped.set()
            self._wait()
            gc.unfreeze()
            if own is not None:
                own.close()

    def ended(self, seconds: float, report: str) -> Ended:
        """What came of it."""
        before = sum(record.is_from_before for record in self.records)
        done = sum(record.status == "done" for record in self.records)
        failed = sum(record.status == "failed" for record in self.records)
        left = len(self.records) - done - failed
        return Ended(done - before, before, failed, left, round(seconds, 3), report)

    def _started_workers(self) -> LocalEngine | None:
        """Processes that paint; none where one is enough, which is this one."""
        device = str(self._config.options.get("device") or "auto")
        workers = self._config.workers or default_workers(device)
        return LocalEngine(workers, device) if workers > 1 else None

    def _count_parts(self, info: VideoInfo, workers: int) -> int:
        return count_parts(info, workers, are_busy=len(self._waiting) >= workers)

    def _add(self, step: Step) -> None:
        record = self._kept.of(step.job)
        record.is_from_before, record.attempts, record.source = step.is_done, 0, step.job.config.source
        self.records.append(record)
        if step.is_done:
            record.status = "done"
            clear_remains(step.job.config.target)
            self._emit(Skipped(step.job.name))
        else:
            record.status, record.error, record.figures, record.notices = "waiting", None, {}, []
            self._waiting.append((step, record))

    def _has_work(self) -> bool:
        if self._ends_early:
            return bool(self._running)
        if not self._waiting and not self._running:
            self._waiting, self._again = self._again, deque()
        if len(self._waiting) < self._in_flight:
            new = self._more()
            if new is None:
                return bool(self._waiting or self._running)
            for step in new:
                self._add(step)
        return True

    def _start_some(self) -> None:
        while self._waiting and len(self._running) < self._in_flight and not self._ends_early:
            step, record = self._waiting.popleft()
            record.attempts += 1
            self._emit(Started(step.job.name, step.job.config.source, record.attempts, step.megapixels))
            work = (step, record, self._kept, self._paint, self._messages.put, self._stopped)
            thread = threading.Thread(target=run_clip, args=work, name=f"flowbrush-clip {step.job.name}", daemon=True)
            self._running[id(record)] = thread
            thread.start()

    def _hear(self) -> None:
        """Pass on what the clips say; return after a while without a word."""
        try:
            message = self._messages.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            return
        if isinstance(message, Outcome):
            self._running.pop(id(message.record)).join()
            self._conclude(message)
            del message
            self._tidy()
        else:
            self._emit(message)

    def _conclude(self, outcome: Outcome) -> None:
        record, step = outcome.record, outcome.step
        if isinstance(outcome.error, Interrupted):
            record.status = "waiting"
        elif outcome.error is None:
            self._emit(Finished(step.job.name, record.figures))
        else:
            will_retry = self._config.keep_going and record.attempts == 1
            self._emit(Failed(step.job.name, record.error or "", will_retry))
            if will_retry:
                self._again.append((step, record))
            self._ends_early = self._ends_early or not self._config.keep_going

    def _tidy(self) -> None:
        """Let go of what a clip has left.

        PyAV's frames and their side data hold each other, as other things do, and Python would look for such pairs too
        seldom: a hundred clips later. What is loaded for good is left out of the search, which takes half a
        millisecond then instead of a hundred.
        """
        gc.collect()
        if not self._is_tidy:
            self._is_tidy = True
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
