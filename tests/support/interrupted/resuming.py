"""Interrupted runs, and the clips that they stylize."""

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import StylizeConfig, VideoConfig
from pipeline.progress import Progress
from pipeline.resume.work_folder.manifest import NAME, work_dir_path
from pipeline.run import stylize_video
from tests.support.media import Clip

ROOT = Path(__file__).resolve().parents[3]
# Gaps, steps of one tick, and a long last frame: 40 frames in 5 segments of 8.
UNEVEN_PTS = tuple(int(step) for step in np.cumsum([0, *([512, 512, 1, 700, 300] * 8)][:40]))
FLOW = StylizeConfig(style="great-wave", engine="eager", device="cpu", precision="fp32", stability="flow")
UNSTYLIZED = replace(FLOW, strength=0.0, stability="none")
# A container that does not store durations.
FLASH = Clip(pts=range(0, 24 * 40, 40), time_base=Fraction(1, 1000), codec="flv", options={"g": "4"})


def config(source: Path, target: Path, **changes: Any) -> VideoConfig:
    """A run in segments of 8 frames."""
    return VideoConfig(source=str(source), target=str(target), **({"stylize": FLOW, "segment_frames": 8} | changes))


def at_frame(frame: int, action: Callable[[], object]) -> Callable[[Progress], None]:
    """A progress callback that calls ``action`` at one frame, before it is written."""

    def progress(state: Progress) -> None:
        if state.frames == frame:
            action()

    return progress


def interrupt() -> None:
    raise KeyboardInterrupt


def interrupt_at(frame: int, source: Path, target: Path, **changes: Any) -> str:
    """Interrupt a run at a frame; return its notes on the partial output."""
    with pytest.raises(KeyboardInterrupt) as caught:
        stylize_video(config(source, target, **changes), progress=at_frame(frame, interrupt))
    return "; ".join(getattr(caught.value, "__notes__", []))


# Lines of a manifest of which there may be several, and what they are together.
LISTS = {"change": "changes", "segment": "segments", "damage": "damage"}


def edit_manifest(target: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest of an interrupted run."""
    path = Path(work_dir_path(str(target))) / NAME
    data = parts_of(path.read_text())
    edit(data)
    path.write_text(lines_of(data))


def parts_of(text: str) -> dict[str, Any]:
    """Return the content of a manifest in one piece: its first line, lists of segments and damage, and the rest."""
    head, *lines = map(json.loads, text.splitlines())
    parts: dict[str, Any] = head | {"engine": {}, "complete_frames": None, **{name: [] for name in LISTS.values()}}
    for line in lines:
        for name, value in line.items():
            if name in LISTS:
                parts[LISTS[name]].append(value)
            else:
                parts[name] = value
    return parts


def lines_of(parts: dict[str, Any]) -> str:
    """Return the manifest with this content; see `parts_of`."""
    head = {name: parts[name] for name in ("format", "identity", "time_base", "seconds") if name in parts}
    rest = {name: value for name, value in parts.items() if name not in (*head, *LISTS.values())}
    lines = [head, *({name: value} for name, value in rest.items())]
    lines += [{name: each} for name, plural in LISTS.items() for each in parts[plural]]
    return "".join(f"{json.dumps(line)}\n" for line in lines)


def finish_later(source: Path, target: Path, **changes: Any) -> None:
    """Run until all segments are finished; the output cannot be put in place, as a folder has its name."""
    with pytest.raises(Exception, match="cannot be written"):
        stylize_video(config(source, target, **changes), progress=at_frame(40, target.mkdir))
    target.rmdir()
