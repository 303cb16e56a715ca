"""A live session of some length, watched from inside: one JSON object on standard output.

python tests/support/soak.py SECONDS CLIP ENGINE THREADS SETTLE_SECONDS
"""

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import psutil

from pipeline.config import StylizeConfig
from pipeline.live.config import LiveConfig
from pipeline.live.controls import Controls
from pipeline.live.frames import LiveFrame
from pipeline.live.session import run_live
from pipeline.live.sinks.sink import NullSink
from pipeline.process import keep_freed_memory

PROCESS = psutil.Process()


class Watching(NullSink):
    """Remembers how old each picture was when it came."""

    def __init__(self) -> None:
        self.late: list[tuple[float, float]] = []

    def write(self, frame: LiveFrame) -> None:
        now = time.monotonic()
        self.late.append((now, now - frame.captured_at))


def held() -> dict[str, int]:
    """Threads of the system and of Python, open files and sockets, child processes."""
    return {
        "threads": PROCESS.num_threads(),
        "python_threads": threading.active_count(),
        "descriptors": PROCESS.num_fds() if hasattr(PROCESS, "num_fds") else 0,
        "children": len(PROCESS.children()),
    }


def run(clip: str, stylize: StylizeConfig, seconds: float) -> tuple[Watching, dict[str, Any]]:
    sink = Watching()
    config = LiveConfig(source=clip, stylize=stylize, seconds=seconds, realtime=True, loop=True)
    summary = run_live(config, [sink], Controls(["great-wave", "the-scream"]))
    return sink, {"fps": summary.fps, "captured": summary.captured, "delivered": summary.delivered}


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def main() -> None:
    seconds, clip, settle = float(sys.argv[1]), sys.argv[2], float(sys.argv[5])
    stylize = StylizeConfig(style="great-wave", engine=sys.argv[3], threads=int(sys.argv[4]))
    keep_freed_memory()
    run(clip, stylize, 2.0)  # what libraries keep for good is there from now on
    before, begun = held(), time.monotonic()
    memory: list[tuple[float, int]] = []
    ended = threading.Event()

    def weigh() -> None:
        while not ended.wait(0.5):
            memory.append((time.monotonic() - begun, PROCESS.memory_info().rss))

    scales = threading.Thread(target=weigh)
    scales.start()
    sink, summary = run(clip, stylize, seconds)
    ended.set()
    scales.join()
    for _ in range(100):  # threads of OpenMP end a little after the one that they worked for
        after = held()
        if all(after[name] <= before[name] for name in before):
            break
        time.sleep(0.1)
    settled = [rss for at, rss in memory if at > settle]
    third = (seconds - settle) / 3
    early = [late for at, late in sink.late if settle < at - begun < settle + third]
    late = [late for at, late in sink.late if at - begun > seconds - third]
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
