"""Cases that stylize a clip from end to end, and compare its output with the report and with the input."""

import random
from fractions import Fraction
from pathlib import Path
from typing import Any

from pipeline.config import EncodeConfig, StylizeConfig, VideoConfig
from pipeline.errors import OutputError, PipelineError
from pipeline.progress import ProgressCallback
from pipeline.run import stylize_video
from tests.support.fuzz.oracle import Played, play, report_faults, truth_faults
from tests.support.fuzz.timelines import make_timeline

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


def run_clip(source: Path, target: Path, progress: ProgressCallback = lambda state: None) -> Any:
    """Stylize ``source`` in short segments; return the summary."""
    encode = ENCODERS.get(target.suffix, _QUICK)
    files = {"source": str(source), "target": str(target)}
    config = VideoConfig(**files, stylize=PLAIN, encode=encode, segment_frames=SEGMENT_FRAMES)
    return stylize_video(config, progress=progress)


def timeline_case(chance: random.Random, folder: Path) -> str:
    """Stylize a clip with an odd timeline; return the outcome in a word, or what is wrong."""
    timeline = make_timeline(chance, folder)
    suffix = chance.choice(TARGETS)
    target = folder / f"out{suffix}"
    place = f"{timeline.words}, into {suffix}"
    try:
        summary = run_clip(timeline.path, target)
    except PipelineError as error:
        if timeline.truth is None and not timeline.shown().frames:
            return "shows nothing, refused"
        if timeline.is_changing and not isinstance(error, OutputError):
            return f"refused, {type(error).__name__}"
        return f"BUG: {type(error).__name__} {error} ({place})".replace(str(folder), "")
    played = play(target)
    faults = report_faults(summary, played)
    is_damaged = bool(summary.damage)
    if timeline.truth is None:
        faults += _differences(timeline.shown(), played, is_damaged)
    else:
        is_coarse = suffix in (".gif", ".webp")
        faults += truth_faults(timeline.truth, played, is_damaged=is_damaged, is_coarse=is_coarse)
    if faults:
        return f"BUG: {'; '.join(faults)} ({place}{', damage is reported' if is_damaged else ''})"
    return "played, damaged" if is_damaged else "played"


def _differences(wanted: Played, played: Played, is_damaged: bool) -> list[str]:
    """Return where an output shows something else than its input, played by another program."""
    faults = []
    numbers, shown = ([number for _, number in each.frames] for each in (wanted, played))
    if numbers != shown and not is_damaged:
        faults.append(f"frames {shown[:3]}... ({len(shown)}) instead of {numbers[:3]}... ({len(numbers)})")
    for index, (before, after) in enumerate(zip(wanted.tracks, played.tracks, strict=False)):
        if abs(before.seconds - after.seconds) > 3 * Fraction(1536, 32000) and not is_damaged:
            faults.append(f"audio {index}: {float(after.seconds):.3f} s instead of {float(before.seconds):.3f} s")
    return faults
