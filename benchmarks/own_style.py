"""How long does a style of one's own take, and what is it worth? Draws a woodcut, trains it with and without --content.

    python benchmarks/own_style.py [--content CLIP] [--sheet own_style.png] [--loss-weights FILE ...] [OPTION ...]

Runs `flowbrush train` as a user does who has never run it (the compiler's cache is empty), stylizes the clip, and
measures it as `flowbrush evaluate` does (docs/measures.md). Prints a line a figure. What it does not know it hands on
to `flowbrush train`: --minutes, --steps, --network-rate, --stillness ...
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.pop(0)  # this folder: its cuda.py would hide the package of that name, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


from benchmarks.command import ROOT, CommandError, machine, machine_line, verdict
from benchmarks.drawings.woodcut import woodcut
from benchmarks.gallery import contact_sheet
from benchmarks.scoring import cell, stylized_scores
from pipeline.config import StylizeConfig
from pipeline.decode.sampling import moments
from pipeline.errors import PipelineError
from pipeline.evaluate.evaluate import READ_TOGETHER
from pipeline.frames import Pixels
from pipeline.media.stills import read_image, write_image
from sample_videos import clip

GOAL_SECONDS = 600
FIGURES = ("e_stab", "e_stab10", "style", "content", "input_e_stab", "input_e_stab10")
PICTURES = 3


def main() -> int:
    arguments, options = _arguments()
    print(machine_line(machine()))
    for file in arguments.loss_weights:
        options += ["--loss-weights", str(file)]
    network = None
    try:
        with tempfile.TemporaryDirectory() as folder:
            rows = {"painting": [cell(_painting(arguments, Path(folder)))], "original": _images(arguments.content)}
            for name in arguments.variants:
                content = ["--content", str(arguments.content)] if name == "with-content" else []
                work = Path(folder) / name
                work.mkdir()
                _train(name, Path(folder) / "painting.png", work, [*content, *options])
                network = _measure(name, arguments, Path(folder))
                rows[name] = _images(work / "stylized.mkv")
                if arguments.keep:
                    (work / "own.safetensors").replace(arguments.keep / f"{name}.safetensors")
            if arguments.sheet:
                write_image(arguments.sheet, contact_sheet(rows))
    except (PipelineError, CommandError, OSError) as error:
        print(f"NOT MEASURED: {error}")
        return 1
    print(f"style and content by {network or 'no network'}; {READ_TOGETHER}")
    return 0


def _arguments() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("--painting", type=Path, metavar="FILE", help="default: the woodcut")
    add("--content", type=Path, default=clip("street"), metavar="CLIP", help="to train on, and to stylize")
    add("--variants", nargs="+", default=["with-content", "without"], choices=["with-content", "without"])
    add("--loss-weights", type=Path, nargs="+", default=[], metavar="FILE", help="the first one measures as well")
    add("--engine", default="auto", help="that stylizes")
    add("--frames", type=int, default=60, metavar="N", help="compare about N pairs of frames; 0 all")
    add("--sheet", type=Path, metavar="FILE.png", help="draw a row of images for each variant")
    add("--keep", type=Path, metavar="FOLDER", help="keep the weight files there")
    return parser.parse_known_args()


def _painting(arguments: argparse.Namespace, folder: Path) -> Pixels:
    """Write the style image to where training finds it, and return it."""
    image = read_image(arguments.painting) if arguments.painting else woodcut()
    write_image(folder / "painting.png", image)
    return image


def _train(name: str, painting: Path, work: Path, options: list[str]) -> None:
    """Run the command, and print how long it took.

    Raises:
        CommandError: it failed.
    """
    command = [sys.executable, str(ROOT / "cli.py"), "train", str(painting), "--output", str(work / "own.safetensors")]
    env = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(work / "compiled")}
    said: list[str] = []
    begun = time.monotonic()
    with subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True, env=env) as process:
        assert process.stderr is not None
        for line in process.stderr:
            print(f"{name}: {line}", end="", file=sys.stderr, flush=True)
            said.append(line.strip())
    seconds = time.monotonic() - begun
    if process.returncode:
        raise CommandError(f"flowbrush train: exit code {process.returncode}: {(said or ['it says nothing'])[-1]}")
    steps, ended = re.findall(r": (\d+) steps in [\d.]+ minutes(?: \((.*?)\))?", "\n".join(said))[-1]
    _print(name, "steps", steps)
    _print(name, "ended", ended or "all steps were done")
    _print(name, "seconds", f"{seconds:.1f}")
    print(verdict(seconds <= GOAL_SECONDS, f"{name}: {seconds / 60:.1f} minutes", "at most 10 minutes"), flush=True)


def _measure(name: str, arguments: argparse.Namespace, folder: Path) -> str | None:
    """Stylize the clip in the new style, and print its figures; returns the network that judged."""
    stylized = folder / name / "stylized.mkv"
    style = StylizeConfig(style=str(folder / name / "own.safetensors"), engine=arguments.engine)
    judge = arguments.loss_weights[0] if arguments.loss_weights else None
    painting = folder / "painting.png"
    scores = stylized_scores(
        arguments.content, stylized, style, painting=painting, loss_weights=judge, frames=arguments.frames
    )
    for figure in FIGURES:
        value = getattr(scores, figure)
        _print(name, figure, "not measured" if value is None else f"{value:.4f}")
    return scores.loss_network


def _print(name: str, figure: str, value: str) -> None:
    print(f"{name:14} {figure:16} {value}", flush=True)


def _images(path: Path) -> list[Pixels]:
    return [cell(moment.first) for moment in moments(path, PICTURES, smallest_px=16, largest_px=10**4)]


if __name__ == "__main__":
    sys.exit(main())
