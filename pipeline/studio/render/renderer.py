"""Renders a job in a process of its own, which may die or be killed at any moment."""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.studio.answers import RequestError
from pipeline.studio.config import StudioConfig
from pipeline.studio.pictures.styles import PictureStyles
from pipeline.studio.render.jobs import Job
from pipeline.studio.render.processes.child import Child, describe_end
from pipeline.studio.render.space import Space

MODULE = "pipeline.studio.render.processes.render"
# How often a process is started for a job, if it dies.
ATTEMPTS = 2
# How often the disk space is looked at during a render.
SPACE_SECONDS = 5.0

Message = Mapping[str, Any]


class Renderer:
    """Renders one job at a time.

    Args:
        config: of the studio.
        space: counts the disk space.
        pictures: styles that were made of pictures.
        is_wanted: returns whether a job is to be rendered, or to go on.
        follow: called with a job and each message of its process but the last.
        module: what the process runs.
    """

    def __init__(
        self,
        config: StudioConfig,
        space: Space,
        pictures: PictureStyles,
        is_wanted: Callable[[Job], bool],
        follow: Callable[[Job, Message], None],
        *,
        module: str = MODULE,
    ) -> None:
        self._config, self._space, self._pictures = config, space, pictures
        self._is_wanted, self._follow, self._module = is_wanted, follow, module
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._job_id = ""

    def render(self, job: Job, target: Path) -> Message:
        """Render a job into ``target``.

        A process that dies is replaced by another one, which resumes.

        Returns:
            The last message: ``done``, ``frames`` or ``error``. Empty if the job is no longer wanted.

        Raises:
            OSError: the system cannot start another process.
        """
        how = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                self._follow(job, {"notice": f"{how}; another one resumed after the last finished segment"})
            end, code = self._run_process(job, target)
            if end or not self._is_wanted(job):
                return end
            how = f"the process that rendered it ended unexpectedly ({describe_end(code)})"
        return {"error": f"{job.name}: {how} {ATTEMPTS} times; is the memory of this machine too small?"}

    def kill(self, job_id: str | None = None) -> None:
        """Kill the process of a job that is no longer wanted, if it has one; None for any job. From any thread."""
        with self._lock:
            if self._child is not None and job_id in (None, self._job_id):
                self._child.kill()

    def _run_process(self, job: Job, target: Path) -> tuple[Message, int]:
        """Render in a process; return its last message, empty if it has sent none, and its exit code."""
        child = self._start(job)
        if child is None:
            return {}, 0
        end: Message = {}
        try:
            child.send(**self._order(job, target))
            end = self._listen(child, job)
        finally:
            with self._lock:
                self._child = None
            code = child.close()
        return end, code

    def _order(self, job: Job, target: Path) -> dict[str, object]:
        """Return the message for the process of a job."""
        return {
            "source": job.source,
            "target": str(target),
            "name": job.name,
            "settings": job.settings,
            "files": self._pictures.files(job.style_names),
            "device": self._config.device,
            "engine": self._config.engine,
        }

    def _start(self, job: Job) -> Child | None:
        """Start the process of a job, unless it was cancelled meanwhile: who cancels asks to kill it afterwards."""
        with self._lock:
            if not self._is_wanted(job):
                return None
            self._child, self._job_id = Child(self._module), job.job
            return self._child

    def _listen(self, child: Child, job: Job) -> Message:
        """Pass messages on until the process ends; return its last one, or why it was killed."""
        end: Message = {}
        next_look = time.monotonic() + SPACE_SECONDS
        while (answer := child.receive()) is not None:
            message, _ = answer
            if end:
                continue
            if "done" in message or "error" in message:
                end = message
                continue
            self._follow(job, message)
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + SPACE_SECONDS
                end = self._out_of_space(job)
                if end:
                    child.kill()
        return end

    def _out_of_space(self, job: Job) -> Message:
        try:
            self._space.check()
        except RequestError as error:
            return {"error": f"{job.name}: {error.message}"}
        return {}
