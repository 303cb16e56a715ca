"""A whole batch, from its inputs to its report."""

import os
import shutil
import time
from collections.abc import Callable
from datetime import datetime

from pipeline.batch.config import BatchConfig
from pipeline.batch.events import Emit, Ended, Event, Failed, Finished, Noted, Skipped
from pipeline.batch.inputs.jobs import make_jobs
from pipeline.batch.inputs.places import pull_folder, push_file
from pipeline.batch.plan import BatchPlan, plan_batch
from pipeline.batch.records import Records
from pipeline.batch.report import summary_line, write_reports
from pipeline.batch.runner import Runner
from pipeline.batch.thumbnails import draw_thumbnails
from pipeline.batch.watch import Arrivals, WatchTimes, may_grow
from pipeline.errors import InputError, OutputError
from pipeline.resume.disk_space import size_text
from pipeline.stylize.device import find_device
from pipeline.system.files.atomic import remove_all_abandoned
from pipeline.system.lock import HeldError, Lock
from pipeline.workers.protocol import SegmentExecutor

# Shortest time between two reports of a batch that watches folders.
REPORT_SECONDS = 30.0


def plan(config: BatchConfig, *, progress: Callable[[int, int], None] = lambda done, total: None) -> BatchPlan:
    """Find all clips and decide what to do with each; writes nothing.

    Args:
        config: inputs, styles, options and output folder.
        progress: called with the number of inspected clips and the number of all clips.

    Raises:
        PipelineError: an input or a style is not available, or an output would replace a file.
        ValueError: an option, a name or a job file is invalid.
    """
    notes: list[str] = []
    if config.state_url:
        pull_folder(config.state_url, config.state_folder)
    jobs = make_jobs(config, notes.append)
    if config.watch:  # files that may grow are left to the watcher
        jobs = [job for job in jobs if job.is_named or not may_grow(job.config.source)]
    planned = plan_batch(config, jobs, notes, progress=progress)
    if not planned.steps and not config.watch:
        others = f" among {planned.ignored} files" if planned.ignored else ""
        raise InputError(", ".join(config.inputs), f"no video was found{others}; check the folder")
    return planned


def run_batch(
    config: BatchConfig,
    planned: BatchPlan,
    emit: Emit = lambda event: None,
    *,
    executor: SegmentExecutor | None = None,
    owns_process: bool = False,
    watch_times: WatchTimes | None = None,
) -> Ended:
    """Stylize the clips of a plan and write the reports, also after an error or an interruption.

    Args:
        config: the configuration that the plan was made for.
        planned: the result of `plan`.
        emit: called with each event, in the calling thread; what it raises ends the batch.
        executor: runs the clips, for example on a cluster, see `pipeline.workers.protocol`; None for workers on this
            machine. The caller closes it.
        owns_process: whether the process serves this batch alone, so that its garbage collector may be tuned.
        watch_times: how folders are watched, with ``config.watch``.

    Raises:
        OutputError: another batch is running in the output folder, or the folder cannot be created.
        DeviceError: a device is not available.
        KeyboardInterrupt: the batch was interrupted; a note says what is done. The same call resumes it.
    """
    try:
        if executor is None and config.cluster is None:  # other machines have their own devices
            for device in {step.job.config.stylize.device for step in planned.to_do}:
                find_device(device)
        session = _Session(config, planned, emit, executor, owns_process, watch_times or WatchTimes())
        lock = _lock(config)
    except KeyboardInterrupt as error:
        error.add_note("nothing was started")
        raise
    try:
        return session.run()
    finally:
        lock.release()


def _lock(config: BatchConfig) -> Lock:
    try:
        lock = Lock(str(config.state_folder / "lock"))
        remove_all_abandoned(str(config.state_folder))
        return lock
    except HeldError as error:
        reason = f"{error.holder('batch')} is running in this folder; wait for it, or stop it"
        raise OutputError(config.output, reason) from error
    except OSError as error:
        what = "used" if os.path.lexists(config.state_folder) else "created"
        raise OutputError(config.state_folder, f"the folder cannot be {what} ({error.strerror})") from error


class _Session:
    """One run of a batch, whose output folder is locked."""

    def __init__(
        self,
        config: BatchConfig,
        planned: BatchPlan,
        emit: Emit,
        executor: SegmentExecutor | None,
        owns_process: bool,
        watch_times: WatchTimes,
    ) -> None:
        self._config = config
        self._planned = planned
        self._emit = emit
        self._started, self._clock = datetime.now().astimezone(), time.monotonic()
        self._notes: dict[str, None] = {}
        self._has_news, self._next_report = True, 0.0
        self._runner = Runner(
            config,
            planned.steps,
            self._handle,
            arrivals=Arrivals(config, planned.steps, self._handle, watch_times, planned.notes)
            if config.watch
            else None,
            executor=executor,
            idle=self._report_now_and_then,
            owns_process=owns_process,
        )

    def run(self) -> Ended:
        """Run the batch and write its reports."""
        try:
            self._handle(self._planned.event())
            for line in self._planned.notes:
                self._handle(Noted(None, line))
            self._check_space()
            self._runner.run()
            self._draw_missing_thumbnails()
            ended = self._report()
            self._emit(ended)
            return ended
        except KeyboardInterrupt as error:
            ended = self._report()
            is_fresh = any(entry.step.job.config.fresh for entry in self._runner.entries.values())
            command = "the same command without --fresh" if is_fresh else "the same command"
            error.add_note(f"{summary_line(ended)}; run {command} to resume")
            self._emit(ended)
            raise
        except BaseException:
            self._report()
            raise

    def _handle(self, event: Event) -> None:
        if isinstance(event, Noted) and event.output is None:
            self._notes[event.line] = None
        self._has_news = self._has_news or isinstance(event, Finished | Failed | Skipped | Noted)
        self._emit(event)

    def _report_now_and_then(self) -> None:
        if self._config.watch and self._has_news and time.monotonic() >= self._next_report:
            self._has_news = False
            self._report()
            self._next_report = time.monotonic() + REPORT_SECONDS

    def _check_space(self) -> None:
        if self._config.output_url:
            return
        needed = sum(step.bytes for step in self._planned.to_do)
        free = shutil.disk_usage(self._config.output).free
        if needed > free:
            text = f"about {size_text(needed)} are needed, {size_text(free)} are free: the disk may become full"
            self._handle(Noted(None, text))

    def _draw_missing_thumbnails(self) -> None:
        """Draw the thumbnails of clips whose run was killed between their output and these."""
        records = Records(self._config.state_folder)
        for name, entry in self._runner.entries.items():
            thumbnails = records.thumbnails(name)
            if entry.record.done_before and not all(thumbnail.exists() for thumbnail in thumbnails):
                draw_thumbnails(entry.step.job, entry.step.clip.seconds, *thumbnails)

    def _report(self) -> Ended:
        ended = self._runner.ended(time.monotonic() - self._clock, self._config.target("report.html"))
        folder = self._config.output_folder
        try:
            records = [entry.record for entry in self._runner.entries.values()]
            write_reports(folder, records, ended, self._started, self._notes)
            for name in ("report.json", "report.html") if self._config.output_url else ():
                push_file(folder / name, self._config.target(name))
        except OSError as error:
            text = f"the report cannot be written ({error.strerror}); free disk space, and run the batch again"
            self._emit(Noted(None, text))
        return ended
