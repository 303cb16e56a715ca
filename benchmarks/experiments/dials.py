"""How much do `--paint` and `--stillness` change a predicted style?

    python benchmarks/experiments/dials.py PICTURE ... [--dials P,S ...] [--seconds 1] [--loss-weights FILE]

Predicts the style of each picture at each pair of dials, stylizes the first seconds of each clip with it, without a
stabilizer, and prints e_stab, style and content, and their ratios to those at the defaults, one line a result.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

sys.path.pop(0)  # this folder
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.scoring import add_scoring, score_line, stylized_scores
from pipeline.config import DecodeConfig, EncodeConfig, StylizeConfig, VideoConfig
from pipeline.evaluate.scores import Scores
from pipeline.run import stylize_video

USUAL = (1.0, 1.0)
PAIRS = (USUAL, (0.25, 1.0), (4.0, 1.0), (1.0, 0.25), (1.0, 4.0), (4.0, 0.25), (0.25, 4.0))


@dataclass(frozen=True)
class Figures:
    """The three scores of a stylized clip; all are better when lower."""

    e_stab: float
    style: float
    content: float

    @classmethod
    def of(cls, scores: Scores) -> "Figures":
        """Return those of a measurement."""
        return cls(scores.e_stab, scores.style or 0.0, scores.content or 0.0)

    def over(self, usual: "Figures") -> str:
        """Return their ratios to the figures at the defaults."""
        return f"x {self.e_stab / usual.e_stab:.3f} {self.style / usual.style:.3f} {self.content / usual.content:.3f}"


def main() -> int:
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as name:
        for clip in _starts(arguments, Path(name)):
            for picture in arguments.pictures:
                _compare(picture, clip, arguments, Path(name) / "stylized.mkv")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--dials", type=_pair, nargs="+", default=PAIRS, metavar="P,S", help="the defaults come first")
    parser.add_argument("--seconds", type=Fraction, default=Fraction(1), help="of each clip")
    parser.add_argument("--height", type=int, metavar="PX", help="of the frames; default: that of the clip")
    add_scoring(parser, frames=10)
    return parser.parse_args()


def _pair(text: str) -> tuple[float, float]:
    paint, stillness = map(float, text.split(","))
    return paint, stillness


def _starts(arguments: argparse.Namespace, folder: Path) -> Iterator[Path]:
    """Yield the first seconds of each clip, lossless: at strength 0 the frames stay as they are."""
    for clip in arguments.clips:
        target = folder / f"{clip.stem}.mkv"
        stylize_video(
            VideoConfig(
                source=str(clip),
                target=str(target),
                decode=DecodeConfig(duration_seconds=arguments.seconds, height=arguments.height),
                stylize=StylizeConfig(style="great-wave", strength=0.0, stability="none", engine="eager"),
                encode=EncodeConfig(codec="ffv1"),
            ),
            notify=lambda line: None,
        )
        yield target


def _compare(picture: Path, clip: Path, arguments: argparse.Namespace, target: Path) -> None:
    """Print a line for each pair of dials."""
    usual: Figures | None = None
    for paint, stillness in arguments.dials:
        scores = stylized_scores(
            clip,
            target,
            StylizeConfig(style_image=str(picture), paint=paint, stillness=stillness, stability="none", engine="eager"),
            painting=picture,
            loss_weights=arguments.loss_weights,
            structure_weights=arguments.structure_weights,
            frames=arguments.frames,
        )
        target.unlink()
        figures = Figures.of(scores)
        usual = usual or figures
        name = f"{picture.stem} {clip.stem} paint {paint:g} stillness {stillness:g}"
        print(f"{name}: {score_line(scores)}  {figures.over(usual)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
