"""The events of a batch: the progress bars, the JSON lines and the report are made from them.

`Planned` comes first. Each clip is `Skipped`, or `Started` and, after some `Progressed` and `Noted`, `Finished` or
`Failed`; a clip that failed is started once more after all others. `Ended` comes last, also after an interruption.

Other programs import them from `pipeline`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Planned:
    """The batch is about to start.

    Attributes:
        clips: number of outputs, the finished ones included.
        done: number of outputs that earlier runs finished.
        frames: number of frames to stylize, according to the headers of the clips.
        megapixels: total size of these frames in millions of pixels; the time is proportional to it.
        seconds: estimated duration of the run in seconds.
        bytes: estimated size of the outputs in bytes.
        ignored: number of files in the input folders that are no videos.
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
        output: name of its output, relative to the output folder; it identifies the clip in all events.
        source: path of the clip.
        attempt: 1, or 2 after a failure.
        megapixels: total size of its frames in millions of pixels, 0 if the header does not give it.
    """

    name: ClassVar[str] = "started"
    output: str
    source: str
    attempt: int
    megapixels: float


@dataclass(frozen=True, slots=True)
class Progressed:
    """Frames of a clip were stylized; at most four times a second.

    Attributes:
        output: name of its output.
        frames: number of frames that are done.
        total: number of frames in the clip according to its header, None if unknown.
        fps: frames per second of this clip.
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
        output: name of the clip's output, None if it concerns the whole batch.
        line: the message, one line.
    """

    name: ClassVar[str] = "note"
    output: str | None
    line: str


@dataclass(frozen=True, slots=True)
class Finished:
    """A clip is stylized, and its output is complete.

    Attributes:
        output: name of its output.
        figures: ``frames``, ``frames_reused``, ``audio_packets``, ``seconds``, ``fps``, ``bottleneck``, ``style``,
            ``engine`` and ``precision`` as in `pipeline.summary.Summary`; ``damaged_places``, the number of damaged
            places in the input; ``damage``, the reasons of the first ones.
    """

    name: ClassVar[str] = "finished"
    output: str
    figures: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Skipped:
    """An earlier run finished the clip, with the same input, settings and weights.

    Attributes:
        output: name of its output.
    """

    name: ClassVar[str] = "skipped"
    output: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A clip could not be stylized.

    Attributes:
        output: name of its output.
        error: the reason, one line.
        will_retry: whether it is started once more, after all others.
    """

    name: ClassVar[str] = "failed"
    output: str
    error: str
    will_retry: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """The batch has ended or was interrupted.

    Attributes:
        painted: number of clips that this run stylized.
        done_before: number of clips that earlier runs stylized.
        failed: number of clips that could not be stylized.
        left: number of clips that were not started or not finished.
        seconds: duration of the run in seconds.
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
    """Return the event as a JSON object: its name as ``event``, then its attributes."""
    return {"event": event.name} | {field.name: getattr(event, field.name) for field in fields(event)}
