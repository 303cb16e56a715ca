"""Clips that arrive in the folders of a batch while it runs: a complete file becomes a step."""

import os
import signal
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.batch.config import BatchConfig
from pipeline.batch.events import Emit, Noted
from pipeline.batch.inputs.clips import InputFile, find_clips
from pipeline.batch.inputs.jobfile import Row
from pipeline.batch.inputs.jobs import Job, check_names, jobs_of
from pipeline.batch.plan import Step, inspect, may_write, without_own_outputs
from pipeline.batch.records import Records
from pipeline.errors import InputError, PipelineError
from pipeline.notices import Notify
from pipeline.system.files.reading import file_signature, open_input

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class WatchTimes:
    """How folders are watched.

    Attributes:
        poll_seconds: time between two readings of a folder in seconds.
        settle_seconds: a file is complete when it has not changed for so long; recorders and copies write more often.
        old_seconds: a file that was last written so long ago needs no second look.
    """

    poll_seconds: float = 1.0
    settle_seconds: float = 5.0
    old_seconds: float = 60.0


class Arrivals:
    """The steps for clips that arrive while a batch runs.

    Args:
        config: configuration of the batch.
        steps: steps of its plan.
        emit: called with a note for each clip that is not stylized.
        times: how folders are watched.
        notes: lines on the folders that are known already.
    """

    def __init__(
        self, config: BatchConfig, steps: Sequence[Step], emit: Emit, times: WatchTimes, notes: Iterable[str] = ()
    ) -> None:
        self._config = config
        self._emit = emit
        self._jobs: dict[str, Job] = {step.job.name: step.job for step in steps}
        self._records = Records(config.state_folder)
        folders = [text for text in config.inputs if os.path.isdir(text)]
        self._notes = set(notes)
        sources = (step.job.config.source for step in steps)
        self._watcher = FolderWatcher(folders, config.output, sources, times, self._note)
        self._poll_seconds = times.poll_seconds
        self._next_poll = 0.0

    def __call__(self, busy: Collection[str]) -> list[Step]:
        """Return the steps for clips that are new or have changed; they replace older steps with the same output.

        Args:
            busy: paths of the clips that are being stylized.
        """
        if time.monotonic() < self._next_poll:
            return []
        steps = [step for clip in self._watcher.new_clips(busy) for step in self._steps_for(clip)]
        self._next_poll = time.monotonic() + self._poll_seconds
        return steps

    def expects(self, source: str) -> bool:
        """Return whether a clip has changed since its step was made, so that another step will follow."""
        return self._watcher.expects(source)

    def _steps_for(self, clip: InputFile) -> Iterator[Step]:
        try:
            jobs = without_own_outputs(jobs_of(self._config, [Row(clip)]), self._records)
            others = (job for job in self._jobs.values() if job.config.source != clip.path)
            check_names([*others, *jobs])
            steps = [step for job in jobs if (step := inspect(job, self._records)) is not None]
        except (PipelineError, ValueError) as error:
            self._note_skipped(clip, str(error))
            return
        for step in steps:
            if step.is_done or may_write(step.job.config):
                self._jobs[step.job.name] = step.job
                yield step
            else:
                self._note_skipped(clip, f"{step.job.config.target} exists already; --overwrite replaces it")

    def _note(self, line: str) -> None:
        """Emit a note on a folder, once: it is read every second."""
        if line not in self._notes:
            self._notes.add(line)
            self._emit(Noted(None, line))

    def _note_skipped(self, clip: InputFile, reason: str) -> None:
        self._emit(Noted(None, f"{clip.path} is skipped: {reason}"))


@dataclass(slots=True)
class _KnownFile:
    signature: tuple[int, int]
    since: float
    is_returned: bool = False


class FolderWatcher:
    """Finds new and changed clips in folders.

    Args:
        folders: the folders, watched with all their subfolders.
        output: output folder of the batch, which is not watched.
        known: paths of clips that are not new.
        times: when a file counts as complete.
        notify: called with lines on what is skipped, at each reading.
    """

    def __init__(
        self,
        folders: Iterable[str],
        output: Path,
        known: Iterable[str],
        times: WatchTimes,
        notify: Notify = lambda line: None,
    ) -> None:
        self._folders = tuple(folders)
        self._output = output
        self._times = times
        self._notify = notify
        self._known: dict[str, _KnownFile] = {}
        for path in known:
            signature = file_signature(path)
            if signature is not None:
                self._known[path] = _KnownFile(signature, 0.0, is_returned=True)

    def new_clips(self, busy: Collection[str] = ()) -> Iterator[InputFile]:
        """Yield complete clips that are new or have changed; none of a folder that has vanished.

        Args:
            busy: paths that are left for a later call: whether they are new depends on how their run ends.
        """
        now = time.monotonic()
        for file in self._files():
            if self._is_new(file.path, now) and file.path not in busy:
                self._known[file.path].is_returned = True
                yield file

    def expects(self, path: str) -> bool:
        """Return whether a file has changed since it was returned, and will be returned again."""
        signature, known = file_signature(path), self._known.get(path)
        if signature is None or (known is not None and known.is_returned and known.signature == signature):
            return False
        return any(file.path == path for file in self._files())

    def _files(self) -> Iterator[InputFile]:
        for folder in self._folders:
            with suppress(InputError):
                yield from find_clips([folder], self._output, notify=self._notify)

    def _is_new(self, path: str, now: float) -> bool:
        """Return whether a file is complete and was not returned yet."""
        signature = file_signature(path)
        if signature is None or signature[0] == 0:
            return False
        known = self._known.get(path)
        if known is None or known.signature != signature:
            known = self._known[path] = _KnownFile(signature, now)
        if known.is_returned:
            return False
        is_old = time.time() - signature[1] / 1e9 > self._times.old_seconds
        return (is_old or now - known.since >= self._times.settle_seconds) and not is_being_written(path)


def may_grow(path: str) -> bool:
    """Return whether a file may not be complete yet."""
    signature = file_signature(path)
    if signature is None:
        return True
    return time.time() - signature[1] / 1e9 < WatchTimes().settle_seconds or is_being_written(path)


def is_being_written(path: str) -> bool:
    """Return whether a process has the file open for writing; always False where the system cannot answer.

    Linux answers for files of the same user: it grants a read lease (fcntl(2), F_SETLEASE) only if nobody has the file
    open for writing.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    with suppress(OSError), open_input(path) as file:
        fcntl.fcntl(
            file, fcntl.F_SETSIG, signal.SIGURG
        )  # ignored; the default SIGIO would end the process if a writer comes
        try:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except BlockingIOError:
            return True
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False
