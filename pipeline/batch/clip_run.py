"""One clip of a batch, from its opening to its output, in a thread of its own: whatever happens becomes a value."""

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipeline.batch.events import Event, Noted, Progressed
from pipeline.batch.plan import Step, may_be_written, remember_speed
from pipeline.batch.records import Record, Records, identity_of
from pipeline.batch.thumbnails import draw_thumbnails
from pipeline.config import VideoConfig
from pipeline.errors import OutputError, PipelineError, first_line, notes_of
from pipeline.progress import Progress
from pipeline.resume.work_dir import file_signature
from pipeline.summary import Summary

logger = logging.getLogger(__name__)

# Progress is told so often at most.
TELL_SECONDS = 0.25
# Of the places where an input was damaged, so many are noted.
MOST_PLACES = 20

_KEPT = ("frames", "frames_reused", "audio_packets", "seconds", "fps", "bottleneck", "style", "engine", "precision")


class Interrupted(Exception):
    """A clip was told to end."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended.

    Attributes:
        step: which.
        record: of it, brought up to date.
        error: None where the output is in its place; `Interrupted` where it was told to end.
    """

    step: Step
    record: Record
    error: BaseException | None = None


Message = Event | Outcome
FrameGraph = Callable[..., Summary]
"""Called as `pipeline.run.stylize_video`, without ``make``."""


def run_clip(
    step: Step,
    record: Record,
    records: Records,
    stylize: FrameGraph,
    tell: Callable[[Message], None],
    stopped: threading.Event,
) -> None:
    """Paint the clip of ``step``; never raises.

    Args:
        step: what to do.
        record: of it; brought up to date, and kept when the output is in its place.
        records: where it is kept.
        stylize: paints it.
        tell: called with what happens, and with the `Outcome` at the end.
        stopped: set from outside when all is to end.
    """
    error: BaseException | None = None
    try:
        _stylize(step, record, records, stylize, tell, stopped)
    except KeyboardInterrupt:
        error = Interrupted()
    except BaseException as caught:
        error = caught
        record.status, record.error = "failed", _reason(caught)
        if not isinstance(caught, PipelineError | ValueError):
            logger.exception("%s", step.job.name)
    finally:
        tell(Outcome(step, record, error))


def _reason(error: BaseException) -> str:
    """Why it failed, in a line, and what is kept of it."""
    known = isinstance(error, PipelineError | ValueError)
    text = first_line(error) if known else f"{type(error).__name__}: {first_line(error)}"
    return text + notes_of(error)


def _stylize(
    step: Step,
    record: Record,
    records: Records,
    stylize: FrameGraph,
    tell: Callable[[Message], None],
    stopped: threading.Event,
) -> None:
    job, config = step.job, step.job.config
    if record.attempts > 1:
        config = replace(config, fresh=False)
    record.notices = []

    def notify(line: str) -> None:
        record.notices.append(line)
        tell(Noted(job.name, line))

    if not may_be_written(config):
        raise OutputError(config.target, "exists already; choose another --name, or --overwrite")
    _make_folder(config)
    record.status, record.error = "started", None
    look, identity = file_signature(config.source), identity_of(config)

    def finished() -> None:
        records.forget_pictures(job.name)
        is_same = file_signature(config.source) == look or identity_of(config) == identity
        record.identity = identity if is_same else {}  # else what was hashed may not be what was painted
        record.status, record.look = "done", file_signature(config.target)
        _keep(record, records, tell)

    summary = stylize(config, progress=_Teller(job.name, tell, stopped), notify=notify, finished=finished)
    record.figures = _figures(summary)
    _keep(record, records, tell)
    stylized = summary.frames - summary.frames_reused
    remember_speed(step, stylized, stylized / summary.fps if summary.fps else 0.0)
    if not stopped.is_set():
        draw_thumbnails(config, step.clip.seconds, records.thumbnail(job.name, 0), records.thumbnail(job.name, 1))


class _Teller:
    """Tells how far a clip is, now and then, and ends its run when all is to end."""

    def __init__(self, name: str, tell: Callable[[Message], None], stopped: threading.Event) -> None:
        self._name = name
        self._tell = tell
        self._stopped = stopped
        self._told = 0.0

    def __call__(self, state: Progress) -> None:
        if self._stopped.is_set():
            raise KeyboardInterrupt
        now = time.monotonic()
        if now - self._told >= TELL_SECONDS:
            self._told = now
            self._tell(Progressed(self._name, state.frames, state.total, round(state.fps, 2)))


def _make_folder(config: VideoConfig) -> None:
    folder = os.path.dirname(config.target) or "."
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise OutputError(config.target, f"the folder {folder} cannot be made ({error.strerror})") from error


def _figures(summary: Summary) -> dict[str, Any]:
    kept = asdict(summary)
    figures = {name: kept[name] for name in _KEPT}
    figures["damage"] = [str(place["reason"]) for place in summary.damage[:MOST_PLACES]]
    figures["damaged_places"] = len(summary.damage)
    return figures


def _keep(record: Record, records: Records, tell: Callable[[Message], None]) -> None:
    """Note on disk what became of it; that this does not work is no reason to stop."""
    try:
        records.write(record)
    except OSError as error:
        tell(Noted(record.output, f"what was done cannot be noted ({error.strerror}); a later run may do it again"))
