"""Runs the jobs, one after the other, each in a process of its own that may be killed at any moment."""

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from pipeline.errors import OutputError, reason_of
from pipeline.studio.answers import RequestError
from pipeline.studio.config import StudioConfig
from pipeline.studio.pictures.styles import PictureStyles
from pipeline.studio.render.jobs import MOST_NOTICES, Container, Job, JobStore
from pipeline.studio.render.records import new_id
from pipeline.studio.render.renderer import MODULE, Renderer
from pipeline.studio.render.space import Space, estimated_bytes
from pipeline.studio.render.uploads import Upload, Uploads
from pipeline.studio.settings import ViewerSettings

logger = logging.getLogger(__name__)

MOST_JOBS = 100
# Longest time that the process of a cancelled job takes to end.
STOP_SECONDS = 10.0


class Runner:
    """The jobs and the thread that runs them.

    Args:
        config: of the studio.
        store: the jobs on disk; those that have not ended go on.
        uploads: the clips.
        pictures: styles that were made of pictures.
        space: counts the disk space.
        changed: called with the identifier of each job that changes, in any thread.
        module: what the process of a job runs.
    """

    def __init__(
        self,
        config: StudioConfig,
        store: JobStore,
        uploads: Uploads,
        pictures: PictureStyles,
        space: Space,
        changed: Callable[[str], None],
        *,
        module: str = MODULE,
    ) -> None:
        self._store, self._uploads, self._pictures, self._space = store, uploads, pictures, space
        self._notify = changed
        self._jobs = {job.job: job for job in store.read()}
        self._next_number = 1 + max((job.number for job in self._jobs.values()), default=0)
        self._condition = threading.Condition()
        self._renderer = Renderer(config, space, pictures, self._is_wanted, self._follow, module=module)
        self._current: str | None = None
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="flowbrush-jobs", daemon=True)

    def start(self) -> None:
        """Start working."""
        self._thread.start()

    def close(self) -> None:
        """End the thread and the process of the current job, which resumes at the next start."""
        with self._condition:
            self._is_closed = True
            self._condition.notify_all()
        self._renderer.kill()
        if self._thread.is_alive():
            self._thread.join()

    def jobs(self) -> list[Job]:
        """Return all jobs in their order."""
        with self._condition:
            return sorted(self._jobs.values(), key=lambda job: job.number)

    def find(self, job_id: str) -> Job:
        """Return a job.

        Raises:
            RequestError: there is none.
        """
        with self._condition:
            job = self._jobs.get(job_id)
        if job is None:
            raise RequestError(404, "this job is no longer here; reload the page")
        return job

    def needed_uploads(self) -> set[str]:
        """Return the identifiers of the clips of jobs that have not ended, or that can be tried again."""
        return {job.upload for job in self._needing()}

    def needed_styles(self) -> set[str]:
        """Return the names of the styles of these jobs."""
        return {name for job in self._needing() for name in job.style_names}

    def _needing(self) -> list[Job]:
        with self._condition:
            return [job for job in self._jobs.values() if not job.has_ended or job.state == "failed"]

    def add(self, upload: Upload, settings: ViewerSettings, container: Container) -> Job:
        """Add a job at the end of the queue.

        Args:
            upload: the clip.
            settings: how to stylize it.
            container: of the result.

        Raises:
            RequestError: there are too many, or too little disk space.
        """
        self._space.check(estimated_bytes(upload.width, upload.height, upload.frames, upload.bytes, container))
        with self._condition:
            if len(self._jobs) >= MOST_JOBS:
                raise RequestError(507, f"there are {MOST_JOBS} jobs already; remove finished ones from the list")
            job = Job(
                job=new_id(),
                number=self._next_number,
                upload=upload.upload,
                source=self._uploads.path(upload),
                name=upload.name,
                settings=settings.as_json(),
                style="+".join(self._pictures.label(each.style) for each in settings.styles),
                container=container,
                frames=upload.frames,
            )
            self._next_number += 1
            self._write(job)
            self._jobs[job.job] = job
            self._condition.notify_all()
        self._notify(job.job)
        return job

    def retry(self, job_id: str) -> Job:
        """Put a job that failed or was cancelled at the end of the queue again, with the same clip and settings.

        Raises:
            RequestError: there is no such job, its clip or the picture of its style is no longer here, or there is too
                little disk space.
        """
        job = self.find(job_id)
        upload = self._uploads.find(job.upload)
        self._pictures.check(job.style_names)
        self._space.check(estimated_bytes(upload.width, upload.height, upload.frames, upload.bytes, job.container))
        with self._condition:
            if not self._condition.wait_for(lambda: self._current != job_id, STOP_SECONDS):
                raise RequestError(409, f"{job.name}: is still being stopped; try again in a few seconds")
            job = self.find(job_id)
            if job.state not in ("failed", "cancelled"):
                raise RequestError(409, f"{job.name}: is {job.state}; only a render without a result is tried again")
            again = replace(
                job, number=self._next_number, state="waiting", frames_done=0, fps=0.0, error=None, notices=()
            )
            self._next_number += 1
            self._write(again)
            self._jobs[job_id] = again
            self._condition.notify_all()
        self._notify(job_id)
        return again

    def stop(self, job_id: str) -> Job | None:
        """Cancel a job that waits or runs, or remove one that has ended, with its files.

        Returns:
            The cancelled job, None if it is removed.

        Raises:
            RequestError: there is no such job.
        """
        job = self.find(job_id)
        with self._condition:
            job = self._jobs.get(job_id, job)
            if job.has_ended:
                self._jobs.pop(job_id, None)
                self._store.remove(job)
                stopped = None
            else:
                stopped = self._change(job_id, state="cancelled", fps=0.0)
                if self._current != job_id:
                    self._store.clear_output(job)
        self._renderer.kill(job_id)
        self._notify(job_id)
        return stopped

    def _run(self) -> None:
        while (job := self._take()) is not None:
            try:
                self._render(job)
            except Exception:
                logger.exception("%s", job.name)
                self._change(job.job, state="failed", error=f"{job.name}: the studio failed; its terminal shows why")
            self._finish(job)

    def _take(self) -> Job | None:
        """Wait for the next job; None at the end."""
        with self._condition:
            while not self._is_closed:
                waiting = [job for job in self._jobs.values() if job.state == "waiting"]
                if waiting:
                    job = min(waiting, key=lambda job: job.number)
                    self._current = job.job
                    return self._change(job.job, state="running", error=None)
                self._condition.wait()
        return None

    def _finish(self, job: Job) -> None:
        with self._condition:
            self._current = None
            self._condition.notify_all()
            now = self._jobs.get(job.job)
            if self._is_closed:
                return
            if now is None or now.state == "cancelled":
                self._store.clear_output(job)
        self._notify(job.job)

    def _render(self, job: Job) -> None:
        target = self._store.result(job)
        if target.is_file() and not target.with_name(f"{target.name}.flowbrush").exists():
            self._end(job, {"done": True, "frames": job.frames or 0})  # the studio ended before it could note this
        elif end := self._renderer.render(job, target):
            self._end(job, end)

    def _is_wanted(self, job: Job) -> bool:
        with self._condition:
            now = self._jobs.get(job.job)
            return not self._is_closed and now is not None and now.state == "running"

    def _follow(self, job: Job, message: Mapping[str, Any]) -> None:
        if "notice" in message:
            with self._condition:
                now = self._jobs.get(job.job)
                if now is None or message["notice"] in now.notices or len(now.notices) >= MOST_NOTICES:
                    return
                self._change(job.job, notices=(*now.notices, message["notice"]))
        elif "frames" in message:
            frames = message["total"] or job.frames
            self._change(job.job, frames_done=message["frames"], frames=frames, fps=float(message["fps"]))

    def _end(self, job: Job, end: Mapping[str, Any]) -> None:
        if "error" in end:
            self._store.clear_output(job)  # another order starts from scratch
            self._change(job.job, state="failed", error=end["error"], fps=0.0)
            return
        size = self._store.result(job).stat().st_size
        frames = end["frames"]
        self._change(job.job, state="done", frames_done=frames, frames=frames, fps=0.0, result_bytes=size)

    def _change(self, job_id: str, **values: Any) -> Job | None:
        """Change a job unless it was cancelled or removed; store it if its state changes."""
        with self._condition:
            before = self._jobs.get(job_id)
            if before is None or before.has_ended:
                return None
            after = self._jobs[job_id] = replace(before, **values)
            if after.state != before.state or after.notices != before.notices:
                with suppress(OutputError):
                    self._write(after)
        self._notify(job_id)
        return after

    def _write(self, job: Job) -> None:
        try:
            self._store.write(job)
        except OSError as error:
            raise OutputError(job.name, f"the job cannot be stored ({reason_of(error)}); free disk space") from error
