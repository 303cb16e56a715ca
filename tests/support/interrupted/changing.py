"""A render whose engine changes as soon as another process has compiled the faster one, in a process to be killed.

    python -m tests.support.interrupted.changing IN.mp4 OUT.mp4 STYLE --hold 40          # until the engine is compiled
    python -m tests.support.interrupted.changing IN.mp4 OUT.mp4 STYLE --change-at 64     # to an engine in the cache

Only the estimate of what compiling costs is changed, so that it is worth its time for a short clip: the compiler is
torch's. With ``--change-at`` nothing is compiled, and the engine in the cache takes over at that frame.
"""

import argparse
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import models.engines.capabilities
from pipeline.config import StylizeConfig
from pipeline.progress import Progress
from pipeline.run import stylize_video
from pipeline.stylize.engine import engine_choice, successor
from pipeline.stylize.engine.successor import Successor
from pipeline.stylize.stylizer import Stylizer
from tests.support.interrupted.resuming import config

SEGMENT_FRAMES = 8
# A tiny frame is fast: with this time for each, a kill hits any place of a render.
FRAME_SECONDS = 0.02
STARTED, COMPILED = "started", "compiled"
"""Lines that are printed at the first frame, and once nothing is compiled any more."""


def hold(at: int) -> Callable[[Progress], None]:
    """Return a progress callback that slows the render down, and holds at a frame of this run while one is compiled."""
    frame = 0

    def progress(state: Progress) -> None:
        nonlocal frame
        frame += 1
        if frame == 1:
            print(STARTED, flush=True)
        time.sleep(FRAME_SECONDS)
        if frame == at:
            while any(thread.name == "flowbrush-compile" for thread in threading.enumerate()):
                time.sleep(FRAME_SECONDS)
            print(COMPILED, flush=True)

    return progress


def change_at(frame: int) -> None:
    """Let the engine in the cache take over at ``frame``, the first of a segment, and not before."""
    boundaries, change = 0, Stylizer._try_to_change

    def change_there(stylizer: Stylizer, found: Successor) -> Any:
        nonlocal boundaries
        boundaries += 1
        return change(stylizer, found) if boundaries * SEGMENT_FRAMES == frame else None

    Stylizer._try_to_change = change_there  # type: ignore[method-assign]
    Successor._compile = lambda self: None  # type: ignore[method-assign]
    successor.is_to_be_compiled = lambda name, spec: name == "compile"  # type: ignore[attr-defined]


def main() -> None:
    """Render, and print how many frames the output has, and how many of them earlier runs made."""
    parser = argparse.ArgumentParser()
    parser.add_argument("paths", nargs=3)
    parser.add_argument("--hold", type=int, default=1)
    parser.add_argument("--change-at", type=int)
    chosen = parser.parse_args()
    source, target, style = chosen.paths
    models.engines.capabilities.available_engines = lambda device: ["compile", "eager"]
    for seconds in engine_choice.NEW_SECONDS.values():
        seconds["compile"] = 0.0
    if chosen.change_at is not None:
        change_at(chosen.change_at)
    stylize = StylizeConfig(style=style, engine="auto", device="cpu", stability="smooth")
    render = config(Path(source), Path(target), stylize=stylize, segment_frames=SEGMENT_FRAMES)
    summary = stylize_video(render, progress=hold(chosen.hold), notify=print)
    print(summary.frames, summary.frames_reused, summary.engine)


if __name__ == "__main__":
    main()
