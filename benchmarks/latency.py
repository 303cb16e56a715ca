"""How long does a frame take from the camera to the sink, and does that grow?

    python benchmarks/latency.py [--seconds 120] [--height 360] [--only default|slow] [--cold] [--json]
        [--avx2] [--busy 0.5 [--busy-from 15]] [--every 1] [--empty]

A clip that is played at its own pace stands in for the camera, decoded in the process that stylizes. Measured is each
frame that reaches the sink: from the moment when the camera handed it out until the sink has taken it. Twice: as
`flowbrush live` runs by default, and with a network that is three times slower on purpose (every frame is stylized
three times, whatever engine does it). The resolution follows both.

The first run of a size compiles in the background; so that what is measured is what a user sees every day, that is
waited for beforehand, for a minute at most (--cold leaves it out, and shows what a user sees the first time; --empty
starts with an empty cache too).

--avx2 holds PyTorch, oneDNN, OpenVINO and compiled code to AVX2 and float32, as an ordinary CPU. --busy SHARE lets
another process use this share of a core, from the start or from second --busy-from on. --every N prints a line every N
seconds: size, engine, frames side by side, frames a second, p95; and when which engines were prepared. The promise of
docs/live.md is judged from second 10 on.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as cli.py does, before torch is loaded

sys.path.pop(0)  # this folder: its cuda.py would hide the package of that name, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.clips import make_clip
from benchmarks.command import machine, machine_line, verdict
from pipeline.config import StylizeConfig
from pipeline.live.config import LiveConfig
from pipeline.live.frames import LiveFrame
from pipeline.live.sinks.sink import NullSink

GOAL_P95_MS, GOAL_FPS, GOAL_PIXELS = 120, 24, 320 * 180
# While another process is busy.
GOAL_BUSY_FPS = 20
FROM_SECONDS = 10.0
# The latency at the end equals that at second 10 within the noise of a machine that does other things beside.
EQUAL_SHARE, EQUAL_MS = 1.2, 10.0
WINDOW_SECONDS = 5.0
FILL_SECONDS = 60.0
BUSY_PERIOD_SECONDS = 0.02
LISTS = ("taken", "modes", "prepared")
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}


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
        precision: of the network.
    """

    clip: str
    style: str
    engine: str
    seconds: float
    times: int = 1
    until_fast: bool = False
    precision: Literal["auto", "fp32"] = "auto"


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
    sink, modes, prepared = Watching(), watch_modes(), watch_engines()
    stylize = StylizeConfig(style=run.style, engine=run.engine, precision=run.precision)
    config = LiveConfig(source=run.clip, stylize=stylize, seconds=run.seconds, realtime=True, loop=True)
    summary = LiveSession(config, [sink], controls, lambda line: print(f"note: {line}", file=sys.stderr)).run()
    begun = sink.taken[0][0] if sink.taken else 0.0
    taken = [(round(at - begun, 4), round(late * 1000, 2)) for at, late in sink.taken]
    return asdict(summary) | {
        "taken": taken,
        "modes": [(round(at - begun, 4), *mode) for at, *mode in modes],
        "prepared": [(round(begin - begun, 2), round(end - begun, 2), *mode) for begin, end, *mode in prepared],
    }


def watch_modes() -> list[tuple[float, tuple[int, int], str, int]]:
    """Return a list that gets the time, size, engine and frames side by side of each frame that is stylized."""
    from pipeline.live.stylize.live_stylizer import LiveJob, LiveStylizer

    modes: list[tuple[float, tuple[int, int], str, int]] = []
    finish = LiveStylizer.finish

    def watched(self: LiveStylizer, job: LiveJob) -> LiveFrame:
        frame = finish(self, job)
        modes.append((time.monotonic(), job.mode.size, job.mode.engine, job.mode.workers))
        return frame

    LiveStylizer.finish = watched  # type: ignore[method-assign]
    return modes


def watch_engines() -> list[tuple[float, float, tuple[int, int], str, int]]:
    """Return a list that gets start, end, size, engine and frames side by side of each engine that is prepared."""
    from pipeline.live.stylize.engine_builder import EngineBuilder
    from pipeline.live.stylize.modes import Mode

    prepared: list[tuple[float, float, tuple[int, int], str, int]] = []
    prepare = EngineBuilder.prepare

    def watched(self: EngineBuilder, mode: Mode) -> Any:
        begin = time.monotonic()
        engine = prepare(self, mode)
        prepared.append((begin, time.monotonic(), mode.size, mode.engine, mode.workers))
        return engine

    EngineBuilder.prepare = watched  # type: ignore[method-assign]
    return prepared


def slow_down(times: int) -> None:
    """Let every engine stylize each frame ``times`` times, and keep what that costs from other sessions."""
    from pipeline.live.stylize.control import cost_file
    from pipeline.live.stylize.engine_pool import EnginePool
    from pipeline.live.stylize.modes import Mode

    cost_file.NAME = f"live_costs_{times}.json"
    get = EnginePool.get

    def slow_get(self: EnginePool, mode: Mode) -> Any:
        engine = get(self, mode)

        def slow(*arguments: Any) -> Any:
            for _ in range(times - 1):
                engine(*arguments)
            return engine(*arguments)

        return slow

    EnginePool.get = slow_get  # type: ignore[method-assign]


def quit_when_fast(controls: Any) -> None:
    """End the session with the first frame that a fast engine has stylized."""
    from pipeline.live.stylize.live_stylizer import LiveJob, LiveStylizer

    finish = LiveStylizer.finish

    def watched(self: LiveStylizer, job: LiveJob) -> LiveFrame:
        if job.mode.engine != "eager":
            controls.quit()
        return finish(self, job)

    LiveStylizer.finish = watched  # type: ignore[method-assign]


def keep_busy(share: float, from_seconds: float) -> None:
    """Use ``share`` of a core, in another process, from then on."""
    time.sleep(from_seconds)
    while True:
        end = time.perf_counter() + share * BUSY_PERIOD_SECONDS
        while time.perf_counter() < end:
            pass
        time.sleep((1 - share) * BUSY_PERIOD_SECONDS)


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


def second_by_second(result: dict[str, Any], every: float) -> list[str]:
    """Return a line for each ``every`` seconds: how frames were stylized last, how many came, and how late."""
    taken, told = result["taken"], []
    for index in range(int(taken[-1][0] / every) if taken else 0):
        begin, end = index * every, (index + 1) * every
        late = between(taken, begin, end)
        modes = [mode for mode in result["modes"] if mode[0] < end]
        _, (height, width), engine, workers = modes[-1]
        told.append(
            f"{end:6.1f} s  {width}x{height}  {engine}  {workers} at once  {len(late) / every:5.1f} fps  "
            f"p95 {share_of(late, 0.95):4.0f} ms"
        )
    for begin, end, (height, width), engine, workers in result["prepared"]:
        told.append(f"prepared from {begin:.1f} to {end:.1f} s: {width}x{height}  {engine}  {workers} at once")
    return told


def _fast_after(seconds: float | None) -> str:
    return "no other engine" if seconds is None else f"fast engine after {seconds} s"


def promise(name: str, result: dict[str, Any], goal_fps: float) -> list[str]:
    """Return what the session came to from second 10 on, against what docs/live.md promises."""
    taken = [(at, late) for at, late in result["taken"] if at >= FROM_SECONDS]
    if len(taken) < 2:
        return [f"{name}: no frames after second {FROM_SECONDS:g}"]
    p95, fps = share_of([late for _, late in taken], 0.95), (len(taken) - 1) / (taken[-1][0] - taken[0][0])
    sizes = [size for at, size, *_ in result["modes"] if at >= FROM_SECONDS]
    height, width = min(sizes, key=lambda size: size[0] * size[1])
    figure = f"{name}, from second {FROM_SECONDS:g} on"
    return [
        verdict(p95 <= GOAL_P95_MS, f"{figure}, p95 {p95:.0f} ms", f"at most {GOAL_P95_MS} ms"),
        verdict(fps >= goal_fps, f"{figure}, {fps:.1f} fps delivered", f"at least {goal_fps}"),
        verdict(height * width >= GOAL_PIXELS, f"{figure}, never below {width}x{height}", "320x180"),
    ]


def lines(name: str, result: dict[str, Any], ends: dict[str, float], goal_fps: float | None) -> list[str]:
    """What a session came to, and whether it is what was wanted."""
    ms, (width, height) = result["latency_ms"], result["stylized_size"]
    fps = result["fps"] or 0.0
    told = [
        f"{name}: latency p50 {ms['p50']} ms, p95 {ms['p95']} ms, p99 {ms['p99']} ms; {fps:.1f} fps delivered; "
        f"{result['captured']} captured, {result['delivered']} delivered, {result['dropped']} dropped",
        f"{name}: stylized at {width}x{height} by {result['engine']}, {result['side_by_side']} at once, at the end; "
        f"first frame after {result['first_frame_seconds']} s, {_fast_after(result['fast_after_seconds'])}",
        f"{name}: p50 / p95 around second 10: {ends['early_p50']:.0f} / {ends['early_p95']:.0f} ms, "
        f"at the end: {ends['late_p50']:.0f} / {ends['late_p95']:.0f} ms",
    ]
    if goal_fps is not None:
        told += promise(name, result, goal_fps)
    equal = all(ends[f"late_{p}"] <= EQUAL_SHARE * ends[f"early_{p}"] + EQUAL_MS for p in ("p50", "p95"))
    grown = f"{name}, p50 {ends['early_p50']:.0f} ms at first, {ends['late_p50']:.0f} ms at the end"
    told.append(verdict(equal, grown, "equal, up to noise"))
    return told


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--style", default="great-wave")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--times", type=int, default=3, help="how many times slower the slow network is")
    parser.add_argument("--only", choices=("default", "slow"))
    parser.add_argument("--cold", action="store_true", help="do not wait for the compiler beforehand")
    parser.add_argument("--empty", action="store_true", help="begin with an empty cache; implies --cold")
    parser.add_argument("--avx2", action="store_true", help="as on a CPU with AVX2 and without bf16")
    parser.add_argument("--busy", type=float, default=0.0, metavar="SHARE", help="of a core, used by another process")
    parser.add_argument("--busy-from", type=float, default=0.0, metavar="SECOND")
    parser.add_argument("--every", type=float, metavar="SECONDS", help="print a line so often")
    parser.add_argument("--json", action="store_true")
    return parser


def measure(run: Run, options: argparse.Namespace) -> dict[str, Any]:
    """Run a session as the options say."""
    if not (options.cold or options.empty):
        in_a_process(replace(run, seconds=FILL_SECONDS, until_fast=True))
    context = multiprocessing.get_context("spawn")
    busy = context.Process(target=keep_busy, args=(options.busy, options.busy_from), daemon=True)
    if options.busy:
        busy.start()
    try:
        return in_a_process(run)
    finally:
        if options.busy:
            busy.kill()


def main() -> None:
    options = make_parser().parse_args()
    if options.avx2:
        os.environ.update(AVX2)
    facts = machine()
    print(machine_line(facts), file=sys.stderr if options.json else sys.stdout)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        if options.empty:
            os.environ["FLOWBRUSH_CACHE"] = str(Path(folder, "cache"))
        clip = str(Path(folder, "camera.mp4"))
        make_clip(Path(clip), frames=300, height=options.height)
        for name, times in (("default", 1), (f"{options.times} times slower", options.times)):
            if options.only and (options.only == "default") != (times == 1):
                continue
            run = Run(clip, options.style, options.engine, options.seconds, times)
            result = measure(replace(run, precision="fp32") if options.avx2 else run, options)
            ends = early_and_late(result, options.seconds)
            results[name] = {key: value for key, value in result.items() if key not in LISTS} | ends
            if not options.json:
                goal = (GOAL_BUSY_FPS if options.busy else GOAL_FPS) if times == 1 else None
                told = second_by_second(result, options.every) if options.every else []
                print("\n".join(told + lines(name, result, ends, goal)), flush=True)
    if options.json:
        print(json.dumps({"machine": facts, "runs": results}))


if __name__ == "__main__":
    main()
