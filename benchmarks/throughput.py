"""How fast is the whole command, against the loop that most projects ship? One run, interleaved, medians.

    python benchmarks/throughput.py [--frames 300] [--rounds 3] [--height 360] [--isa avx2] [--json]

(a) is the classic loop: OpenCV capture, the 1.68 M-parameter fast-neural-style network in eager float32, OpenCV
writer. (b) is the same loop with the network at half its width (0.42 M). Both have random weights, which take as long
as trained ones, and both are clocked on a few frames after a warm-up, since each frame costs the same.

The rows of flowbrush are `flowbrush video` as a user calls it, in the user's own environment: the sustained rate from
decoding to the finished file, after start-up. Each is run once beforehand, so that compiled code is in the cache.

``--isa avx2`` makes a newer processor run as an ordinary one, in float32, without AVX512: the loops, all engines of
torch, and the compiled code. Whether OpenVINO's kernels follow is not known: its row may use more.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.pop(0)  # this folder: its cuda.py would hide the package of that name, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.clips import make_clip, width_for
from benchmarks.command import CommandError, machine, machine_line, stylize, verdict

GOAL_A, GOAL_B, GOAL_STARTUP_SECONDS = 12, 4, 6
WARM_UP_FRAMES = 2
# What limits torch, oneDNN, MKL and the C++ compiler of torch to AVX2.
AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "TORCHINDUCTOR_CPP_MARCH": "haswell",
}


@dataclass
class Row:
    """One thing that is clocked, once a round.

    Attributes:
        name: as printed.
        frames: that are stylized each time.
        run: stylizes that many frames of a clip into a file; milliseconds a frame, and the command's own figures.
        is_default: what `flowbrush video` does unless told otherwise.
        ms: a frame, of each round.
        figures: of the command, of each round.
        failure: why there are no figures.
    """

    name: str
    frames: int
    run: Callable[[Path, Path], tuple[float, dict[str, Any]]]
    is_default: bool = False
    ms: list[float] = field(default_factory=list)
    figures: list[dict[str, Any]] = field(default_factory=list)
    failure: str = ""

    def measure(self, clip: Path, target: Path, *, keep: bool = True) -> None:
        """Run once; an engine that is not available fails for good."""
        if self.failure:
            return
        try:
            ms, figures = self.run(clip, target)
        except CommandError as error:
            self.failure = str(error)
            return
        if keep:
            self.ms.append(ms)
            self.figures.append(figures)

    def summary(self, a_ms: float, b_ms: float) -> dict[str, Any]:
        """Medians over the rounds, and how many times as fast as (a) and (b)."""
        if not self.ms:
            return {"name": self.name, "failure": self.failure}
        ms = statistics.median(self.ms)
        startups = [figures["startup_seconds"] for figures in self.figures if figures]
        return {
            "name": self.name,
            "is_default": self.is_default,
            "frames": self.frames,
            "ms_per_frame": ms,
            "fps": 1000 / ms,
            "times_a": a_ms / ms,
            "times_b": b_ms / ms,
            "startup_seconds": statistics.median(startups) if startups else None,
            "ms_of_rounds": self.ms,
            "figures_of_rounds": self.figures,
        }


def classic(width: int, frames: int) -> Row:
    """A row of the classic loop."""
    from benchmarks.classic import TransformerNet, classic_loop

    network = TransformerNet(width).eval()

    def run(clip: Path, target: Path) -> tuple[float, dict[str, Any]]:
        return classic_loop(network, clip, target, frames=frames, warm_up=WARM_UP_FRAMES), {}

    letter = "(a)" if width == 32 else "(b)"
    return Row(f"{letter} classic loop, {network.size / 1e6:.2f} M, eager fp32", frames, run)


def flowbrush(engine: str, precision: str, arguments: argparse.Namespace) -> Row:
    """A row of the whole command."""
    import torch

    from models.engines.capabilities import available_engines, native_precision

    cpu = torch.device("cpu")
    usual = "fp32" if arguments.isa else native_precision(cpu)
    is_default = engine == available_engines(cpu)[0] and precision == usual
    options = ("--style", arguments.style, "--device", "cpu", "--engine", engine, "--precision", precision)

    def run(clip: Path, target: Path) -> tuple[float, dict[str, Any]]:
        result = stylize(clip, target, *options)
        kept = {key: result[key] for key in ("frames", "fps", "startup_seconds", "busy", "bottleneck")}
        return 1000 / result["fps"], kept

    name = f"flowbrush {engine} {precision}{' (default)' if is_default else ''}"
    return Row(name, arguments.frames if is_default else arguments.other_frames, run, is_default)


def measure(loops: list[Row], commands: list[Row], arguments: argparse.Namespace) -> None:
    """Fill the caches, then run all rows in turn, round after round."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "stylized.mp4"
        lengths = {4, arguments.baseline_frames + WARM_UP_FRAMES, *(row.frames for row in commands)}
        clips = {n: make_clip(Path(folder) / f"{n}.mp4", frames=n, height=arguments.height) for n in lengths}
        if not arguments.cold:
            for row in commands:
                _say(f"filling the cache: {row.name}")
                row.measure(clips[4], target, keep=False)
        for number in range(arguments.rounds):
            for row in loops + commands:
                _say(f"round {number + 1} of {arguments.rounds}: {row.name}")
                row.measure(clips[row.frames + (WARM_UP_FRAMES if row in loops else 0)], target)


def report(rows: list[Row], facts: dict[str, Any], height: int, *, isa: str | None, is_warm: bool) -> dict[str, Any]:
    """All figures as one object."""
    a_ms, b_ms = (statistics.median(row.ms) for row in rows[:2])
    summaries = [row.summary(a_ms, b_ms) for row in rows]
    chosen = next((summary for summary in summaries[2:] if summary.get("is_default")), summaries[2])
    goals = {"times_a": GOAL_A, "times_b": GOAL_B, "startup_seconds": GOAL_STARTUP_SECONDS}
    return {
        "machine": facts,
        "isa": isa,
        "is_warm": is_warm,
        "width": width_for(height),
        "height": height,
        "rows": summaries,
        "judged": chosen,
        "goals": goals,
    }


def lines(result: dict[str, Any]) -> list[str]:
    """The object for people, a line a figure."""
    rows, judged = result["rows"], result["judged"]
    width = max(len(row["name"]) for row in rows)
    return [
        machine_line(result["machine"]) + (f", held to {result['isa']}" if result["isa"] else ""),
        f"{result['width']}x{result['height']}, medians over the rounds",
        f"{'':{width}}   ms/frame      fps    x (a)    x (b)  startup s  frames",
        *(_line(row, width) for row in rows),
        *(
            _verdicts(judged, result["is_warm"])
            if "failure" not in judged
            else [f"NOT MEASURED: {judged['name']} failed"]
        ),
    ]


def _line(row: dict[str, Any], width: int) -> str:
    if "failure" in row:
        return f"{row['name']:{width}}  not available here: {row['failure']}"
    startup = "-" if row["startup_seconds"] is None else f"{row['startup_seconds']:.2f}"
    return (
        f"{row['name']:{width}}  {row['ms_per_frame']:9.1f}  {row['fps']:7.2f}  {row['times_a']:7.2f}"
        f"  {row['times_b']:7.2f}  {startup:>9}  {row['frames']:6}"
    )


def _verdicts(row: dict[str, Any], is_warm: bool) -> list[str]:
    is_fast = row["times_a"] >= GOAL_A and row["times_b"] >= GOAL_B
    rate = f"{row['name']}: {row['times_a']:.1f} x (a) and {row['times_b']:.1f} x (b)"
    startup, cache = row["startup_seconds"], "warm" if is_warm else "as found"
    return [
        verdict(is_fast, rate, f"at least {GOAL_A} x (a) and {GOAL_B} x (b)"),
        verdict(
            startup <= GOAL_STARTUP_SECONDS,
            f"{row['name']}: first stylized frame {startup:.2f} s after launch, cache {cache}",
            f"at most {GOAL_STARTUP_SECONDS} s",
        ),
    ]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=300, help="of the default engine's clip")
    parser.add_argument("--other-frames", type=int, default=120, help="of the other engines' clip")
    parser.add_argument("--baseline-frames", type=int, default=20, help="that each classic loop is clocked on")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--height", type=int, default=360, help="in pixels, a multiple of 4; the width follows (16:9)")
    parser.add_argument("--style", default="great-wave")
    parser.add_argument("--engines", nargs="+", default=["compile", "openvino", "eager"])
    parser.add_argument("--precisions", nargs="+", help="by default bf16 and fp32, with --isa fp32")
    parser.add_argument("--isa", choices=["avx2"], help="instructions to hold everything to")
    parser.add_argument("--cold", action="store_true", help="leave out the runs that fill the caches")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    os.environ.update(AVX2 if arguments.isa else {})  # before torch is imported; children inherit it
    arguments.precisions = arguments.precisions or (["fp32"] if arguments.isa else ["bf16", "fp32"])
    facts = machine()
    loops = [classic(width, arguments.baseline_frames) for width in (32, 16)]
    commands = [flowbrush(e, p, arguments) for e in arguments.engines for p in arguments.precisions]
    measure(loops, commands, arguments)
    result = report(loops + commands, facts, arguments.height, isa=arguments.isa, is_warm=not arguments.cold)
    print(json.dumps(result) if arguments.json else "\n".join(lines(result)))


if __name__ == "__main__":
    main()
