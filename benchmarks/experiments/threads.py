"""Which wait policy of OpenMP and which thread counts serve the whole pipeline best? One run, interleaved, medians.

    python benchmarks/experiments/threads.py [--frames 150] [--match TEXT] [--add "OMP_WAIT_POLICY=PASSIVE encode=1"]

A combination is a few words: environment variables in capitals, and threads of `torch`, of the `encode`r and of the
`decode`r (0: their own choice), and the `depth` of the queues between the stages. What is not named is as the library
comes, with no variable set. Beside the rate stands the processor time that a frame took, all threads together: what
threads burn while they spin, which another program on the machine would feel.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.clips import make_clip
from benchmarks.command import CommandError, machine, machine_line, output_of

VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS", "OMP_PROC_BIND")
COUNTS = {"torch": 0, "encode": 0, "decode": 0, "depth": 4}

COMBINATIONS = (
    "",
    "OMP_WAIT_POLICY=PASSIVE",
    "OMP_WAIT_POLICY=ACTIVE",
    "GOMP_SPINCOUNT=0",
    "GOMP_SPINCOUNT=1000",
    "GOMP_SPINCOUNT=10000",
    "GOMP_SPINCOUNT=100000",
    "GOMP_SPINCOUNT=1000000",
    "torch=1",
    "OMP_WAIT_POLICY=PASSIVE encode=1",
    "OMP_WAIT_POLICY=PASSIVE encode=2",
    "OMP_WAIT_POLICY=PASSIVE decode=1",
    "OMP_WAIT_POLICY=PASSIVE encode=1 decode=1",
    "OMP_WAIT_POLICY=PASSIVE encode=2 decode=1",
    "OMP_WAIT_POLICY=PASSIVE torch=1 encode=1 decode=1",
    "OMP_WAIT_POLICY=PASSIVE encode=1 decode=1 depth=2",
    "OMP_WAIT_POLICY=PASSIVE encode=1 decode=1 depth=8",
    "GOMP_SPINCOUNT=1000 encode=1 decode=1",
    "GOMP_SPINCOUNT=10000 encode=1 decode=1",
)


def parse(combination: str) -> tuple[dict[str, str], dict[str, int]]:
    """Variables and counts of a combination.

    Raises:
        ValueError: it names something else.
    """
    variables, counts = {}, dict(COUNTS)
    for word in combination.split():
        name, _, value = word.partition("=")
        if name in COUNTS:
            counts[name] = int(value)
        elif name.isupper() and value:
            variables[name] = value
        else:
            raise ValueError(f"{word!r} is neither VARIABLE=VALUE nor one of {', '.join(COUNTS)} with a number")
    return variables, counts


def run_one(clip: str, target: str, counts: dict[str, int], arguments: argparse.Namespace) -> dict[str, Any]:
    """Stylize ``clip`` in this process; rate, processor time a frame, and how busy the stages were."""
    from pipeline.config import DecodeConfig, EncodeConfig, StylizeConfig, VideoConfig
    from pipeline.progress import Progress
    from pipeline.run import stylize_video

    config = VideoConfig(
        source=clip,
        target=target,
        stylize=StylizeConfig(style=arguments.style, device="cpu", engine=arguments.engine, threads=counts["torch"]),
        decode=DecodeConfig(threads=counts["decode"]),
        encode=EncodeConfig(threads=counts["encode"], overwrite=True),
        depth=counts["depth"],
    )
    begun: list[float] = []

    def progress(_: Progress) -> None:
        begun.append(time.process_time())

    summary = stylize_video(config, progress=progress)
    spent = time.process_time() - begun[0]
    return {"fps": summary.fps, "cpu_ms": 1000 * spent / max(summary.frames - 1, 1), "busy": dict(summary.busy)}


def measure(combinations: list[str], arguments: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Run all combinations in turn, round after round, each in a separate process."""
    results: dict[str, list[dict[str, Any]]] = {combination: [] for combination in combinations}
    # Variables of the caller's would hide those of the combination.
    for name in VARIABLES:
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory() as folder:
        clip = make_clip(Path(folder) / "clip.mp4", frames=arguments.frames, height=arguments.height)
        for number in range(arguments.rounds):
            for combination in combinations:
                print(f"round {number + 1} of {arguments.rounds}: {combination or 'nothing set'}", file=sys.stderr)
                variables, counts = parse(combination)
                command = [sys.executable, __file__, "--style", arguments.style, "--engine", arguments.engine]
                command += ["--one", str(clip), str(Path(folder) / "stylized.mp4"), json.dumps(counts)]
                results[combination].append(json.loads(output_of(command, variables)))
    return results


def lines(results: dict[str, list[dict[str, Any]]]) -> list[str]:
    """A line a combination, the fastest first."""
    width = max(len(combination) for combination in (*results, "nothing set"))
    out = [f"{'':{width}}  ms/frame     fps  (slowest  fastest)  cpu ms/frame  busy: decode stylize encode"]
    for combination, runs in sorted(results.items(), key=lambda item: -_median(item[1], "fps")):
        rates = [run["fps"] for run in runs]
        fps = statistics.median(rates)
        stages = ("decode", "stylize", "encode")
        busy = " ".join(f"{statistics.median(run['busy'][stage] for run in runs):6.0%}" for stage in stages)
        out.append(
            f"{combination or 'nothing set':{width}}  {1000 / fps:8.1f}  {fps:6.2f}  ({min(rates):7.2f}"
            f"  {max(rates):7.2f})  {_median(runs, 'cpu_ms'):12.1f}        {busy}"
        )
    return out


def _median(runs: list[dict[str, Any]], key: str) -> float:
    return statistics.median(run[key] for run in runs)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--height", type=int, default=360, help="in pixels; the width follows (16:9)")
    parser.add_argument("--style", default="great-wave")
    parser.add_argument("--engine", default="compile")
    parser.add_argument("--match", help="only the combinations that hold this text")
    parser.add_argument("--only", nargs="+", help="these combinations instead of the built-in ones")
    parser.add_argument("--add", nargs="+", default=[], help="further combinations")
    parser.add_argument("--one", nargs=3, metavar=("CLIP", "TARGET", "COUNTS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        clip, target, counts = arguments.one
        print(json.dumps(run_one(clip, target, json.loads(counts), arguments)))
        return 0
    combinations = [c for c in arguments.only or COMBINATIONS if (arguments.match or "") in c] + arguments.add
    try:
        for combination in combinations:
            parse(combination)
    except ValueError as error:
        parser.error(str(error))
    print(machine_line(machine()))
    try:
        print("\n".join(lines(measure(combinations, arguments))))
    except CommandError as error:
        print(f"NOT MEASURED: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
