"""Make a clip to measure on: the sample video harbor, played to and fro for any length, with audio (h264 + aac, mp4).

python benchmarks/clips.py OUT.mp4 [--frames 300] [--height 360] [--rate 30]
"""

import argparse
import itertools
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sample_videos import clip

RATE = 30
AUDIO_RATE = 48000


def make_clip(target: Path, *, frames: int, height: int = 360, rate: int = RATE) -> Path:
    """Write ``frames`` frames, ``rate`` a second, each with its share of a stereo tone that wanders."""
    width = width_for(height)
    scale = VideoReformatter()
    with av.open(str(target), "w") as container:
        video = container.add_stream("libx264", rate=rate, options={"preset": "veryfast", "crf": "20"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        audio = container.add_stream("aac", rate=AUDIO_RATE, layout="stereo")
        for index, frame in zip(range(frames), _to_and_fro(), strict=False):
            resized = scale.reformat(frame, width, height, format="yuv420p")
            resized.pts, resized.time_base, resized.pict_type = index, Fraction(1, rate), 0
            container.mux(video.encode(resized))
            container.mux(audio.encode(_tone(index, AUDIO_RATE // rate)))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return target


def width_for(height: int) -> int:
    """Of a frame of about 16:9, a multiple of 4, as the classic networks need it."""
    return round(height * 16 / 9 / 4) * 4


def first_frame() -> NDArray[np.uint8]:
    """``(H, W, 3)`` RGB: the first frame of harbor."""
    with av.open(str(clip("harbor"))) as container:
        return np.asarray(next(container.decode(video=0)).to_ndarray(format="rgb24"), np.uint8)


def _to_and_fro() -> Iterator[VideoFrame]:
    with av.open(str(clip("harbor"))) as container:
        frames = list(container.decode(video=0))
    return itertools.cycle(frames + frames[-2:0:-1])


def _tone(index: int, samples: int) -> AudioFrame:
    at = np.arange(index * samples, (index + 1) * samples) / AUDIO_RATE
    left = 0.2 * np.sin(2 * np.pi * (220 * at + 40 * np.sin(at)))
    wave = np.stack((left, 0.5 * left)).astype(np.float32)
    frame = AudioFrame.from_ndarray(wave, format="fltp", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = AUDIO_RATE, index * samples, Fraction(1, AUDIO_RATE)
    return frame


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--height", type=int, default=360, help="in pixels, even; the width follows (16:9)")
    parser.add_argument("--rate", type=int, default=RATE, help="frames a second")
    arguments = parser.parse_args()
    make_clip(arguments.target, frames=arguments.frames, height=arguments.height, rate=arguments.rate)


if __name__ == "__main__":
    main()
