"""How much memory does the command need, and does it grow with the clip?

    python benchmarks/memory.py [--seconds 10 60]

Prints the most memory that the process of `flowbrush video` had resident on the CPU, processes that compile left out:
640x360 with clips of the two lengths (they must be within 5 %), 1920x1080 with a short clip, and 640x360 with an empty
cache, when the first run has to compile.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.pop(0)  # this folder: its cuda.py would hide the package of that name, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.clips import RATE, width_for
from benchmarks.command import ROOT, CommandError, output_of, stylize, verdict

GOAL_BYTES, GOAL_LARGE_BYTES, GOAL_GROWTH = 1.2e9, 2.5e9, 0.05


class Scale:
    """Weighs the command on clips that are made for it.

    This process must stay small: what it has resident when it starts a command counts as the command's own, since
    Linux carries the peak over from the process that a new one was split from. So clips are made elsewhere.

    Args:
        folder: for the clips.
        options: of `flowbrush video`.
    """

    def __init__(self, folder: Path, options: tuple[str, ...]) -> None:
        self._folder = folder
        self._options = options

    def clip(self, seconds: float, height: int) -> Path:
        """Make a clip."""
        path = self._folder / f"{seconds}-{height}.mp4"
        frames = max(round(seconds * RATE), 2)
        script = str(ROOT / "benchmarks" / "clips.py")
        output_of([sys.executable, script, str(path), "--frames", str(frames), "--height", str(height)])
        return path

    def weigh(self, seconds: float, height: int, *, cache: str = "", name: str = "") -> float:
        """Stylize a clip, print a line, and return the peak in bytes."""
        env = {"FLOWBRUSH_CACHE": cache} if cache else {}
        result = stylize(self.clip(seconds, height), self._folder / "stylized.mp4", *self._options, env=env)
        peak = result["peak_memory_bytes"]
        size = f"{width_for(height)}x{height}"
        print(
            f"{size:10} {seconds:5g} s  {name:12}{result['engine']} {result['precision']}  {peak / 1e6:7.0f} MB"
            f"  {result['fps']:6.2f} fps",
            flush=True,
        )
        return float(peak)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, nargs=2, default=[10, 60], help="of the two clips")
    parser.add_argument("--height", type=int, default=360, help="of the two clips; the width follows (16:9)")
    parser.add_argument("--large-seconds", type=float, default=3, help="of the 1920x1080 clip; 0 leaves it out")
    parser.add_argument("--large-height", type=int, default=1080)
    parser.add_argument("--style", default="great-wave")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--no-first-run", action="store_true", help="leave out the runs that compile")
    arguments = parser.parse_args()
    options = ("--style", arguments.style, "--device", "cpu", "--engine", arguments.engine)
    with tempfile.TemporaryDirectory() as folder:
        try:
            for line in _weigh_all(Scale(Path(folder), options), arguments, cache=str(Path(folder) / "cache")):
                print(line)
        except CommandError as error:
            print(f"NOT MEASURED: {error}")
            return 1
    return 0


def _weigh_all(scale: Scale, arguments: argparse.Namespace, *, cache: str) -> list[str]:
    """Print a line a clip; returns the verdicts."""
    small, large = arguments.height, arguments.large_height
    found = []
    if not arguments.no_first_run:
        first = scale.weigh(0.5, small, cache=cache, name="empty cache ")
        found.append(verdict(first <= GOAL_BYTES, f"first run {_gb(first)}", f"at most {_gb(GOAL_BYTES)}"))
    # The cache of the first run serves the others, so that all of them find it warm.
    warm = "" if arguments.no_first_run else cache
    short, long = (scale.weigh(seconds, small, cache=warm) for seconds in arguments.seconds)
    growth = long / short - 1
    found += [
        verdict(
            max(short, long) <= GOAL_BYTES, f"height {small} {_gb(max(short, long))}", f"at most {_gb(GOAL_BYTES)}"
        ),
        verdict(
            abs(growth) <= GOAL_GROWTH, f"the longer clip {100 * growth:+.1f} %", f"within {100 * GOAL_GROWTH:g} %"
        ),
    ]
    if arguments.large_seconds:
        if not arguments.no_first_run:
            scale.weigh(0.1, large, cache=cache, name="empty cache ")
        peak = scale.weigh(arguments.large_seconds, large, cache=warm)
        goal = f"at most {_gb(GOAL_LARGE_BYTES)}"
        found.append(verdict(peak <= GOAL_LARGE_BYTES, f"height {large} {_gb(peak)}", goal))
    return found


def _gb(count: float) -> str:
    return f"{count / 1e9:.2f} GB"


if __name__ == "__main__":
    sys.exit(main())
