"""How optimized pictures get where they are, and how far the bundled styles are from there.

    python benchmarks/optimize.py great-wave=PAINTING ... [--photos FILE ...] [--px 256] [--steps 200] [--sheet DIR]

For each style with its painting, on a photo (default: frames of the sample videos): the loss against the work, for
L-BFGS and Adam, from the photo and from noise at one size, as Gatys et al. 2016 did, coarse to fine, and as `--init
style`; after which share of their evaluations that has the losses of the others; the loss of the network's result over
that of the optimum which starts from it, on all photos. --against FILE measures another network for the same painting
as well; the better optimum of a photo counts for both. The sheet has the photo, the network's result, and a result of
each way. Work counts evaluations at the full size; one at half the size is a quarter. Seconds are processor time.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import geometric_mean
from typing import Any

sys.path.pop(0)  # this folder: its cuda.py would hide the package of that name, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from torch import Tensor

from benchmarks.command import machine, machine_line, verdict
from benchmarks.scoring import store_figures
from models.engines.capabilities import native_precision
from models.optimize.picture import PictureOptimizer, Report, Start, between
from models.optimize.settings import OptimizeSettings
from models.registry import find
from models.training.data.content import style_image_at
from models.training.losses.loss_network import LossNetwork
from pipeline.config import StylizeConfig
from pipeline.decode.sampling import moments
from pipeline.errors import PipelineError
from pipeline.media.stills import is_still_image, read_image, write_image
from pipeline.stylize.loss_networks import find_loss_networks
from pipeline.stylize.optimize.setup import read_paintings
from pipeline.stylize.optimize.stylizer import to_image, to_pixels
from pipeline.stylize.stylizer import Stylizer
from sample_videos import CLIPS, clip

LARGEST_SHARE = 1 / 3
WAYS: dict[str, tuple[Start | None, dict[str, Any]]] = {
    "L-BFGS from noise, one size (Gatys 2016)": ("noise", {"octaves": 1}),
    "L-BFGS from the photo, one size": ("content", {"octaves": 1}),
    "Adam from the photo, one size": ("content", {"octaves": 1, "method": "adam"}),
    "L-BFGS from the photo, coarse to fine": ("content", {}),
    "L-BFGS from photo and network": (None, {}),
}
"""Start, None for that of `--init style`, and settings."""


@dataclass(frozen=True)
class Curve:
    """The descent of one way: work and the lowest loss so far at the full size, and processor time."""

    work: list[float]
    losses: list[float]
    cpu_seconds: float

    def work_until(self, loss: float) -> float | None:
        """Return the work after which the loss is reached, None if it never is."""
        return next((work for work, reached in zip(self.work, self.losses, strict=True) if reached <= loss), None)


class Bench:
    """One painting, and the network of its style."""

    def __init__(self, style: str, painting: str, networks: Sequence[LossNetwork], arguments: argparse.Namespace):
        self.style, self._networks, self._px = style, networks, arguments.px
        self._paintings = read_paintings(painting)
        seen_px = find(style)[1].painting_px
        self._settings = OptimizeSettings(
            steps=arguments.steps, tolerance=0, stroke_size=seen_px / arguments.px, smallest_px=arguments.px // 2
        )

    def photo(self, pixels: np.ndarray) -> Tensor:
        """Return the photo ``(1, 3, H, W)`` at the size to measure."""
        return style_image_at(torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))), self._px)

    def by_network(self, photo: Tensor) -> Tensor:
        """Return the photo stylized by the network."""
        pixels = to_pixels(photo, np.dtype(np.uint8))
        config = StylizeConfig(style=self.style, engine="eager", stability="none")
        threads = torch.get_num_threads()
        stylizer = Stylizer(config, height=pixels.shape[0], width=pixels.shape[1], is_single=True)
        stylized = to_image(stylizer.stylize(pixels))
        torch.set_num_threads(threads)  # the engine has set its own
        return stylized

    def loss(self, photo: Tensor, image: Tensor) -> float:
        """Return the loss of an image."""
        return self._optimizer().loss(photo)(image).total

    def curve(self, photo: Tensor, start: Tensor | Start, **changes: Any) -> tuple[Curve, Tensor]:
        """Optimize the photo; return its curve and the result."""
        optimizer, size = self._optimizer(**changes), tuple(photo.shape[-2:])
        work, losses, done = [], [], 0.0
        began = time.process_time()

        def note(report: Report) -> None:
            nonlocal done
            done += report.size[0] * report.size[1] / (size[0] * size[1])
            if report.size == size:
                work.append(done)
                losses.append(min(sum(report.losses.values()), losses[-1] if losses else float("inf")))

        result = optimizer.run(photo, start, note)
        return Curve(work, losses, time.process_time() - began), result.image

    def _optimizer(self, **changes: Any) -> PictureOptimizer:
        return PictureOptimizer(self._networks, self._paintings, replace(self._settings, **changes))


def main() -> int:
    arguments = _arguments()
    print(machine_line(machine()))
    torch.set_num_threads(arguments.threads or torch.get_num_threads())
    try:
        device = torch.device("cpu")
        networks, _ = find_loss_networks(arguments.loss_weights, device, print)
        if native_precision(device) == "bf16":
            networks = [network.bfloat16() for network in networks]
        photos = _photos(arguments.photos)
        found = [_measure(pair, photos, networks, arguments) for pair in arguments.pairs]
    except (PipelineError, OSError, ValueError) as error:
        print(f"NOT MEASURED: {error}")
        return 1
    shares = [each["share"] for each in found if each["share"] is not None]
    if len(shares) == len(found) and shares:
        share = max(shares)
        figure = f"--init style has the loss of the start from noise after {share:.2f} of its evaluations at most"
        print(verdict(share <= LARGEST_SHARE, figure, f"at most {LARGEST_SHARE:.2f}"))
    elif arguments.only != "gallery":
        print(verdict(False, "--init style does not reach the loss of the start from noise", "in a third of them"))
    if arguments.json:
        print(json.dumps(found))
    if arguments.sheet:
        _plot(found, arguments.sheet / "curves.png")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("pairs", nargs="+", metavar="STYLE=PAINTING")
    add("--photos", type=Path, nargs="+", help="default: a frame of each sample video")
    add("--loss-weights", type=Path, action="append", default=[], metavar="FILE", help="may be repeated")
    add("--px", type=int, default=256, help="short side of the pictures")
    add("--steps", type=int, default=200)
    add("--threads", type=int, default=0)
    add("--only", choices=("curves", "gallery"))
    add(
        "--against", action="append", default=[], metavar="STYLE", help="another network for the same painting, as FILE"
    )
    add("--sheet", type=Path, metavar="FOLDER", help="for the pictures and the plot")
    add(
        "--store", action="store_true", help="write the distance from the optimum into the metadata of the weight files"
    )
    add("--json", action="store_true")
    return parser.parse_args()


def _photos(files: Sequence[Path] | None) -> list[np.ndarray]:
    return [
        read_image(path) if is_still_image(path) else next(iter(moments(path, 1, smallest_px=1, largest_px=1080))).first
        for path in (files or [clip(name) for name in CLIPS])
    ]


def _measure(
    pair: str, photos: Sequence[np.ndarray], networks: Sequence[LossNetwork], arguments: argparse.Namespace
) -> dict[str, Any]:
    style, _, painting = pair.partition("=")
    bench = Bench(style, painting, networks, arguments)
    found: dict[str, Any] = {"style": style, "curves": {}, "share": None, "ratios": []}
    if arguments.only != "gallery":
        _curves(bench, bench.photo(photos[len(style) % len(photos)]), found, arguments.sheet)
    if arguments.only != "curves":
        rivals = [Bench(other, painting, networks, arguments) for other in arguments.against]
        ratios = _distances([bench, *rivals], photos)
        found |= {"ratios": ratios[0], "against": dict(zip(arguments.against, ratios[1:], strict=True))}
        for each, of_style in zip([bench, *rivals], ratios, strict=True):
            mean = geometric_mean(of_style)
            print(
                f"{each.style}: the network's loss is {mean:.1f} times the optimum's, mean of {len(photos)}", flush=True
            )
        ratio = geometric_mean(ratios[0])
        if arguments.store:
            store_figures(style, {"times_optimum": round(ratio, 2)})
    return found


def _distances(benches: Sequence[Bench], photos: Sequence[np.ndarray]) -> list[list[float]]:
    """Return for each network its loss over that of the optimum, photo by photo; the best optimum counts for all."""
    ratios: list[list[float]] = [[] for _ in benches]
    for pixels in photos:
        photo = benches[0].photo(pixels)
        starts = [bench.by_network(photo) for bench in benches]
        optimum = min(benches[0].curve(photo, start)[0].losses[-1] for start in starts)
        for of_network, start in zip(ratios, starts, strict=True):
            of_network.append(benches[0].loss(photo, start) / optimum)
    return ratios


def _curves(bench: Bench, photo: Tensor, found: dict[str, Any], sheet: Path | None) -> None:
    stylized = bench.by_network(photo)
    images, curves = [photo, stylized], {}
    for name, (start, changes) in WAYS.items():
        begin = between(photo, stylized) if start is None else start
        curve, image = bench.curve(photo, begin, **changes)
        curves[name] = curve
        images.append(image)
        figures = f"{curve.losses[-1]:.3f} after {curve.work[-1]:.0f} evaluations"
        print(f"{bench.style}: {name}: {figures}, {curve.cpu_seconds:.0f} s of processor time", flush=True)
    *others, ours = curves.values()
    until = [ours.work_until(other.losses[-1]) for other in others]
    shares = [None if work is None else work / other.work[-1] for work, other in zip(until, others, strict=True)]
    for name, share in zip(curves, shares, strict=False):
        after = f"after {share:.2f} of its evaluations" if share else "never"
        print(f"{bench.style}: --init style has the loss of {name} {after}")
    found["curves"], found["share"] = {name: vars(curve) for name, curve in curves.items()}, shares[0]
    if sheet is not None:
        sheet.mkdir(parents=True, exist_ok=True)
        write_image(sheet / f"{bench.style}.png", to_pixels(torch.cat(images, dim=3), np.dtype(np.uint8)))


def _plot(found: Sequence[dict[str, Any]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure((5 * len(found), 4), 100, layout="constrained")
    for axes, each in zip(figure.subplots(1, len(found), squeeze=False)[0], found, strict=True):
        for name, curve in each["curves"].items():
            axes.plot(curve["work"], curve["losses"], label=name)
        axes.set(title=each["style"], xlabel="evaluations at the full size", ylabel="loss", yscale="log")
    axes.legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


if __name__ == "__main__":
    sys.exit(main())
