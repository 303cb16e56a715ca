"""Cost and gain of each --stability.

    python benchmarks/stability.py [--style NAME|FILE ...] [--clips FILE ...] [--painting IMAGE]

Stylizes clips with ``--stability none``, ``smooth`` and ``flow`` in turn, several rounds, and prints for each the
milliseconds a frame of the whole command (median, and its ratio to ``none`` of the same round) and the scores of
`flowbrush evaluate`. Several styles, of a network trained with the temporal losses and of one without, say, are held
against each other in the same way.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.pop(0)  # this folder: its cuda.py would hide the package of that name, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.command import CommandError, machine, machine_line, stylize
from benchmarks.scoring import add_scoring
from pipeline.errors import PipelineError
from pipeline.evaluate.config import EvaluateConfig
from pipeline.evaluate.evaluate import READ_TOGETHER, evaluate

MODES = ("none", "smooth", "flow")


def main() -> int:
    arguments = _arguments()
    print(machine_line(machine()))
    try:
        for style in arguments.style:
            for path in arguments.clips:
                _compare(style, path, arguments)
    except (CommandError, PipelineError) as error:
        print(f"NOT MEASURED: {error}")
        return 1
    print(READ_TOGETHER)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--style", nargs="+", default=["great-wave"], metavar="NAME|FILE", help="default: great-wave")
    add_scoring(parser, frames=0)
    add("--modes", nargs="+", choices=MODES, default=list(MODES), help="default: all three")
    add("--painting", type=Path, help="what the style score is measured against")
    add("--rounds", type=int, default=3, help="timed runs of each mode; default: 3")
    return parser.parse_args()


def _compare(style: str, path: Path, arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        stylized = {mode: Path(folder) / f"{mode}.mkv" for mode in arguments.modes}
        rounds = [
            {mode: _milliseconds(path, target, style, mode) for mode, target in stylized.items()}
            for _ in range(arguments.rounds)
        ]
        for mode, target in stylized.items():
            took = statistics.median(times[mode] for times in rounds)
            against = statistics.median(times[mode] / times[arguments.modes[0]] for times in rounds)
            scores = evaluate(
                EvaluateConfig(
                    original=str(path),
                    stylized=str(target),
                    painting=arguments.painting,
                    loss_weights=arguments.loss_weights,
                    frames=arguments.frames,
                )
            )
            figures = "  ".join(
                f"{name} {value:.4f}"
                for name in ("e_stab", "e_stab10", "style", "content", "input_e_stab")
                if (value := getattr(scores, name)) is not None
            )
            print(
                f"{Path(style).stem} {path.stem} {mode}: {took:.1f} ms a frame ({against:.2f})  {figures}", flush=True
            )


def _milliseconds(path: Path, target: Path, style: str, mode: str) -> float:
    """Of the whole command at its steady rate, lossless output."""
    options = ("--style", style, "--stability", mode, "--codec", "ffv1", "--no-tag")
    return 1000 / float(stylize(path, target, *options)["fps"])


if __name__ == "__main__":
    sys.exit(main())
