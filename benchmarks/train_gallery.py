"""Train the bundled styles again, one after another, each as a network of its own; stop and start it at any time.

    make gallery PAINTINGS=folder PHOTOS=folder [LOSS="vgg.pth other.pth"] [GALLERY="--styles mosaic,comic"]

PAINTINGS contains an image for each style of models/weights/paintings.json, named as the style; what is drawn by code
(benchmarks/drawings) needs none. Each style starts from its bundled version, a new one from the mean of all. With
--from-scratch a common network is trained first, on all images in turn, and all styles start from it.

Needs neither clips nor PyAV. Work, checkpoints and the best weights so far lie in build/gallery; a style whose training
is complete is copied to models/weights. What is complete is not trained again, unless --again.
"""

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.pop(0)  # this folder: its cuda.py would hide the package of that name, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.command import ROOT
from benchmarks.drawings.comic import comic
from benchmarks.drawings.mosaic import mosaic
from benchmarks.drawings.woodcut import woodcut
from models.registry import BUNDLED
from pipeline.media.stills import IMAGE_SUFFIXES, write_image
from pipeline.system.files.atomic import write_atomically

CARDS = BUNDLED / "paintings.json"
DRAWINGS = {"woodcut": woodcut, "mosaic": mosaic, "comic": comic}
STEPS, COMMON_STEPS = 2400, 5000
"""Of each style, and of the common network."""

RECIPE = (
    *("--batch", "2", "--no-early-end", "--preview-every", "100"),
    *("--licence", "Apache-2.0", "--cards", str(CARDS)),
)


class GalleryError(Exception):
    """What is missing, and what to do."""


def main() -> int:
    arguments, options = _arguments()
    try:
        known = json.loads(CARDS.read_text(encoding="utf-8"))
        chosen = arguments.styles.split(",") if arguments.styles else list(known)
        if unknown := [name for name in chosen if name not in known]:
            raise GalleryError(f"{CARDS}: has no entry {unknown[0]!r}; there are {', '.join(known)}")
        arguments.work.mkdir(parents=True, exist_ok=True)
        images = {name: find_image(name, arguments.paintings, arguments.work) for name in chosen}
        common = ["--content", str(arguments.photos), *RECIPE, *options]
        for file in arguments.loss_weights:
            common += ["--loss-weights", str(file)]
        if arguments.from_scratch:
            trunk = arguments.work / "common.safetensors"
            train(images, trunk, [*common, "--from-scratch", "--steps", str(arguments.common_steps)])
            common += ["--start", str(trunk)]
        for name, image in images.items():
            weights = arguments.work / f"{name}.safetensors"
            train({name: image}, weights, [*common, "--steps", str(arguments.steps)], again=arguments.again)
            write_atomically(str(arguments.into / weights.name), weights.read_bytes())
            print(f"{name}: {arguments.into / weights.name}", flush=True)
    except GalleryError as error:
        print(f"NOT TRAINED: {error}")
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here")
        return 130
    return 0


def _arguments() -> tuple[argparse.Namespace, list[str]]:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Other options are handed on to `flowbrush train`, as --batch 8 for a GPU.",
    )
    add = parser.add_argument
    add("--paintings", type=Path, default=Path(), metavar="FOLDER", help="an image for each style, named as the style")
    add("--photos", type=Path, required=True, metavar="FOLDER", help="photos to train on")
    add("--loss-weights", type=Path, nargs="*", default=[], metavar="FILE", help="default: torchvision's VGG-19")
    add("--styles", default="", metavar="A,B", help="these alone; default: all of paintings.json")
    add("--steps", type=int, default=STEPS, help=f"of each style; default: {STEPS}")
    add("--from-scratch", action="store_true", help="train the common network too")
    add("--common-steps", type=int, default=COMMON_STEPS, help=f"of the common network; default: {COMMON_STEPS}")
    add("--work", type=Path, default=ROOT / "build" / "gallery", metavar="FOLDER", help="default: build/gallery")
    add("--into", type=Path, default=BUNDLED, metavar="FOLDER", help="where complete styles go; default: the bundle")
    add("--again", action="store_true", help="train what is complete once more, from its bundled version")
    return parser.parse_known_args()


def find_image(name: str, paintings: Path, work: Path) -> Path:
    """Return the image of a style; draw it, if it is ours.

    Raises:
        GalleryError: there is none.
    """
    if name in DRAWINGS:
        drawn = work / f"{name}.png"
        if not drawn.exists():
            write_image(drawn, DRAWINGS[name]())
        return drawn
    found = [path for path in sorted(paintings.glob(f"{name}.*")) if path.suffix.lower() in IMAGE_SUFFIXES]
    if not found:
        raise GalleryError(f"{paintings}: contains no image {name}.jpg; see `source` in {CARDS}")
    return found[0]


def train(images: dict[str, Path], output: Path, options: Sequence[str], *, again: bool = False) -> None:
    """Train into ``output``; go on where a run was interrupted, do nothing if it is complete.

    Raises:
        GalleryError: training failed.
        KeyboardInterrupt: it was stopped.
    """
    is_interrupted = output.with_suffix(".checkpoint").exists()
    if output.exists() and not is_interrupted and not again:
        return
    command = [sys.executable, str(ROOT / "cli.py"), "train", *(f"{name}={image}" for name, image in images.items())]
    command += ["--output", str(output), *options, "--resume" if is_interrupted else "--overwrite"]
    print(f"$ {shlex.join(['flowbrush', *command[2:]])}", flush=True)
    code = subprocess.run(command, check=False).returncode
    if code in (130, -2):
        raise KeyboardInterrupt
    if code:
        raise GalleryError(f"{', '.join(images)}: flowbrush train ended with exit code {code}")


if __name__ == "__main__":
    sys.exit(main())
