"""A whole batch, from its inputs to its report."""

import shutil
import time
from collections.abc import Callable
from datetime import datetime

from pipeline.batch.arrivals import Arrivals
from pipeline.batch.config import BatchConfig
from pipeline.batch.events import Emit, Ended, Event, Failed, Finished, Noted, Skipped
from pipeline.batch.jobs import make_jobs
from pipeline.batch.plan import BatchPlan, plan_batch
from pipeline.batch.records import Records
from pipeline.batch.report import summary_line, write_reports
from pipeline.batch.runner import Runner
from pipeline.batch.thumbnails import draw_thumbnails
from pipeline.batch.watch import may_grow
from pipeline.errors import InputError, OutputError
from pipeline.resume.disk_space import size_text
from pipeline.resume.lock import HeldError, Lock
from pipeline.stylize.device import find_device
from pipeline.workers.protocol import SegmentExecutor

# How often the report of a batch without an end is written.
REPORT_SECONDS = 30.0


def plan(config: BatchConfig, *, looked_at: Callable[[int, int], None] = lambda done, total: None) -> BatchPlan:
    """Find all clips, and decide what becomes of each; writes nothing.

    Args:
        config: what, how and where.
        looked_at: called with how many clips have been opened, and how many there are.

    Raises:
        PipelineError: an input is not there, a style is not known, or outputs would replace something.
        ValueError: an option, a name or a job file that makes no sense.
    """
    notes: list[str] = []
    jobs = make_jobs(config, notes.append)
    if config.watch:  # what may grow is left to the watcher
        jobs = [job for job in jobs if job.is_named or not may_grow(job.config.source)]
    planned = plan_batch(config, jobs, notes, looked_at=looked_at)
    if not planned.steps and not config.watch:
        others = f" among {planned.ignored} files" if planned.ignored else ""
        raise InputError(", ".join(config.inputs), f"no video was found{others}; check the folder")
    return planned


def run_batch(
    config: BatchConfig,
    planned: BatchPlan,
    emit: Emit = lambda event: None,
    *,
    engine: SegmentExecutor | None = None,
    owns_process: bool = False,
) -> Ended:
    """Paint the clips of a plan, and write the reports, however it ends.

    Args:
        config: of which the plan was made.
        planned: by `plan`.
        emit: called with each event, in the calling thread; what it raises ends the batch.
        engine: that paints, as a cluster may, see `pipeline.workers.protocol`; None for workers of this
            machine. Whoever
            gives it closes it.
        owns_process: whether the process serves the batch alone, so that Python's memory may be managed for it.

    Raises:
        OutputError: another batch works in the same folder, or it cannot be made.
        DeviceError: a device that was asked for is not to be had.
        KeyboardInterrupt: as it came; a note tells what is done, and the same batch goes on.
    """
    try:
        if engine is None:  # others have devices of their own
            for device in {step.job.config.stylize.device for step in planned.to_do}:
                find_device(device)
        session = _Session(config, planned, emit, engine, owns_process)
        lock = _lock(config)
    except KeyboardInterrupt as error:
        error.add_note("nothing was begun")
        raise
    try:
        return session.run()
    finally:
        lock.release()


def _lock(config: BatchConfig) -> Lock:
    try:
        return Lock(str(config.state_folder / "lock"))
    except HeldError as error:
        process = f" (process {error.process})" if error.process is not None else ""
        raise OutputError(config.output, f"another batch{process} works there; wait for it, or end it") from error
    except OSError as error:
        raise OutputError(config.output, f"the folder cannot be made ({error.strerror})") from error


class _Session:
    """One run of a batch; its folder is held."""

    def __init__(
        self,
        config: BatchConfig,
        planned: BatchPlan,
        emit: Emit,
        engine: SegmentExecutor | None,
        owns_process: bool,
    ) -> None:
        self._config = config
        self._planned = planned
        self._emit = emit
        self._begun, self._clock = datetime.now().astimezone(), time.monotonic()
        self._notes: dict[str, None] = {}
        self._is_news, self._next_report = True, 0.0
        self._runner = Runner(
            config,
            planned.steps,
            self._tell,
            arrivals=Arrivals(config, planned.steps, self._tell) if config.watch else None,
            engine=engine,
            meanwhile=self._meanwhile,
            owns_process=owns_process,
        )

    def run(self) -> Ended:
        """Do all, and report."""
        try:
            self._tell(self._planned.event())
            for line in self._planned.notes:
                self._tell(Noted(None, line))
            self._note_space()
            self._runner.run()
            self._draw_missing()
            ended = self._report()
            self._emit(ended)
            return ended
        except KeyboardInterrupt as error:
            ended = self._report()
            is_fresh = any(entry.step.job.config.fresh for entry in self._runner.entries.values())
            command = "the same command without --fresh" if is_fresh else "the same command"
            error.add_note(f"{summary_line(ended)}; {command} goes on")
            self._emit(ended)
            raise
        except BaseException:
            self._report()
            raise

    def _tell(self, event: Event) -> None:
        if isinstance(event, Noted) and event.output is None:
            self._notes[event.line] = None
        self._is_news = self._is_news or isinstance(event, Finished | Failed | Skipped | Noted)
        self._emit(event)

    def _meanwhile(self) -> None:
        if self._config.watch and self._is_news and time.monotonic() >= self._next_report:
            self._is_news = False
            self._report()
            self._next_report = time.monotonic() + REPORT_SECONDS

    def _note_space(self) -> None:
        needed = sum(step.bytes for step in self._planned.to_do)
        free = shutil.disk_usage(self._config.output).free
        if needed > free:
            text = f"about {size_text(needed)} are needed, {size_text(free)} are free: the disk may become full"
            self._tell(Noted(None, text))

    def _draw_missing(self) -> None:
        """Thumbnails of clips whose run was killed between its output and these."""
        records = Records(self._config.state_folder)
        for name, entry in self._runner.entries.items():
            before, after = records.thumbnail(name, 0), records.thumbnail(name, 1)
            if entry.record.is_from_before and not (before.exists() and after.exists()):
                draw_thumbnails(entry.step.job.config, entry.step.clip.seconds, before, after)

    def _report(self) -> Ended:
        ended = self._runner.ended(time.monotonic() - self._clock, str(self._config.output / "report.html"))
        try:
            records = [entry.record for entry in self._runner.entries.values()]
            write_reports(self._config.output, records, ended, self._begun, self._notes)
        except OSError as error:
            text = f"the report cannot be written ({error.strerror}); make room, and run the batch again"
            self._emit(Noted(None, text))
        return ended
