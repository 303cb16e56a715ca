"""Two short clips, rendered from scratch by ``sample_videos.renderer``, which also gives their exact optical flow."""

from fractions import Fraction
from pathlib import Path

CLIPS = ("harbor", "street")
SAMPLE, SAMPLE_SECONDS = "harbor", Fraction(3)
"""What a style is shown on: a clip, and the time of a frame in it."""


def clip(name: str) -> Path:
    """Return the path of a clip: 640 x 360 pixels, 30 frames per second, 6 seconds, with audio.

    Raises:
        ValueError: ``name`` is not one of ``CLIPS``.
    """
    if name not in CLIPS:
        raise ValueError(f"no sample video is called {name!r}; choose one of {', '.join(CLIPS)}")
    return Path(__file__).with_name(f"{name}.mp4")
