"""A whole batch, from its inputs to its report."""

import os
import shutil
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from pipeline.batch.engine import SegmentEngine
from pipeline.batch.events import Emit, Ended, Noted
from pipeline.batch.inputs import Found
from pipeline.batch.jobfile import Row
from pipeline.batch.jobs import BatchConfig, check_names, jobs_of, make_jobs, without_own_outputs
from pipeline.batch.plan import BatchPlan, Step, look_at, may_be_written, plan_batch
from pipeline.batch.records import Records
from pipeline.batch.report import summary_line, write_reports
from pipeline.batch.runner import Runner
from pipeline.batch.thumbnails import draw_thumbnails
from pipeline.batch.watch import Watcher, may_grow
from pipeline.device import find_device
from pipeline.errors import InputError, OutputError, PipelineError
from pipeline.lock import HeldError, Lock
from pipeline.space import size_text

# How often a folder is looked at.
WATCH_SECONDS = 1.0
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
    engine: SegmentEngine | None = None,
) -> Ended:
    """Paint the clips of a plan, and write the reports.

    Args:
        config: of which the plan was made.
        planned: by `plan`.
        emit: called with each event, in the calling thread.
        engine: that paints, as a cluster may, see `pipeline.batch.engine`; None for workers of this machine. Whoever
            gives it closes it.

    Raises:
        OutputError: another batch works in the same folder, or it cannot be made.
        DeviceError: a device that was asked for is not to be had.
        KeyboardInterrupt: as it came; a note tells what is done, and the same batch goes on.
    """
    if engine is None:  # others have devices of their own
        for device in {step.job.config.stylize.device for step in planned.to_do}:
            find_device(device)
    lock = _lock(config)
    begun, clock, steps = datetime.now().astimezone(), time.monotonic(), list(planned.steps)
    try:
        emit(planned.event())
        for line in planned.notes:
            emit(Noted(None, line))
        _note_space(config, planned, emit)
        arrivals = _Arrivals(config, steps, emit)
        runner = Runner(config, planned.steps, emit, arrivals if config.watch else lambda: None, engine)
        arrivals.idle = partial(_report, config, runner, steps, begun, clock, emit, is_end=False)
        try:
            runner.run()
        except KeyboardInterrupt as error:
            ended = _report(config, runner, steps, begun, clock, emit)
            error.add_note(f"{summary_line(ended)}; the same command goes on")
            raise
        _draw_missing(config, runner, steps)
        return _report(config, runner, steps, begun, clock, emit)
    finally:
        lock.release()


def _draw_missing(config: BatchConfig, runner: Runner, steps: Sequence[Step]) -> None:
    """Thumbnails of clips whose run was killed between its output and these."""
    records = Records(config.state_folder)
    for step, record in zip(steps, runner.records, strict=False):
        before, after = records.thumbnail(step.job, 0), records.thumbnail(step.job, 1)
        if record.is_from_before and not (before.exists() and after.exists()):
            draw_thumbnails(step.job.config, step.clip.seconds, before, after)


def _note_space(config: BatchConfig, planned: BatchPlan, emit: Emit) -> None:
    needed, free = sum(step.bytes for step in planned.to_do), shutil.disk_usage(config.output).free
    if needed > free:
        text = f"about {size_text(needed)} are needed, {size_text(free)} are free: the disk may become full"
        emit(Noted(None, text))


def _lock(config: BatchConfig) -> Lock:
    try:
        return Lock(str(config.state_folder / "lock"))
    except HeldError as error:
        process = f" (process {error.process})" if error.process is not None else ""
        raise OutputError(config.output, f"another batch{process} works there; wait for it, or end it") from error
    except OSError as error:
        raise OutputError(config.output, f"the folder cannot be made ({error.strerror})") from error


def _report(
    config: BatchConfig,
    runner: Runner,
    steps: Sequence[Step],
    begun: datetime,
    clock: float,
    emit: Emit,
    *,
    is_end: bool = True,
) -> Ended:
    ended = runner.ended(time.monotonic() - clock, str(config.output / "report.html"))
    try:
        write_reports(config.output, steps, runner.records, ended, begun)
    except OSError as error:
        emit(Noted(None, f"the report cannot be written ({error.strerror}); make room, and run the batch again"))
    if is_end:
        emit(ended)
    return ended


class _Arrivals:
    """Called now and then: the steps for clips that have come into the folders."""

    def __init__(self, config: BatchConfig, steps: list[Step], emit: Emit) -> None:
        self._config = config
        self._steps = steps
        self._emit = emit
        self._records = Records(config.state_folder)
        folders = [text for text in config.inputs if os.path.isdir(text)]
        self._watcher = Watcher(folders, config.output, (step.job.config.source for step in steps))
        self._next_look = 0.0
        self._next_report = 0.0
        self.idle: Callable[[], object] = lambda: None

    def __call__(self) -> list[Step]:
        if time.monotonic() < self._next_look:
            return []
        if time.monotonic() >= self._next_report:
            self.idle()
            self._next_report = time.monotonic() + REPORT_SECONDS
        found = [step for clip in self._watcher.arrived() for step in self._steps_for(clip)]
        self._next_look = time.monotonic() + WATCH_SECONDS
        self._steps.extend(found)
        return found

    def _steps_for(self, clip: Found) -> list[Step]:
        steps: list[Step] = []
        try:
            jobs = without_own_outputs(jobs_of(self._config, [Row(clip)]), self._config)
            check_names([*(step.job for step in self._steps if step.job.config.source != clip.path), *jobs])
            steps = [step for job in jobs if (step := look_at(job, self._records)) is not None]
        except (PipelineError, ValueError) as error:
            self._emit(Noted(None, f"{clip.path} is left alone: {error}"))
        return [step for step in steps if step.is_done or self._is_free(step)]

    def _is_free(self, step: Step) -> bool:
        is_free = may_be_written(step.job.config)
        if not is_free:
            self._emit(Noted(step.job.name, "exists already; the changed clip is left alone without --overwrite"))
        return is_free
