"""What a run came to, and what the user was told on the way."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.encode.output_plan import StreamMapping
from pipeline.encode.writer import EncodeReport
from pipeline.media.damage import Damage, damage_notice
from pipeline.progress import Meter, Progress, peak_memory_bytes
from pipeline.stylize.stylizer import Stylizer

Notify = Callable[[str], None]


class Notices:
    """Passes each notice on, and keeps it."""

    def __init__(self, notify: Notify) -> None:
        self.lines: list[str] = []
        self._notify = notify

    def __call__(self, line: str) -> None:
        """Say and keep ``line``."""
        self.lines.append(line)
        self._notify(line)

    def say(self, lines: Iterable[str]) -> None:
        """Say and keep each of ``lines``."""
        for line in lines:
            self(line)


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run came to.

    Attributes:
        output: the file as the user named it.
        frames: written.
        frames_reused: among these, painted by an earlier run that did not come to its end.
        audio_packets: written, of all tracks.
        seconds: from the opening of the input to the finished file.
        first_frame_at: wall-clock time (`time.time`) of the first painted frame.
        fps: frames a second from the first painted frame to the finished file.
        busy: share of that time that each stage worked rather than waited, by stage.
        bottleneck: the stage that worked most of the time.
        style: its name.
        engine: how the network ran.
        precision: of the network.
        device: where it ran.
        notices: what the user was told.
        streams: what became of each stream besides the picture: index, type, codec, language, action, to, reason.
        damage: places where the input could not be read, each with stream, packet, seconds and reason.
        peak_memory_bytes: of this process; None where the system does not tell.
    """

    output: str
    frames: int
    frames_reused: int
    audio_packets: int
    seconds: float
    first_frame_at: float
    fps: float
    busy: Mapping[str, float]
    bottleneck: str
    style: str
    engine: str
    precision: str
    device: str
    notices: tuple[str, ...]
    streams: tuple[Mapping[str, object], ...]
    damage: tuple[Mapping[str, object], ...]
    peak_memory_bytes: int | None


def summarize(
    written: EncodeReport,
    meter: Meter,
    stylizer: Stylizer,
    notices: Notices,
    damage: list[Damage],
    *,
    streams: Sequence[StreamMapping] = (),
    begun: float,
) -> Summary:
    """Gather what the stages know at the end of a run that began at ``begun``, by `time.perf_counter`."""
    return summary_of(
        written,
        meter.progress(),
        {"engine": stylizer.engine, "precision": stylizer.precision, "device": str(stylizer.device)},
        notices,
        damage,
        style=stylizer.style.name,
        first_frame_at=meter.first_frame_at,
        streams=streams,
        begun=begun,
    )


def summary_of(
    written: EncodeReport,
    state: Progress,
    engine: Mapping[str, Any],
    notices: Notices,
    damage: list[Damage],
    *,
    style: str,
    first_frame_at: float,
    streams: Sequence[StreamMapping],
    begun: float,
) -> Summary:
    """What a run came to; where the input was damaged, the last notice says so.

    Args:
        written: the output.
        state: of the run, at its end.
        engine: what painted: ``engine``, ``precision`` and ``device``; see `pipeline.resume.fingerprint.engine_of`.
        notices: what the user was told.
        damage: where the input could not be read.
        style: its name.
        first_frame_at: wall-clock time (`time.time`) of the first painted frame.
        streams: what became of the others.
        begun: moment of the opening of the input, by `time.perf_counter`.
    """
    notices.say(damage_notice(damage))
    return Summary(
        output=written.path,
        frames=written.frames,
        frames_reused=state.reused,
        audio_packets=written.audio_packets,
        seconds=time.perf_counter() - begun,
        first_frame_at=first_frame_at,
        fps=state.fps,
        busy=state.busy,
        bottleneck=state.bottleneck,
        style=style,
        engine=engine["engine"],
        precision=engine["precision"],
        device=engine["device"],
        notices=tuple(notices.lines),
        streams=tuple(stream.entry for stream in streams),
        damage=tuple(place.as_json() for place in damage),
        peak_memory_bytes=peak_memory_bytes(),
    )
