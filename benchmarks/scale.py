"""How do time and memory grow with the size of the frames, the length of the clip, and the number of cores?

    python benchmarks/scale.py [--plot OUT.png] [--only size length cores] [--json]

Runs `flowbrush video` as a user does, and prints a line a figure. ``size``: a few frames of 426x240 to 7680x4320.
``length``: clips of 1 s to 3 h; small frames at 2 a second, as what grows with a clip is its list of frames and
segments. ``cores``: 640x360 on 1, 2, 4 and so on of the cores of this machine. Half an hour on two cores.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.pop(0)  # this folder: its cuda.py would hide the package of that name, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.clips import width_for
from benchmarks.command import ROOT, CommandError, machine, machine_line, output_of, stylize

HEIGHTS = (240, 360, 480, 720, 1080, 1440, 2160, 4320)
SECONDS = (1, 10, 60, 600, 3600, 10800)
PIXELS, LEAST_FRAMES, MOST_FRAMES = 25_000_000, 3, 24
"""Of a clip whose frames are counted by their size: pixels in all, fewest and most frames."""

LONG_HEIGHT, LONG_RATE = 88, 2
CORES_HEIGHT, CORES_FRAMES = 360, 60
AXES = {"size": "million pixels a frame", "length": "seconds of the clip", "cores": "cores"}


@dataclass(frozen=True, slots=True)
class Figure:
    """One run of the command.

    Attributes:
        part: what varies: ``size``, ``length`` or ``cores``.
        name: of the run.
        x: megapixels of a frame, seconds of the clip, or number of cores.
        ms: for a frame, start-up left out.
        megabytes: peak of the process.
    """

    part: str
    name: str
    x: float
    ms: float
    megabytes: float


class Runs:
    """Runs of the command on clips that are made for them.

    Args:
        folder: for the clips.
        options: of `flowbrush video`.
    """

    def __init__(self, folder: Path, options: tuple[str, ...]) -> None:
        self._folder, self._options = folder, options

    def size(self, heights: list[int]) -> Iterator[Figure]:
        """Yield a figure for each height in pixels."""
        for height in heights:
            width = width_for(height)
            frames = min(max(PIXELS // (width * height), LEAST_FRAMES), MOST_FRAMES)
            yield self._run("size", f"{width}x{height}", width * height / 1e6, frames, height)

    def length(self, lengths: list[int]) -> Iterator[Figure]:
        """Yield a figure for each length in seconds."""
        for seconds in lengths:
            name = f"{seconds // 3600} h" if seconds >= 3600 else f"{seconds} s"
            frames = max(seconds * LONG_RATE, 2)
            yield self._run("length", name, seconds, frames, LONG_HEIGHT, rate=LONG_RATE)

    def cores(self) -> Iterator[Figure]:
        """Yield a figure for 1, 2, 4 and so on cores, up to all."""
        available = sorted(os.sched_getaffinity(0))
        counts = [2**n for n in range(len(available).bit_length()) if 2**n < len(available)] + [len(available)]
        for count in counts:
            os.sched_setaffinity(0, available[:count])  # the command inherits it
            try:
                yield self._run("cores", str(count), count, CORES_FRAMES, CORES_HEIGHT)
            finally:
                os.sched_setaffinity(0, available)

    def _run(self, part: str, name: str, x: float, frames: int, height: int, rate: int = 30) -> Figure:
        clip = self._folder / f"{frames}-{height}-{rate}.mp4"
        if not clip.exists():
            script = str(ROOT / "benchmarks" / "clips.py")
            sizes = ["--frames", str(frames), "--height", str(height), "--rate", str(rate)]
            output_of([sys.executable, script, str(clip), *sizes])
        result = stylize(clip, self._folder / "stylized.mp4", *self._options)
        figure = Figure(part, name, x, 1000 / result["fps"], result["peak_memory_bytes"] / 1e6)
        print(
            f"{part:6} {name:10} {result['engine']:8}{figure.ms:9.1f} ms a frame {figure.megabytes:7.0f} MB",
            file=sys.stderr if "--json" in sys.argv else sys.stdout,
            flush=True,
        )
        return figure


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--plot", type=Path, metavar="OUT.png")
    add("--only", nargs="+", choices=tuple(AXES), default=tuple(AXES))
    add("--heights", type=int, nargs="+", default=list(HEIGHTS), metavar="PX", help="of ``size``")
    add("--seconds", type=int, nargs="+", default=list(SECONDS), metavar="N", help="of ``length``")
    add("--style", default="great-wave")
    add("--engine", default="eager", help="default: eager, which compiles nothing for each size")
    add("--json", action="store_true")
    arguments = parser.parse_args()
    facts = machine()
    options = ("--style", arguments.style, "--engine", arguments.engine)
    found: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(Path(folder), options)
        parts = {
            "size": lambda: runs.size(arguments.heights),
            "length": lambda: runs.length(arguments.seconds),
            "cores": runs.cores,
        }
        try:
            for part in arguments.only:
                found += parts[part]()
        except CommandError as error:
            print(f"NOT MEASURED: {error}")
            return 1
    if arguments.json:
        print(json.dumps({"machine": facts, "figures": [asdict(figure) for figure in found]}))
    else:
        print(machine_line(facts))
    if arguments.plot:
        draw(arguments.plot, found)
    return 0


def draw(path: Path, figures: list[Figure]) -> None:
    """Draw time above memory, a column for each part, over a logarithmic axis."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Page

    parts = list(dict.fromkeys(figure.part for figure in figures))
    page = Page((4.2 * len(parts), 6.4), 100, layout="constrained")
    grid = page.subplots(2, len(parts), squeeze=False)
    for column, part in enumerate(parts):
        of_part = [figure for figure in figures if figure.part == part]
        x = [figure.x for figure in of_part]
        for axes, y, label in (
            (grid[0][column], [figure.ms for figure in of_part], "ms a frame"),
            (grid[1][column], [figure.megabytes for figure in of_part], "peak memory, MB"),
        ):
            axes.plot(x, y, "o-", color="#1f5fa8")
            axes.set(xscale="log", xlabel=AXES[part], ylabel=label if column == 0 else "")
            axes.set_ylim(bottom=0, top=1.15 * max(y))
            for figure, height in zip(of_part, y, strict=True):
                axes.annotate(figure.name, (figure.x, height), (0, 6), textcoords="offset points", fontsize=7)
            axes.grid(alpha=0.3)
    FigureCanvasAgg(page).print_png(str(path))


if __name__ == "__main__":
    sys.exit(main())
