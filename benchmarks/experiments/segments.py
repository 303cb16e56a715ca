"""What do segments that survive a crash, and the checks of the finished file, cost? One run, interleaved, medians.

    python benchmarks/experiments/segments.py [--seconds 60] [--rounds 5] [--height 360] [--codec h264]

Plain is the same run in one pass. The wall clock counts from the first stylized frame to the finished file; processor
time is what all threads of the whole run took together, and tells more where the machine has other work.
"""

import argparse
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.clips import RATE, make_clip
from benchmarks.command import machine, machine_line
from pipeline.config import EncodeConfig, StylizeConfig, VideoConfig

GOAL = 0.05
WAYS = {"plain": False, "segments": True}


def run(clip: Path, target: Path, arguments: argparse.Namespace, *, in_segments: bool) -> tuple[float, float]:
    """Seconds of the wall clock from the first stylized frame on, and of the processor from the opening on."""
    from pipeline.run import stylize_video

    stylize = StylizeConfig(style=arguments.style, engine=arguments.engine, stability=arguments.stability, device="cpu")
    encode = EncodeConfig(codec=arguments.codec, overwrite=True)
    config = VideoConfig(source=str(clip), target=str(target), stylize=stylize, encode=encode, in_segments=in_segments)
    begun = time.process_time()
    summary = stylize_video(config)
    return (summary.frames - 1) / summary.fps, time.process_time() - begun


def measure(arguments: argparse.Namespace) -> dict[str, list[tuple[float, float]]]:
    """All rounds, each way in turn; which comes first alternates. One run before them fills the caches."""
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        clip = make_clip(Path(folder) / "clip.mp4", frames=round(arguments.seconds * RATE), height=arguments.height)
        stylize_clip = partial(run, clip, Path(folder) / "out.mp4", arguments)
        stylize_clip(in_segments=True)
        for number in range(arguments.rounds):
            for way in sorted(WAYS, reverse=bool(number % 2)):
                found[way].append(stylize_clip(in_segments=WAYS[way]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="of the clip")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--height", type=int, default=360, help="in pixels, even; the width follows (16:9)")
    parser.add_argument("--style", default="great-wave")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--stability", default="smooth")
    parser.add_argument("--codec", default="auto")
    arguments = parser.parse_args()
    print(machine_line(machine()))
    found = measure(arguments)
    for number, what in enumerate(("wall clock", "processor")):
        plain, segments = (statistics.median(times[number] for times in found[way]) for way in WAYS)
        cost = segments / plain - 1
        frames = arguments.seconds * RATE
        print(f"{what}: plain {1000 * plain / frames:.2f} ms a frame, segments {1000 * segments / frames:.2f}")
        print(f"{'MET' if cost < GOAL else 'MISSED'}: {what} {cost:+.1%} (wanted: under {GOAL:.0%})")


if __name__ == "__main__":
    main()
