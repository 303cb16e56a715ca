"""Cases that stylize a clip from end to end, and compare its output with the report and with the input."""

import random
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

from pipeline.config import DecodeConfig, EncodeConfig, StylizeConfig, VideoConfig
from pipeline.errors import InputError, OutputError, PipelineError
from pipeline.progress import Progress, ProgressCallback
from pipeline.run import stylize_video
from tests.support.fuzz.oracle import Played, part_faults, play, report_faults, truth_faults, without_repeats
from tests.support.fuzz.timelines import Timeline, make_timeline

# The frames stay as they are, so their numbers can be read; everything else happens as always.
PLAIN = StylizeConfig(
    style="great-wave", strength=0.0, engine="eager", device="cpu", precision="fp32", stability="none", threads=1
)
SEGMENT_FRAMES = 5
TARGETS = (".mkv", ".mkv", ".mp4", ".mp4", ".mp4", ".mov", ".webm", ".gif", ".webp")
ENCODERS = {
    ".webm": EncodeConfig(codec="vp9", preset="8", threads=1),
    ".gif": EncodeConfig(),
    ".webp": EncodeConfig(),
}
_QUICK = EncodeConfig(codec="h264", preset="ultrafast", threads=1)


# How a clip is stylized: most as usual; some as to a pipe, some only in part, some after an interruption.
WAYS = ("whole", "whole", "whole", "whole", "single pass", "part", "resumed")
MOMENTS_SECONDS = (Fraction(1, 25), Fraction(1, 5), Fraction(2, 5))


class Stopped(Exception):
    """Stops a run in the middle."""


def run_clip(source: Path, target: Path, progress: ProgressCallback = lambda state: None, **changes: Any) -> Any:
    """Stylize ``source`` in short segments; return the summary."""
    encode = ENCODERS.get(target.suffix, _QUICK)
    files = {"source": str(source), "target": str(target)}
    config = VideoConfig(**files, stylize=PLAIN, encode=encode, segment_frames=SEGMENT_FRAMES, **changes)
    return stylize_video(config, progress=progress)


def stop_at(frame: int) -> ProgressCallback:
    """Return a callback that stops a run at a frame."""

    def progress(state: Progress) -> None:
        if state.frames == frame:
            raise Stopped

    return progress


def timeline_case(chance: random.Random, folder: Path) -> str:
    """Stylize a clip with an odd timeline; return the outcome in a word, or what is wrong."""
    timeline = make_timeline(chance, folder)
    suffix, way = chance.choice(TARGETS), chance.choice(WAYS)
    target = folder / f"out{suffix}"
    place = f"{timeline.words}, into {suffix}, {way}"
    try:
        summary = _run(chance, timeline, target, way)
    except PipelineError as error:
        if way == "part" and isinstance(error, InputError):
            return "no such part"
        if timeline.truth is None and not timeline.shown().frames:
            return "shows nothing, refused"
        if timeline.is_changing and not isinstance(error, OutputError):
            return f"refused, {type(error).__name__}"
        return f"BUG: {type(error).__name__} {error} ({place})".replace(str(folder), "")
    played = play(target)
    is_damaged = bool(summary.damage)
    is_coarse = suffix in (".gif", ".webp")
    faults = report_faults(summary, played, may_join=suffix == ".webp" and is_damaged)
    if any(line.startswith("frames are repeated") for line in summary.notices):
        played.frames = without_repeats(played.frames)
    kept = kept_tracks(summary)
    if not is_damaged and not is_coarse and len(kept) < _track_count(timeline):
        faults.append(f"only audio {kept} is kept")
    if way == "part":
        truth = timeline.truth
        faults += part_faults(truth, played, kept, is_damaged=is_damaged, is_coarse=is_coarse) if truth else []
    elif timeline.truth is None:
        faults += _differences(timeline.shown(), played, kept, is_damaged)
    else:
        faults += truth_faults(timeline.truth, played, kept, is_damaged=is_damaged, is_coarse=is_coarse)
    faults += _left(folder, target)
    if faults:
        return f"BUG: {'; '.join(faults)} ({place}{', damage is reported' if is_damaged else ''})"
    return "played, damaged" if is_damaged else "played"


def _run(chance: random.Random, timeline: Timeline, target: Path, way: str) -> Any:
    """Stylize a clip in one of `WAYS`; return the summary."""
    if way == "single pass":
        return run_clip(timeline.path, target, in_segments=False)
    if way == "part":
        start, length = chance.choice(MOMENTS_SECONDS), chance.choice((None, *MOMENTS_SECONDS))
        return run_clip(timeline.path, target, decode=DecodeConfig(start_seconds=start, duration_seconds=length))
    if way == "resumed":
        with suppress(Stopped):
            run_clip(timeline.path, target, stop_at(chance.choice((6, 11, 14))))
            target.unlink()  # the clip was shorter
    return run_clip(timeline.path, target)


def kept_tracks(summary: Any) -> list[int]:
    """Return the numbers of the audio tracks of the input that the report says are in the output."""
    audio = [stream for stream in summary.streams if stream["type"] == "audio"]
    return [number for number, stream in enumerate(audio) if stream["action"] != "drop"]


def _track_count(timeline: Timeline) -> int:
    """Return the number of audio tracks that have packets."""
    if timeline.truth is not None:
        return sum(bool(packets) for packets in timeline.truth.packets)
    return sum(bool(track.packets) for track in timeline.shown().tracks)


def _left(folder: Path, target: Path) -> list[str]:
    """Return what lies beside an output that is finished."""
    left = [path.name for path in folder.iterdir() if path.name != target.name and not path.name.startswith("in.")]
    return [f"left {left}"] if left else []


def _differences(wanted: Played, played: Played, kept: list[int], is_damaged: bool) -> list[str]:
    """Return where an output shows something else than its input, played by another program."""
    faults = []
    numbers, shown = ([number for _, number in each.frames] for each in (wanted, played))
    if numbers != shown and not is_damaged:
        faults.append(f"frames {shown[:3]}... ({len(shown)}) instead of {numbers[:3]}... ({len(numbers)})")
    for index, after in zip(kept, played.tracks, strict=False):
        before = wanted.tracks[index]
        if abs(before.seconds - after.seconds) > 3 * Fraction(1536, 32000) and not is_damaged:
            faults.append(f"audio {index}: {float(after.seconds):.3f} s instead of {float(before.seconds):.3f} s")
    return faults
