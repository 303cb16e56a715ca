"""The summary of a run."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.encode.writer import EncodeReport
from pipeline.media.damage import Damage, damage_notice
from pipeline.notices import Notices
from pipeline.progress import ProgressMeter, peak_memory_bytes


@dataclass(frozen=True, slots=True)
class Summary:
    """The result of a run.

    Attributes:
        output: the file as the user named it.
        frames: number of frames written.
        frames_reused: number of these that an interrupted run had finished.
        audio_packets: number of audio packets written, of all tracks.
        seconds: time from opening the input to the finished file.
        first_frame_at: wall-clock time (`time.time`) of the first stylized frame.
        fps: frames per second from the first stylized frame to the finished file.
        busy: share of that time in which each stage worked rather than waited, by name of the stage.
        bottleneck: the stage that was busy for the largest share.
        style: name of the style.
        engine: how the network ran.
        precision: of the network.
        device: where the network ran.
        notices: what the user was told.
        streams: what became of each other stream: index, type, codec, language, action, to, reason.
        damage: unreadable places of the input, each with stream, packet, seconds and reason.
        peak_memory_bytes: peak resident memory of this process, None if the system does not report it.
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
    meter: ProgressMeter,
    notices: Notices,
    damage: Sequence[Damage],
    *,
    style: str,
    engine: Mapping[str, Any],
    streams: Sequence[Mapping[str, object]],
    started: float,
) -> Summary:
    """Return the summary of a run; the last notice reports damage of the input.

    Args:
        written: the output.
        meter: its progress, now at the end.
        notices: what the user was told.
        damage: unreadable places of the input.
        style: name of the style.
        engine: see `pipeline.resume.engine.engine_of`.
        streams: what became of each other stream.
        started: time by `time.perf_counter` at which the input was opened.
    """
    notices.extend((*written.notices, *damage_notice(damage)))
    progress = meter.progress()
    return Summary(
        output=written.path,
        frames=written.frames,
        frames_reused=progress.reused,
        audio_packets=written.audio_packets,
        seconds=time.perf_counter() - started,
        first_frame_at=meter.first_frame_at,
        fps=progress.fps,
        busy=progress.busy,
        bottleneck=progress.bottleneck,
        style=style,
        engine=engine["engine"],
        precision=engine["precision"],
        device=engine["device"],
        notices=notices.lines,
        streams=tuple(streams),
        damage=tuple(place.as_json() for place in damage),
        peak_memory_bytes=peak_memory_bytes(),
    )
