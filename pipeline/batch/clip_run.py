"""One clip of a batch, in its own thread; an error is an attribute of its `ClipRun`."""

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipeline.batch.events import Event, Noted, Progressed
from pipeline.batch.inputs.places import input_state, signature
from pipeline.batch.plan import Step, may_write, record_speed
from pipeline.batch.records import Record, Records, identify
from pipeline.batch.thumbnails import draw_thumbnails
from pipeline.errors import OutputError, PipelineError, first_line, notes_of
from pipeline.progress import Progress
from pipeline.summary import Summary
from pipeline.system.files.atomic import remove
from pipeline.system.folders import make_folder
from pipeline.system.urls import is_url

logger = logging.getLogger(__name__)

# Shortest time between two progress events of a clip.
PROGRESS_SECONDS = 0.25
# How many damaged places of an input a record lists.
MAX_PLACES = 20

_FIGURES = ("frames", "frames_reused", "audio_packets", "seconds", "fps", "bottleneck", "style", "engine", "precision")


class Interrupted(Exception):
    """The clip was stopped."""


StylizeClip = Callable[..., Summary]
"""Called as `pipeline.run.stylize_video`, without ``make``."""


@dataclass(slots=True)
class ClipRun:
    """One attempt to stylize one clip.

    Attributes:
        step: what to do.
        record: updated, and written when the output is complete.
        records: where it is written.
        stylize: stylizes the clip.
        send: called with each event, and with this object at the end.
        stopped: set by the caller to stop the clip.
        error: at the end, None if the output is complete, `Interrupted` if the clip was stopped.
    """

    step: Step
    record: Record
    records: Records
    stylize: StylizeClip
    send: "Callable[[Event | ClipRun], None]"
    stopped: threading.Event
    error: BaseException | None = None
    _next_progress: float = 0.0

    def run(self) -> None:
        """Stylize the clip; never raises."""
        try:
            self._stylize()
        except KeyboardInterrupt:
            self.error = Interrupted()
        except BaseException as error:
            self.error = error
            is_expected = isinstance(error, PipelineError | ValueError)
            reason = first_line(error) if is_expected else f"{type(error).__name__}: {first_line(error)}"
            self.record.status, self.record.error = "failed", reason + notes_of(error)
            if not is_expected:
                logger.exception("%s", self.step.job.name)
        finally:
            self.send(self)

    def _stylize(self) -> None:
        record, job, config = self.record, self.step.job, self.step.job.config
        if record.attempts > 1:
            config = replace(config, fresh=False)  # resume what the first attempt finished
        record.notices = []
        job.check_source()
        if job.is_led_out:
            reason = "a link leads out of the output folder; remove it, or choose another --output"
            raise OutputError(config.target, reason)
        if not may_write(config):
            raise OutputError(config.target, "exists already; choose another --name, or --overwrite")
        if not is_url(config.target):
            _make_folder(config.target)
        record.status, record.error = "started", None
        state, identity = input_state(config.source), identify(config)

        def finished() -> None:
            for thumbnail in self.records.thumbnails(job.name):  # of an earlier output
                remove(str(thumbnail))
            is_same = input_state(config.source) == state or identify(config) == identity
            record.identity = identity if is_same else {}  # unknown if the input has changed during the run
            record.status, record.signature = "done", signature(config.target)
            self._write_record()

        summary = self.stylize(
            config,
            progress=self._progress,
            notify=self._notify,
            refining=self._check_stopped,
            tracking=self._check_stopped,
            finished=finished,
        )
        record.figures = _figures(summary)
        self._write_record()
        stylized = summary.frames - summary.frames_reused
        record_speed(self.step, stylized, stylized / summary.fps if summary.fps else 0.0)
        if not self.stopped.is_set():
            draw_thumbnails(job, self.step.clip.seconds, *self.records.thumbnails(job.name))

    def _check_stopped(self, *report: object) -> None:
        """Raise KeyboardInterrupt to stop a refinement, or the tracking of a mask."""
        if self.stopped.is_set():
            raise KeyboardInterrupt

    def _progress(self, state: Progress) -> None:
        """Send a progress event now and then; raises KeyboardInterrupt to stop the clip."""
        if self.stopped.is_set():
            raise KeyboardInterrupt
        now = time.monotonic()
        if now >= self._next_progress:
            self._next_progress = now + PROGRESS_SECONDS
            self.send(Progressed(self.step.job.name, state.frames, state.total, round(state.fps, 2)))

    def _notify(self, line: str) -> None:
        self.record.notices.append(line)
        self.send(Noted(self.step.job.name, line))

    def _write_record(self) -> None:
        """Write the record; a failure is no reason to stop."""
        try:
            self.records.write(self.record)
        except OSError as error:
            line = f"its record cannot be written ({error.strerror}); a later run may stylize the clip again"
            self.send(Noted(self.record.output, line))


def _make_folder(target: str) -> None:
    folder = os.path.dirname(target) or "."
    try:
        make_folder(folder)
    except OSError as error:
        raise OutputError(target, f"the folder {folder} cannot be created ({error.strerror})") from error


def _figures(summary: Summary) -> dict[str, Any]:
    values = asdict(summary)
    return {
        **{name: values[name] for name in _FIGURES},
        "damage": [str(place["reason"]) for place in summary.damage[:MAX_PLACES]],
        "damaged_places": len(summary.damage),
    }
