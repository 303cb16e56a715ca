"""How do batches scale on 10, 100 and 1,000 workers? A simulation from measured times of segments, as a plot.

    python benchmarks/cluster_simulation.py [--trace cluster_trace.json] [--plot docs/cluster.png]

Workers of two cores stylize 1920x1080 on the CPU. How long a frame takes is measured at 640x360 and taken nine times;
how much segments differ is what cluster.py --trace wrote: each job takes a random part of that series, so that slow
minutes stay together. Clips are divided by the code that a batch divides them with, and are opened longest first, two
more than there are workers. What is not measured is assumed, and named below. The same seed gives the same plot.
"""

import argparse
import heapq
import json
import random
import statistics
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

sys.path.pop(0)  # this folder: its cuda.py would hide the package of that name, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipeline.workers.partition import OBSERVED_PER_STYLIZED, WARM_UP, count_jobs

# Measured: docs/performance.md, seconds for a frame of 640x360 on two cores; start-up; searching a boundary at 640x360.
FRAME_SECONDS, START_SECONDS, BOUNDARY_SECONDS = 0.028, 4.6, 1.1
PIXELS = 9  # 1920x1080 has as many times the pixels of 640x360
RATE, SEGMENT_FRAMES = 30, 120
WARM_UP_FRAMES = WARM_UP.stylized + float(WARM_UP.observed / OBSERVED_PER_STYLIZED)
# Assumed: to join an hour, 10.4 GB are checked, read and written at 100 MB/s; clips of 6 minutes, some much longer; one
# worker in fifty at half the speed; one in twenty is lost in an hour, as spot machines are, and replaced after two
# minutes.
JOIN_SECONDS_PER_FRAME = 3 * 104 / (3600 * RATE)
MEDIAN_MINUTES, SPREAD = 6.0, 1.0
SLOW_SHARE, SLOW_FACTOR = 0.02, 2.0
LOSSES_PER_HOUR, REPLACED_SECONDS = 0.05, 120.0
WORKERS = (10, 30, 100, 300, 1000)
HOURS = 2.0  # that the batch would take if all workers were busy to the end
SEED = 2026


@dataclass
class Clip:
    """A clip of a batch, in frames, and how many of its jobs are not finished."""

    frames: int
    jobs: int = 0


@dataclass(order=True)
class Job:
    """Frames to stylize, or the join of a clip; `place` is where its part of the measured series starts."""

    frames: float
    clip: Clip = field(compare=False)
    place: int = field(compare=False)
    is_join: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class Trouble:
    """What a scenario includes."""

    name: str
    differ: bool = False
    slow: bool = False
    losses: bool = False


SCENARIOS = (
    Trouble("all segments take the same"),
    Trouble("measured segments", differ=True),
    Trouble("and 1 in 50 workers half as fast", differ=True, slow=True),
    Trouble("and 1 in 20 lost each hour", differ=True, slow=True, losses=True),
)


class Batch:
    """One run of a batch on a number of workers.

    Args:
        clips: frames of each.
        workers: how many.
        trouble: what happens.
        series: measured times of consecutive segments, their mean is 1.
    """

    def __init__(self, clips: Sequence[int], workers: int, trouble: Trouble, series: Sequence[float]) -> None:
        self._random = random.Random(SEED)  # noqa: S311 - a simulation
        self._closed = deque(Clip(frames) for frames in sorted(clips, reverse=True))
        self._workers, self._trouble, self._series = workers, trouble, series
        self._waiting: deque[Job] = deque()
        self._open = 0
        self.busy: list[tuple[float, int]] = []
        self.lost = 0

    def run(self) -> float:
        """Return how many seconds it takes."""
        free = [(START_SECONDS, number) for number in range(self._workers)]
        factors = [SLOW_FACTOR if self._is_slow() else 1.0 for _ in free]
        running: list[tuple[float, int, Job, float]] = []  # end, worker, job, frames that remain
        now = START_SECONDS
        self._open_clips()
        while running or self._waiting:
            while self._waiting and free and free[0][0] <= now:
                _, worker = heapq.heappop(free)
                job = self._waiting.popleft()
                seconds, left, is_lost = self._try(job, factors[worker])
                heapq.heappush(running, (now + seconds, worker, job, left if is_lost else 0.0))
            self.busy.append((now, len(running)))
            ends = [running[0][0]] if running else []
            ends += [free[0][0]] if self._waiting and free else []
            now = max(now, min(ends))
            while running and running[0][0] <= now:
                _, worker, job, left = heapq.heappop(running)
                heapq.heappush(free, (now + (REPLACED_SECONDS if left else 0.0), worker))
                self._end(job, left)
        return now

    def _is_slow(self) -> bool:
        return self._trouble.slow and self._random.random() < SLOW_SHARE

    def _open_clips(self) -> None:
        while self._closed and self._open < self._workers + 2:
            clip = self._closed.popleft()
            others = len(self._closed) + self._open
            info = SimpleNamespace(frame_count=clip.frames, duration_seconds=clip.frames / RATE)
            clip.jobs = count_jobs(cast(Any, info), self._workers, are_busy=others >= self._workers)
            self._open += 1
            for number in range(clip.jobs):
                frames = clip.frames / clip.jobs + (WARM_UP_FRAMES if number else 0)
                self._waiting.append(Job(frames, clip, self._random.randrange(len(self._series))))

    def _try(self, job: Job, factor: float) -> tuple[float, float, bool]:
        """Return how long a worker is busy with a job, what is left to do, and whether the worker was lost."""
        if job.is_join:
            return job.frames * JOIN_SECONDS_PER_FRAME, 0.0, False
        lost_at = self._random.expovariate(LOSSES_PER_HOUR / 3600) if self._trouble.losses else float("inf")
        seconds, done = 0.0, 0.0
        for segment in range(10**6):
            frames = min(SEGMENT_FRAMES, job.frames - done)
            speed = self._series[(job.place + segment) % len(self._series)] if self._trouble.differ else 1.0
            seconds += frames * FRAME_SECONDS * PIXELS * speed * factor
            if seconds > lost_at:
                return lost_at, job.frames - done, True  # the unfinished segment is stylized again
            done += frames
            if done >= job.frames:
                break
        return seconds, 0.0, False

    def _end(self, job: Job, left: float) -> None:
        if left:
            self.lost += 1
            self._waiting.appendleft(Job(left, job.clip, job.place))
            return
        if job.is_join:
            self._open -= 1
            self._open_clips()
            return
        job.clip.jobs -= 1
        if not job.clip.jobs:
            self._waiting.appendleft(Job(job.clip.frames, job.clip, 0, is_join=True))


def clips_for(workers: int) -> list[int]:
    """Clips, in frames, that would keep all workers busy for `HOURS`."""
    chance = random.Random(SEED)  # noqa: S311 - a simulation
    wanted = HOURS * 3600 * workers / (FRAME_SECONDS * PIXELS)
    frames: list[int] = []
    while sum(frames) < wanted:
        minutes = min(chance.lognormvariate(0, SPREAD) * MEDIAN_MINUTES, 120)
        frames.append(max(round(minutes * 60 * RATE), RATE))
    return frames


def film(workers: int) -> tuple[float, float]:
    """Hours for one film of two hours: until all of its boundaries are found, and in all."""
    info = SimpleNamespace(frame_count=2 * 3600 * RATE, duration_seconds=7200)
    jobs = count_jobs(cast(Any, info), workers)
    planned = (jobs - 1) * BOUNDARY_SECONDS * PIXELS
    job = (info.frame_count / jobs + (WARM_UP_FRAMES if jobs > 1 else 0)) * FRAME_SECONDS * PIXELS
    rounds = -(-jobs // workers)
    return planned / 3600, (planned + job * rounds + info.frame_count * JOIN_SECONDS_PER_FRAME) / 3600


def read_series(path: Path) -> list[float]:
    """Measured times of segments, their mean is 1."""
    seconds = json.loads(path.read_text())["seconds_per_frame"]
    mean = statistics.mean(seconds)
    return [each / mean for each in seconds]


def simulate(series: Sequence[float]) -> dict[str, Any]:
    """Print and return the results."""
    results: dict[str, Any] = {"efficiency": {}, "busy": {}, "film": {}}
    print(f"segments: {len(series)}, the slowest tenth takes {statistics.quantiles(series, n=10)[-1]:.2f} of the mean")
    print(f"{'workers':>8} {'clips':>6} " + " ".join(f"{each.name:>34}" for each in SCENARIOS))
    for workers in WORKERS:
        clips = clips_for(workers)
        work = sum(clips) * FRAME_SECONDS * PIXELS
        row = []
        for trouble in SCENARIOS:
            batch = Batch(clips, workers, trouble, series)
            seconds = batch.run()
            results["efficiency"][trouble.name, workers] = work / (workers * seconds)
            results["busy"][trouble.name, workers] = [(at / 3600, count / workers) for at, count in batch.busy]
            lost = f", {batch.lost} lost" if trouble.losses else ""
            row.append(f"{work / (workers * seconds):6.1%} ({seconds / 3600:.2f} h{lost})")
        print(f"{workers:>8} {len(clips):>6} " + " ".join(f"{each:>34}" for each in row))
    for workers in (1, *WORKERS):
        planned, total = results["film"][workers] = film(workers)
        print(f"a film of 2 h on {workers} workers: {total:.2f} h, {planned:.2f} h of it to find boundaries")
    return results


def draw(results: dict[str, Any], path: Path) -> None:
    """Write the plot."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13.5, 4.2), layout="constrained")
    for trouble, marker in zip(SCENARIOS, "osD^", strict=True):
        values = [100 * results["efficiency"][trouble.name, workers] for workers in WORKERS]
        left.plot(WORKERS, values, marker=marker, label=trouble.name)
    left.set(xscale="log", ylim=(0, 105), xlabel="workers", ylabel="% of the time in which frames are stylized")
    left.set_title(f"A batch of {HOURS:.0f} h")
    left.legend(loc="lower left", fontsize=8, title="segments and workers", title_fontsize=8)
    for workers, color in zip((10, 100, 1000), ("C0", "C1", "C2"), strict=True):
        at, share = zip(*results["busy"][SCENARIOS[-1].name, workers], strict=True)
        middle.step(at, [100 * each for each in share], where="post", color=color, label=f"{workers} workers", lw=1)
    middle.set(xlim=(0, None), ylim=(0, 105), xlabel="hours", ylabel="% of the workers that have a job")
    middle.set_title("The same with slow and lost workers")
    middle.legend(loc="lower left", fontsize=8)
    counts = (1, *WORKERS)
    right.plot(counts, [results["film"][workers][1] for workers in counts], marker="o", label="in all")
    right.plot(counts[1:], [results["film"][workers][0] for workers in counts[1:]], "s--", label="finding boundaries")
    right.set(xscale="log", yscale="log", xlabel="workers", ylabel="hours")
    right.set_title("One film of 2 h")
    right.legend(fontsize=8)
    for axes in (left, middle, right):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main() -> None:
    folder = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trace", type=Path, default=folder / "cluster_trace.json", metavar="FILE.json")
    parser.add_argument("--plot", type=Path, metavar="FILE.png")
    arguments = parser.parse_args()
    results = simulate(read_series(arguments.trace))
    if arguments.plot is not None:
        draw(results, arguments.plot)


if __name__ == "__main__":
    main()
