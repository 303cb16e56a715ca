"""What does one more clip cost in a batch? Against its frames at the steady rate, and against a shell loop. One run.

    python benchmarks/batch.py [--clips 20] [--seconds 3] [--height 360] [--loop 20] [--json]

The steady rate is that of `flowbrush video` on a clip of `--steady` seconds, before and after the batch. In the batch
the time from the first finished clip to the last is divided by the clips between: opening, hashing, joining, checking
and thumbnails are in it. The shell loop calls `flowbrush video` once for each clip, with compiled code in the cache.

Processor time is given beside it, as on a busy machine time alone says little: of the whole process between the same
two moments, against what further frames cost `flowbrush video` (a long clip less a short one).
"""

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.pop(0)  # this folder: its cuda.py would hide the package of that name, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.clips import RATE, make_clip, width_for
from benchmarks.command import ROOT, machine, machine_line, stylize, verdict

GOAL_SECONDS = 0.3
STEADY = 1.15  # the two rates may differ by so much


def run_batch(folder: Path, output: Path, options: list[str]) -> list[tuple[float, float]]:
    """Stylize a folder; returns the moment at which each clip was finished, and the processor time used until then."""
    command = [sys.executable, str(ROOT / "cli.py"), "batch", str(folder), "--output", str(output), *options]
    moments = []
    with subprocess.Popen([*command, "--json-lines", "--quiet"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "finished":
                moments.append((time.perf_counter(), _cpu_seconds(process.pid)))
            elif event["event"] == "failed":
                raise SystemExit(event["error"])
    return moments


def _cpu_seconds(process: int) -> float:
    """That a running process has used; NaN where the system does not tell."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError):
        return math.nan


def stylize_clocked(clip: Path, target: Path, options: list[str]) -> tuple[float, float]:
    """`flowbrush video`: milliseconds a frame, and processor seconds in all."""
    before = os.times()
    fps = stylize(clip, target, *options)["fps"]
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return 1000 / fps, used


def run_loop(clips: list[Path], output: Path, options: list[str]) -> list[float]:
    """Stylize each clip with a command of its own; returns how long each took."""
    output.mkdir()
    times = []
    for clip in clips:
        begun = time.perf_counter()
        stylize(clip, output / clip.name, *options)
        times.append(time.perf_counter() - begun)
    return times


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All figures of one run."""
    options = ["--style", arguments.style, *(["--engine", arguments.engine] if arguments.engine else [])]
    frames = arguments.seconds * RATE
    long = make_clip(folder / "long.mp4", frames=arguments.steady * RATE, height=arguments.height)
    first = make_clip(folder / "first.mp4", frames=frames, height=arguments.height)
    clips = [folder / "in" / f"{number:03}.mp4" for number in range(arguments.clips)]
    clips[0].parent.mkdir()
    for clip in clips:
        shutil.copyfile(first, clip)
    stylize(first, folder / "warm.mp4", *options)
    _, short_cpu = stylize_clocked(first, folder / "short_stylized.mp4", options)
    before, long_cpu = stylize_clocked(long, folder / "long_stylized.mp4", options)
    moments = run_batch(folder / "in", folder / "out", options)
    after, _ = stylize_clocked(long, folder / "long_stylized.mp4", options)
    loop = run_loop(clips[: arguments.loop], folder / "loop", options)
    between = len(moments) - 1
    one_more, one_more_cpu = ((moments[-1][kind] - moments[0][kind]) / between for kind in (0, 1))
    frame_cpu = (long_cpu - short_cpu) / (arguments.steady * RATE - frames)
    return {
        "machine": machine(),
        "width": width_for(arguments.height),
        "height": arguments.height,
        "clips": len(moments),
        "frames_a_clip": frames,
        "steady_ms_a_frame": [before, after],
        "batch_seconds_a_clip": one_more,
        "batch_seconds_of_clips": [b[0] - a[0] for a, b in pairwise(moments)],
        "seconds_beyond_frames": one_more - frames * (before + after) / 2000,
        "cpu_ms_a_frame": 1000 * frame_cpu,
        "cpu_seconds_a_clip": one_more_cpu,
        "cpu_seconds_beyond_frames": one_more_cpu - frames * frame_cpu,
        "loop_seconds_a_clip": statistics.median(loop) if loop else None,
    }


def lines(result: dict[str, Any]) -> list[str]:
    """The object for people."""
    beyond, frames = result["seconds_beyond_frames"], result["frames_a_clip"]
    before, after = result["steady_ms_a_frame"]
    loop = result["loop_seconds_a_clip"]
    said = [
        machine_line(result["machine"]),
        f"{result['clips']} clips of {frames} frames, {result['width']}x{result['height']}",
        f"steady rate, one long clip, before and after: {before:.1f} and {after:.1f} ms a frame",
        f"batch: {result['batch_seconds_a_clip']:.2f} s for each clip after the first",
    ]
    if loop is not None:
        said.append(
            f"shell loop of flowbrush video: {loop:.2f} s a clip, {loop / result['batch_seconds_a_clip']:.1f} x"
        )
    said.append(
        f"processor time: {result['cpu_ms_a_frame']:.1f} ms a frame, {result['cpu_seconds_a_clip']:.2f} s a clip, "
        f"{result['cpu_seconds_beyond_frames']:.2f} s of it beyond its frames"
    )
    if max(before, after) > STEADY * min(before, after):
        return [*said, "NOT JUDGED: the steady rate changed meanwhile; something else ran on the machine"]
    figure = f"{beyond:.2f} s beyond its frames for one more clip"
    return [*said, verdict(beyond <= GOAL_SECONDS, figure, f"at most {GOAL_SECONDS} s")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=3, help="of each clip")
    parser.add_argument("--steady", type=int, default=20, help="seconds of the clip that tells the steady rate")
    parser.add_argument("--loop", type=int, default=20, help="clips of the shell loop; 0 leaves it out")
    parser.add_argument("--height", type=int, default=360, help="in pixels, even; the width follows (16:9)")
    parser.add_argument("--style", default="great-wave")
    parser.add_argument("--engine", default="", help="default: the fastest there is")
    parser.add_argument("--json", action="store_true", help="print one object")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with tempfile.TemporaryDirectory() as folder:
        result = measure(arguments, Path(folder))
    print(json.dumps(result) if arguments.json else "\n".join(lines(result)))


if __name__ == "__main__":
    main()
