"""Run a long live session and measure memory, threads and latency from inside; print one JSON object.

python tests/support/live/soak.py SECONDS CLIP ENGINE THREADS SETTLE_SECONDS
"""

import json
import os
import sys
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

import psutil

from pipeline.config import StylizeConfig
from pipeline.live.config import LiveConfig
from pipeline.live.controls import Controls
from pipeline.live.frames import LiveFrame
from pipeline.live.session import LiveSession
from pipeline.live.sinks.sink import NullSink
from pipeline.system.process import keep_freed_memory

PROCESS = psutil.Process()


class LatencySink(NullSink):
    """Records the latency of each frame, with the time of its arrival."""

    def __init__(self) -> None:
        self.latencies: list[tuple[float, float]] = []

    def write(self, frame: LiveFrame) -> None:
        now = time.monotonic()
        self.latencies.append((now, now - frame.captured_at))


def resources() -> dict[str, int]:
    """Threads of the system and of Python, open files and sockets, child processes."""
    return {
        "threads": PROCESS.num_threads(),
        "python_threads": threading.active_count(),
        "descriptors": PROCESS.num_fds() if hasattr(PROCESS, "num_fds") else 0,
        "children": len(PROCESS.children()),
    }


def run(clip: str, stylize: StylizeConfig, seconds: float) -> tuple[LatencySink, dict[str, Any]]:
    sink = LatencySink()
    config = LiveConfig(source=clip, stylize=stylize, seconds=seconds, realtime=True, loop=True)
    summary = LiveSession(config, [sink], Controls(["great-wave", "the-scream"])).run()
    return sink, {"fps": summary.fps, "captured": summary.captured, "delivered": summary.delivered}


def main() -> None:
    seconds, clip, settle = float(sys.argv[1]), sys.argv[2], float(sys.argv[5])
    stylize = StylizeConfig(style="great-wave", engine=sys.argv[3], threads=int(sys.argv[4]))
    keep_freed_memory()
    run(clip, stylize, 2.0)  # libraries allocate what they never release
    before, started = resources(), time.monotonic()
    memory: list[tuple[float, int]] = []
    ended = threading.Event()

    def sample_memory() -> None:
        while not ended.wait(0.5):
            memory.append((time.monotonic() - started, PROCESS.memory_info().rss))

    sampler = threading.Thread(target=sample_memory)
    sampler.start()
    sink, summary = run(clip, stylize, seconds)
    ended.set()
    sampler.join()
    for _ in range(100):  # OpenMP's threads end a little later
        after = resources()
        if all(after[name] <= before[name] for name in before):
            break
        time.sleep(0.1)
    settled = [rss for at, rss in memory if at > settle]
    third = (seconds - settle) / 3
    early = [latency for at, latency in sink.latencies if settle < at - started < settle + third]
    late = [latency for at, latency in sink.latencies if at - started > seconds - third]
    print(
        json.dumps(
            summary
            | {
                "before": before,
                "after": after,
                "grown_bytes": settled[-1] - settled[0],
                "range_bytes": max(settled) - min(settled),
                "early_ms": 1000 * median(early),
                "late_ms": 1000 * median(late),
            }
        )
    )


if __name__ == "__main__":
    main()
