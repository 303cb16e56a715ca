"""What happens in a batch, as values: progress, JSON lines and the report are made from them.

First comes `Planned`. Each clip is `Skipped`, or `Started` and, after `Progressed` and `Noted`, `Finished` or `Failed`;
after the first failure it is started once more, at the end. Last comes `Ended`, also where it was interrupted.

`from pipeline import Ended, ...` gives them to other programs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Planned:
    """The batch is about to begin.

    Attributes:
        clips: in all.
        done: among these, finished by an earlier run.
        frames: that are to be painted, as far as headers tell.
        megapixels: of these frames, by which the time goes.
        seconds: that this may take.
        bytes: that the outputs may have.
        ignored: files in the folders that are no video.
    """

    name: ClassVar[str] = "planned"
    clips: int
    done: int
    frames: int
    megapixels: float
    seconds: float
    bytes: int
    ignored: int


@dataclass(frozen=True, slots=True)
class Started:
    """A clip is being opened.

    Attributes:
        output: by which it is named.
        source: its path.
        attempt: 1, or 2 where the first one failed.
        megapixels: of all its frames, as far as the header tells.
    """

    name: ClassVar[str] = "started"
    output: str
    source: str
    attempt: int
    megapixels: float


@dataclass(frozen=True, slots=True)
class Progressed:
    """Frames of a clip were painted; a few times a second at most.

    Attributes:
        output: by which the clip is named.
        frames: of it that are done.
        total: that it may have; None where the header does not say.
        fps: of this clip.
    """

    name: ClassVar[str] = "progress"
    output: str
    frames: int
    total: int | None
    fps: float


@dataclass(frozen=True, slots=True)
class Noted:
    """Something that the user should know.

    Attributes:
        output: of the clip that it is about; None for the batch.
        line: one line.
    """

    name: ClassVar[str] = "note"
    output: str | None
    line: str


@dataclass(frozen=True, slots=True)
class Finished:
    """A clip is painted, and its output in its place.

    Attributes:
        output: by which it is named.
        figures: of the run: ``frames``, ``frames_reused``, ``audio_packets``, ``seconds``, ``fps``, ``bottleneck``,
            ``style``, ``engine`` and ``precision`` as in `pipeline.summary.Summary`; ``damaged_places``, how many, and
            ``damage``, the reasons of the first ones.
    """

    name: ClassVar[str] = "finished"
    output: str
    figures: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A clip was finished by an earlier run, from the same input, settings and weights.

    Attributes:
        output: by which it is named.
    """

    name: ClassVar[str] = "skipped"
    output: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A clip could not be painted.

    Attributes:
        output: by which it is named.
        error: one line.
        will_retry: whether it is tried once more, after all others.
    """

    name: ClassVar[str] = "failed"
    output: str
    error: str
    will_retry: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """The batch came to its end, or was interrupted.

    Attributes:
        painted: clips that this run finished.
        done_before: clips that earlier runs finished.
        failed: clips that could not be painted.
        left: clips that were not come to, or not to their end.
        seconds: that it took.
        report: path of the report.
    """

    name: ClassVar[str] = "ended"
    painted: int
    done_before: int
    failed: int
    left: int
    seconds: float
    report: str


Event = Planned | Started | Progressed | Noted | Finished | Skipped | Failed | Ended
Emit = Callable[[Event], None]


def as_json(event: Event) -> dict[str, Any]:
    """The same for other programs: its name under ``event``, then its attributes."""
    return {"event": event.name} | {field.name: getattr(event, field.name) for field in fields(event)}
