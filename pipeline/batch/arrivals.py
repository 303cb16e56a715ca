"""Clips that come into the folders of a batch while it runs, as steps of it."""

import os
import time
from collections.abc import Collection, Iterator, Sequence

from pipeline.batch.config import BatchConfig
from pipeline.batch.events import Emit, Noted
from pipeline.batch.inputs import Found
from pipeline.batch.jobfile import Row
from pipeline.batch.jobs import Job, check_names, jobs_of, without_own_outputs
from pipeline.batch.plan import Step, look_at, may_be_written
from pipeline.batch.records import Records
from pipeline.batch.watch import Watcher
from pipeline.errors import PipelineError

# How often a folder is looked at.
WATCH_SECONDS = 1.0


class Arrivals:
    """Looks at the folders of a batch now and then.

    Args:
        config: of the batch.
        steps: of its plan.
        emit: called with what is said of clips that are left alone.
    """

    def __init__(self, config: BatchConfig, steps: Sequence[Step], emit: Emit) -> None:
        self._config = config
        self._emit = emit
        self._jobs: dict[str, Job] = {step.job.name: step.job for step in steps}
        self._records = Records(config.state_folder)
        folders = [text for text in config.inputs if os.path.isdir(text)]
        self._watcher = Watcher(folders, config.output, (step.job.config.source for step in steps))
        self._next_look = 0.0

    def __call__(self, busy: Collection[str]) -> list[Step]:
        """Steps for the clips that have come, or have changed, since the last look.

        They take the place of older steps with the same output.

        Args:
            busy: clips that are being painted.
        """
        if time.monotonic() < self._next_look:
            return []
        steps = [step for clip in self._watcher.arrived(busy) for step in self._steps_for(clip)]
        self._next_look = time.monotonic() + WATCH_SECONDS
        return steps

    def expects(self, source: str) -> bool:
        """Whether a clip has changed since it was looked at, and will come again when it stands still."""
        return self._watcher.expects(source)

    def _steps_for(self, clip: Found) -> Iterator[Step]:
        try:
            jobs = without_own_outputs(jobs_of(self._config, [Row(clip)]), self._config)
            others = (job for job in self._jobs.values() if job.config.source != clip.path)
            check_names([*others, *jobs])
            steps = [step for job in jobs if (step := look_at(job, self._records)) is not None]
        except (PipelineError, ValueError) as error:
            self._leave_alone(clip, str(error))
            return
        for step in steps:
            if step.is_done or may_be_written(step.job.config):
                self._jobs[step.job.name] = step.job
                yield step
            else:
                self._leave_alone(clip, f"{step.job.config.target} exists already; --overwrite replaces it")

    def _leave_alone(self, clip: Found, reason: str) -> None:
        self._emit(Noted(None, f"{clip.path} is left alone: {reason}"))
