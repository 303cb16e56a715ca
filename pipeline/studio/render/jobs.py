"""A render job: a clip to stylize, how, and how far it is."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from pipeline.studio.render.records import read_records, write_record
from pipeline.system.files.atomic import remove
from pipeline.system.folders import remove_private

JobState = Literal["waiting", "running", "done", "failed", "cancelled"]
Container = Literal["mp4", "mkv", "webm"]
CONTAINERS: tuple[Container, ...] = get_args(Container)
MOST_NOTICES = 20
_RECORD = "job.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A render job.

    Attributes:
        job: its identifier.
        number: jobs are done in the order of their numbers.
        upload: identifier of the clip.
        source: path of the clip.
        name: of the clip.
        settings: as `pipeline.studio.settings` reads and writes them.
        style: the styles for people, and in the result's name.
        container: of the result.
        state: waiting, running, done, failed or cancelled.
        frames_done: finished frames.
        frames: estimated number of all frames, None if unknown.
        fps: frames per second of this run; 0 before its first.
        error: why it failed, one line.
        result_bytes: size of the result, None without one.
        notices: what the user should know, one line each.
    """

    job: str
    number: int
    upload: str
    source: str
    name: str
    settings: Mapping[str, object]
    style: str
    container: Container
    state: JobState = "waiting"
    frames_done: int = 0
    frames: int | None = None
    fps: float = 0.0
    error: str | None = None
    result_bytes: int | None = None
    notices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "notices", tuple(self.notices))  # JSON has lists
        if self.state not in get_args(JobState) or self.container not in CONTAINERS or not isinstance(self.number, int):
            raise ValueError(f"no job is {self.state}, in {self.container}, with number {self.number}")

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ("done", "failed", "cancelled")

    @property
    def style_names(self) -> list[str]:
        """Names of the styles in its settings."""
        styles = self.settings.get("styles")
        if not isinstance(styles, list):
            return []
        return [str(each["name"]) for each in styles if isinstance(each, dict) and "name" in each]

    @property
    def seconds_left(self) -> float | None:
        """Estimated time until the end, None if unknown."""
        if self.state != "running" or not self.frames or not self.fps:
            return None
        return round(max(self.frames - self.frames_done, 0) / self.fps, 1)

    @property
    def result_name(self) -> str:
        """Name of the result for the one who downloads it."""
        return f"{Path(self.name).stem}-{self.style}.{self.container}"

    def as_json(self) -> dict[str, Any]:
        """Return what the page shows."""
        hidden = ("source", "number")
        told = {name: value for name, value in asdict(self).items() if name not in hidden}
        return {**told, "fps": round(self.fps, 2), "seconds_left": self.seconds_left}


class JobStore:
    """The jobs on disk, one folder each.

    Args:
        root: folder of the jobs, private.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self) -> list[Job]:
        """Return the jobs of earlier runs of the studio in their order; those that were interrupted wait again."""
        found = (self._checked(job) for job in read_records(self._root, _RECORD, Job))
        return sorted(found, key=lambda job: job.number)

    def write(self, job: Job) -> None:
        """Store a job.

        Raises:
            OSError: the disk is full.
        """
        write_record(self._root / job.job, _RECORD, job)

    def remove(self, job: Job) -> None:
        """Delete a job with its result and its partial output."""
        remove_private(self._root / job.job)

    def result(self, job: Job) -> Path:
        """Return the path of the result."""
        return self._root / job.job / f"result.{job.container}"

    def clear_output(self, job: Job) -> None:
        """Delete what a job that will not be resumed has written, also a result that was complete at that moment."""
        remove_private(Path(f"{self.result(job)}.flowbrush"))
        remove(str(self.result(job)))

    def _checked(self, job: Job) -> Job:
        if job.state == "running":
            return replace(job, state="waiting", fps=0.0)
        if job.state == "done" and not self.result(job).is_file():
            return replace(
                job, state="failed", error="the result is no longer there; render it again", result_bytes=None
            )
        return job
