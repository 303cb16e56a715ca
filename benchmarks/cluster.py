"""What does Ray cost against local workers on the same batch, after start-up? One run, interleaved.

    python benchmarks/cluster.py [--clips 6] [--seconds 20] [--workers 2] [--rounds 3] [--trace FILE.json]

Both pools are started, and stylize the batch once before anything is measured: processes, libraries and compiled
networks are loaded. Then they take turns, in the other order in each round; while one works, the other's processes
wait. Ray gives its workers a lower priority (nice 15); not here, as the machine may be busy. The clips, whose frames
are the same, are stylized into an empty folder each time, up to the report.

``--trace`` writes how long the workers took for each segment, in seconds for a frame: for cluster_simulation.py.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

sys.path.pop(0)  # this folder: its cuda.py would hide the package of that name, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.clips import make_clip
from benchmarks.command import machine, machine_line, verdict
from pipeline.batch.config import BatchConfig
from pipeline.batch.session import plan, run_batch
from pipeline.workers.cluster.ray_pool import RayPool
from pipeline.workers.local_pool import LocalPool
from pipeline.workers.protocol import SegmentExecutor

GOAL = 0.10
POLL_SECONDS = 0.1


class Trace:
    """Watches work folders; when a segment appears, the next one is being stylized."""

    def __init__(self, folder: Path) -> None:
        self.seconds_per_frame: list[float] = []
        self._folder = folder
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def end(self) -> None:
        """Stop, and work out the times."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        found: dict[tuple[Path, int], float] = {}
        while not self._ended.wait(POLL_SECONDS):
            for path in self._folder.glob("*.flowbrush/job*/[0-9]*.mp4"):
                try:
                    found.setdefault((path.parent, int(path.stem)), path.stat().st_mtime)
                except FileNotFoundError:
                    continue
        starts = sorted(found)
        for before, this, after in zip(starts, starts[1:], starts[2:], strict=False):
            if before[0] == this[0] == after[0]:
                self.seconds_per_frame.append((found[this] - found[before]) / (after[1] - this[1]))


def seconds_for(folder: Path, executor: SegmentExecutor, engine: str, trace: list[float] | None = None) -> float:
    """Stylize the clips of ``folder`` with an executor; returns how long that took."""
    output = folder / "out"
    options = {"engine": engine, "device": "cpu"}
    config = BatchConfig(inputs=(str(folder / "in"),), output=output, styles=("great-wave",), options=options)
    planned = plan(config)
    watch = Trace(output)
    begun = time.perf_counter()
    try:
        ended = run_batch(config, planned, executor=executor)
        seconds = time.perf_counter() - begun
    finally:
        watch.end()
    if ended.failed or ended.left:
        raise SystemExit("a clip failed; see the report")
    if trace is not None:
        trace += watch.seconds_per_frame
    shutil.rmtree(output)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=20, help="of each clip")
    parser.add_argument("--height", type=int, default=360, help="in pixels, even; the width follows (16:9)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--trace", type=Path, metavar="FILE.json")
    arguments = parser.parse_args()
    print(machine_line(machine()))
    os.environ.setdefault("RAY_worker_niceness", "0")
    rounds: dict[str, list[float]] = {"local": [], "ray": []}
    trace: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        clip = make_clip(folder / "clip.mp4", frames=round(arguments.seconds * 30), height=arguments.height)
        for number in range(arguments.clips):
            shutil.copy(clip, folder / "in" / f"{number}.mp4")
        with (
            closing(LocalPool(arguments.workers, "cpu")) as local,
            closing(RayPool("auto", workers=arguments.workers, device="cpu")) as ray,
        ):
            pools: dict[str, SegmentExecutor] = {"local": local, "ray": ray}
            for pool in pools.values():
                seconds_for(folder, pool, arguments.engine)
            for number in range(arguments.rounds):
                for kind in sorted(pools, reverse=number % 2 == 1):
                    rounds[kind].append(seconds_for(folder, pools[kind], arguments.engine, trace))
                    print(f"round {number + 1}, {kind}: {rounds[kind][-1]:.2f} s", flush=True)
    overheads = [ray / local - 1 for ray, local in zip(rounds["ray"], rounds["local"], strict=True)]
    overhead = statistics.median(overheads)
    print(f"overhead of Ray by round: {', '.join(f'{each:+.1%}' for each in overheads)}")
    print(verdict(overhead < GOAL, f"overhead of Ray {overhead:+.1%}, median", f"under {GOAL:.0%}"))
    if arguments.trace is not None:
        figures = {"machine": machine_line(machine()), "seconds_per_frame": [round(each, 5) for each in trace]}
        arguments.trace.write_text(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
