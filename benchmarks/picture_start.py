"""What does the style of a picture cost before the first frame, beside a bundled style?

    python benchmarks/picture_start.py [--picture IMAGE] [--rounds 5] [--frames 60]

Runs `flowbrush video` with each in turn, on a clip that is made for it; the order changes from round to round. Prints
the medians over the rounds: seconds from launch to the first stylized frame and what the picture adds, processor time
of the whole command and what the picture adds, peak memory and its ratio. Processor time and memory count on a busy
machine too; seconds do not.
"""

import argparse
import resource
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.pop(0)  # this folder: its cuda.py would hide the package of that name, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.command import ROOT, CommandError, output_of, stylize, verdict

GOAL_SECONDS, GOAL_GROWTH = 1.0, 0.05
# In a process of its own: what this one has resident counts as the command's, see benchmarks/memory.py.
DRAW = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from PIL import Image; from benchmarks.drawings.woodcut import woodcut; "
    "Image.fromarray(woodcut()).save(sys.argv[2])"
)


@dataclass(frozen=True)
class Run:
    """One run of the command.

    Attributes:
        seconds: from launch to the first stylized frame.
        processor: seconds of processor time, user and system, of the whole command.
        peak: memory in MB.
    """

    seconds: float
    processor: float
    peak: float


def run(clip: Path, folder: Path, options: tuple[str, ...]) -> Run:
    """Stylize the clip once."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = stylize(clip, folder / "stylized.mp4", *options)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(result["startup_seconds"], processor, result["peak_memory_bytes"] / 1e6)


def measure(arguments: argparse.Namespace, folder: Path) -> list[tuple[Run, Run]]:
    """Return pairs: with the bundled style, with the picture."""
    clip, picture = folder / "clip.mp4", arguments.picture or folder / "woodcut.png"
    make = [sys.executable, str(ROOT / "benchmarks" / "clips.py"), str(clip), "--frames", str(arguments.frames)]
    output_of([*make, "--height", "360"])
    if arguments.picture is None:
        output_of([sys.executable, "-c", DRAW, str(ROOT), str(picture)])
    common = ("--device", "cpu", "--engine", arguments.engine)
    bundled, predicted = (*common, "--style", arguments.style), (*common, "--style-image", str(picture))
    for options in (bundled, predicted):  # fills the cache
        run(clip, folder, options)
    pairs = []
    for number in range(arguments.rounds):
        if number % 2:
            second, first = run(clip, folder, predicted), run(clip, folder, bundled)
        else:
            first, second = run(clip, folder, bundled), run(clip, folder, predicted)
        pairs.append((first, second))
    return pairs


def lines(pairs: list[tuple[Run, Run]]) -> list[str]:
    """The figures for people, one a line."""
    added = statistics.median(picture.seconds - bundled.seconds for bundled, picture in pairs)
    processor = statistics.median(picture.processor - bundled.processor for bundled, picture in pairs)
    growth = statistics.median(picture.peak / bundled.peak for bundled, picture in pairs) - 1

    def both(name: str) -> str:
        medians = [statistics.median(getattr(pair[place], name) for pair in pairs) for place in (0, 1)]
        return f"{medians[0]:.2f} bundled, {medians[1]:.2f} picture"

    return [
        f"first frame after launch, s: {both('seconds')}; the picture adds {added:+.2f}",
        f"processor time of the command, s: {both('processor')}; the picture adds {processor:+.2f}",
        f"peak memory, MB: {both('peak')}; {100 * growth:+.1f} %",
        verdict(added <= GOAL_SECONDS, f"{added:+.2f} s before the first frame", f"at most {GOAL_SECONDS:g} s more"),
        verdict(growth <= GOAL_GROWTH, f"peak memory {100 * growth:+.1f} %", f"within {100 * GOAL_GROWTH:g} %"),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, metavar="IMAGE", help="default: a woodcut that is drawn by code")
    parser.add_argument("--style", default="great-wave", help="the bundled one")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=60, help="of the clip, 640x360")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            print("\n".join(lines(measure(arguments, Path(folder)))))
        except CommandError as error:
            print(f"NOT MEASURED: {error}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
