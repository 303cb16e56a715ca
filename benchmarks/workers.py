"""Are two workers on one clip nearly twice as fast as one, each pinned to one core, and are the boundaries invisible?

    python benchmarks/workers.py [--seconds 60] [--height 360] [--workers 2] [--clip FILE]

Efficiency is the time of one worker over that of N, times N. From nothing: starting the processes, loading torch and
the network, and deciding on the parts counts; in a batch: the workers have stylized before, as for all but the first.
All threads of a worker are pinned to one core by sched_setaffinity; this process, which plans and puts together, has
these cores too. Compiled networks are in the cache before anything is measured. For the boundaries,
both variants are encoded losslessly, and each frame after a boundary is compared with that of one worker.
"""

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import Future
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

sys.path.pop(0)  # this folder: its cuda.py would hide the package of that name, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.clips import RATE, make_clip
from benchmarks.command import machine, machine_line
from pipeline.config import DecodeConfig, EncodeConfig, StylizeConfig, VideoConfig
from pipeline.workers.local_pool import LocalPool
from pipeline.workers.long_clip import stylize_long_clip
from pipeline.workers.merge import TOLERANCE
from pipeline.workers.protocol import SegmentJob, SegmentResult

GOAL = 0.85
# So much after a boundary is compared.
COMPARED_SECONDS = 5


class Pinned(LocalPool):
    """Workers with a core each; remembers what they were given."""

    def __init__(self, cores: list[int]) -> None:
        os.sched_setaffinity(0, cores)  # what is started from here on inherits it
        self.tasks: list[SegmentJob] = []
        before = set(_children())
        super().__init__(len(cores), "cpu")
        while len(mine := sorted(set(_children()) - before)) < len(cores):
            time.sleep(0.01)
        for core, process in zip(cores, mine, strict=True):
            for thread in os.listdir(f"/proc/{process}/task"):
                os.sched_setaffinity(int(thread), {core})

    def submit(self, task: SegmentJob) -> Future[SegmentResult]:
        """As `LocalPool.submit`."""
        self.tasks.append(task)
        return super().submit(task)


def _children() -> list[int]:
    import multiprocessing

    return [child.pid for child in multiprocessing.active_children() if child.pid is not None]


def config(clip: Path, target: Path, arguments: argparse.Namespace, codec: str = "auto") -> VideoConfig:
    """How everything is stylized here."""
    stylize = StylizeConfig(style=arguments.style, engine=arguments.engine, stability=arguments.stability, device="cpu")
    return VideoConfig(
        source=str(clip), target=str(target), stylize=stylize, encode=EncodeConfig(codec=codec, overwrite=True)
    )


def timed(cores: list[int], clip: Path, folder: Path, arguments: argparse.Namespace) -> tuple[float, float]:
    """Seconds for the clip from nothing, and in a batch."""
    seconds = []
    begun = time.perf_counter()
    engine = Pinned(cores)
    try:
        for _ in range(2):
            stylize_long_clip(config(clip, folder / "out.mp4", arguments), engine)
            seconds.append(time.perf_counter() - begun)
            begun = time.perf_counter()
    finally:
        engine.close()
    return seconds[0], seconds[1]


def boundaries(
    cores: list[int], clip: Path, folder: Path, arguments: argparse.Namespace
) -> list[tuple[float, float, float]]:
    """For each boundary: its time in seconds, and the largest mean and difference of a frame after it, in levels."""
    parts, whole = folder / "parts.mkv", folder / "whole.mkv"
    engine = Pinned(cores)
    try:
        stylize_long_clip(config(clip, parts, arguments, "ffv1"), engine)
        places = [_seconds(task, clip) for task in engine.tasks if task.start is not None]
        until = DecodeConfig(duration_seconds=max(places, default=Fraction(0)) + COMPARED_SECONDS)
        stylize_long_clip(
            replace(config(clip, whole, arguments, "ffv1"), decode=until), engine, count=lambda info, workers: 1
        )
    finally:
        engine.close()
    return [(float(place), *_apart(parts, whole, place)) for place in places]


def _seconds(task: SegmentJob, clip: Path) -> Fraction:
    with av.open(str(clip)) as container:
        base = container.streams.video[0].time_base
    assert task.start is not None
    assert base is not None
    return task.start.pts * base


def _apart(path: Path, other: Path, begin: Fraction) -> tuple[float, float]:
    """The largest mean, and the largest difference, of the frames from ``begin`` on that both have."""
    means, mosts = [0.0], [0.0]
    with av.open(str(path)) as one, av.open(str(other)) as two:
        for a, b in zip(one.decode(video=0), two.decode(video=0), strict=False):
            if (a.time or 0) < begin - Fraction(1, 1000):
                continue
            if (a.time or 0) > begin + COMPARED_SECONDS:
                break
            apart = np.abs(a.to_ndarray(format="rgb24").astype(np.int16) - b.to_ndarray(format="rgb24"))
            means.append(float(apart.mean()))
            mosts.append(float(apart.max()))
    return max(means), max(mosts)


def verdict(is_met: bool, text: str) -> None:
    """A line for a figure that was wanted."""
    print(f"{'MET' if is_met else 'MISSED'}: {text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="of the clip")
    parser.add_argument("--height", type=int, default=360, help="in pixels, even; the width follows (16:9)")
    parser.add_argument("--clip", type=Path, help="instead of one that is made")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--style", default="great-wave")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--stability", default="smooth")
    parser.add_argument("--only", choices=["speed", "seams"])
    arguments = parser.parse_args()
    print(machine_line(machine()))
    cores = sorted(os.sched_getaffinity(0))[: arguments.workers]
    if len(cores) < arguments.workers:
        parser.error(f"{arguments.workers} workers need as many cores, {len(cores)} are to be had")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frames = round(arguments.seconds * RATE)
        clip = arguments.clip or make_clip(folder / "clip.mp4", frames=frames, height=arguments.height)
        if arguments.only != "seams":
            short = make_clip(folder / "short.mp4", frames=10, height=arguments.height)
            timed(cores[:1], arguments.clip or short, folder, arguments)  # fills the cache
            one, several = (timed(cores[:count], clip, folder, arguments) for count in (1, len(cores)))
            for what, alone, together in zip(("from nothing", "in a batch"), one, several, strict=True):
                efficiency = alone / together / len(cores)
                times = f"1 worker {alone:.1f} s, {len(cores)} workers {together:.1f} s"
                verdict(efficiency >= GOAL, f"{what}: {times}, efficiency {efficiency:.3f} (wanted: {GOAL} or more)")
        if arguments.only != "speed":
            for place, mean, most in boundaries(cores, clip, folder, arguments):
                levels = f"{mean:.3f} levels in the mean of a frame, {most:.0f} at most"
                wanted = f"(wanted: below {TOLERANCE.mean:g} and {TOLERANCE.largest:g})"
                verdict(
                    mean < TOLERANCE.mean and most < TOLERANCE.largest, f"boundary at {place:.2f} s: {levels} {wanted}"
                )


if __name__ == "__main__":
    main()
