"""How long does a frame take from the camera to the sink, and does that grow?

    python benchmarks/latency.py [--seconds 120] [--height 360] [--only default|slow] [--cold] [--json]

A clip that is played at its own pace stands in for the camera, decoded in the process that stylizes. Measured is each
frame that reaches the sink: from the moment when the camera handed it out until the sink has taken it. Twice: as
`flowbrush live` runs by default, and with a network that is three times slower on purpose (every frame is stylized
three times, whatever engine does it). The resolution follows both.

The first run of a size compiles in the background; so that what is measured is what a user sees every day, that is
waited for beforehand (--cold leaves it out, and shows what a user sees the first time).
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as cli.py does, before torch is loaded

sys.path.pop(0)  # this folder: its cuda.py would hide the package of that name, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.clips import make_clip
from benchmarks.command import machine, machine_line, verdict
from pipeline.config import StylizeConfig
from pipeline.live.config import LiveConfig
from pipeline.live.frames import LiveFrame
from pipeline.live.sinks.sink import NullSink

GOAL_P95_MS, GOAL_FPS = 120, 24
# The latency at the end equals that at second 10 within the noise of a machine that does other things beside.
EQUAL_SHARE, EQUAL_MS = 1.2, 10.0
WINDOW_SECONDS = 5.0
FILL_SECONDS = 180.0


@dataclass(frozen=True)
class Run:
    """One session.

    Attributes:
        clip: the camera's stand-in.
        style: what it is stylized like.
        engine: see `StylizeConfig`.
        seconds: how long.
        times: how often each frame is stylized: 1, or more to be slow on purpose.
        until_fast: end as soon as a fast engine stylizes.
    """

    clip: str
    style: str
    engine: str
    seconds: float
    times: int = 1
    until_fast: bool = False


class Watching(NullSink):
    """Remembers when each frame came, and how old it was."""

    def __init__(self) -> None:
        self.taken: list[tuple[float, float]] = []

    def write(self, frame: LiveFrame) -> None:
        """Look at the clock."""
        now = time.monotonic()
        self.taken.append((now, now - frame.captured_at))


def session(run: Run) -> dict[str, Any]:
    """Run a session in this process; the summary, and median and p95 of the latency second by second."""
    from pipeline.live.controls import Controls
    from pipeline.live.session import LiveSession
    from pipeline.live.stylize.style_mixer import style_names
    from pipeline.system.process import keep_freed_memory

    keep_freed_memory()
    if run.times > 1:
        slow_down(run.times)
    controls = Controls(style_names(run.style))
    if run.until_fast:
        quit_when_fast(controls)
    sink = Watching()
    stylize = StylizeConfig(style=run.style, engine=run.engine)
    config = LiveConfig(source=run.clip, stylize=stylize, seconds=run.seconds, realtime=True, loop=True)
    summary = LiveSession(config, [sink], controls, lambda line: print(f"note: {line}", file=sys.stderr)).run()
    begun = sink.taken[0][0] if sink.taken else 0.0
    return asdict(summary) | {"taken": [(round(at - begun, 4), round(late * 1000, 2)) for at, late in sink.taken]}


def slow_down(times: int) -> None:
    """Let every engine stylize each frame ``times`` times."""
    from pipeline.live.stylize.engine_pool import EnginePool

    get = EnginePool.get

    def slow_get(self: EnginePool, size: tuple[int, int]) -> Any:
        kind, engine = get(self, size)

        def slow(*arguments: Any) -> Any:
            for _ in range(times - 1):
                engine(*arguments)
            return engine(*arguments)

        return kind, slow

    EnginePool.get = slow_get  # type: ignore[method-assign]


def quit_when_fast(controls: Any) -> None:
    """End the session with the first frame that a fast engine has stylized."""
    from pipeline.live.stylize.live_stylizer import LiveStylizer

    stylize = LiveStylizer.stylize

    def watched(self: LiveStylizer, *arguments: Any) -> Any:
        frame = stylize(self, *arguments)
        if self.engine != "eager":
            controls.quit()
        return frame

    LiveStylizer.stylize = watched  # type: ignore[method-assign]


def in_a_process(run: Run) -> dict[str, Any]:
    """`session` in a separate process, as a user's is."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        result: dict[str, Any] = pool.apply(session, (run,))
    return result


def between(taken: Sequence[tuple[float, float]], begin: float, end: float) -> list[float]:
    """Latencies in milliseconds of the frames that came between two moments."""
    return [late for at, late in taken if begin <= at < end]


def share_of(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of the values do not exceed; NaN for none."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)] if values else float("nan")


def early_and_late(result: dict[str, Any], seconds: float) -> dict[str, float]:
    """Median and p95 around second 10, and over as long before the end; of a short run, of its two halves."""
    taken = result["taken"]
    middle = min(10.0, seconds / 3)
    width = min(WINDOW_SECONDS, middle)
    first = between(taken, middle - width / 2, middle + width / 2)
    last = between(taken, seconds - width, seconds + 60)
    return {
        "early_p50": share_of(first, 0.5),
        "early_p95": share_of(first, 0.95),
        "late_p50": share_of(last, 0.5),
        "late_p95": share_of(last, 0.95),
    }


def lines(name: str, result: dict[str, Any], ends: dict[str, float], *, is_default: bool) -> list[str]:
    """What a session came to, and whether it is what was wanted."""
    ms, (width, height) = result["latency_ms"], result["stylized_size"]
    fps = result["fps"] or 0.0
    told = [
        f"{name}: latency p50 {ms['p50']} ms, p95 {ms['p95']} ms, p99 {ms['p99']} ms; {fps:.1f} fps delivered; "
        f"{result['captured']} captured, {result['delivered']} delivered, {result['dropped']} dropped",
        f"{name}: stylized at {width}x{height} by {result['engine']} at the end; first frame after "
        f"{result['first_frame_seconds']} s, fast engine after {result['fast_after_seconds']} s",
        f"{name}: p50 / p95 around second 10: {ends['early_p50']:.0f} / {ends['early_p95']:.0f} ms, "
        f"at the end: {ends['late_p50']:.0f} / {ends['late_p95']:.0f} ms",
    ]
    if is_default:
        p95 = ms["p95"] if ms["p95"] is not None else float("inf")
        told.append(verdict(p95 <= GOAL_P95_MS, f"{name}, p95 {p95} ms", f"at most {GOAL_P95_MS} ms"))
        told.append(verdict(fps >= GOAL_FPS, f"{name}, {fps:.1f} fps delivered", f"at least {GOAL_FPS}"))
    equal = all(ends[f"late_{p}"] <= EQUAL_SHARE * ends[f"early_{p}"] + EQUAL_MS for p in ("p50", "p95"))
    grown = f"{name}, p50 {ends['early_p50']:.0f} ms at first, {ends['late_p50']:.0f} ms at the end"
    told.append(verdict(equal, grown, "equal, up to noise"))
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description="Latency of flowbrush live.")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--style", default="great-wave")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--times", type=int, default=3, help="how many times slower the slow network is")
    parser.add_argument("--only", choices=("default", "slow"))
    parser.add_argument("--cold", action="store_true", help="do not wait for the compiler beforehand")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    facts = machine()
    print(machine_line(facts), file=sys.stderr if options.json else sys.stdout)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        clip = str(Path(folder, "camera.mp4"))
        make_clip(Path(clip), frames=300, height=options.height)
        for name, times in (("default", 1), (f"{options.times} times slower", options.times)):
            if options.only and (options.only == "default") != (times == 1):
                continue
            run = Run(clip, options.style, options.engine, options.seconds, times)
            if not options.cold:
                in_a_process(Run(clip, options.style, options.engine, FILL_SECONDS, times, until_fast=True))
            result = in_a_process(run)
            ends = early_and_late(result, options.seconds)
            results[name] = {key: value for key, value in result.items() if key != "taken"} | ends
            if not options.json:
                print("\n".join(lines(name, result, ends, is_default=times == 1)), flush=True)
    if options.json:
        print(json.dumps({"machine": facts, "runs": results}))


if __name__ == "__main__":
    main()
