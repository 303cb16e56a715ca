"""Two clips of our own, rendered from scratch, whose motion is known exactly (see ``sample_videos.scenes``)."""

from pathlib import Path

CLIPS = ("harbor", "street")


def clip(name: str) -> Path:
    """Where the clip ``name`` lies on disk: 640 × 360 pixels, 30 frames a second, 6 seconds, with sound.

    Raises:
        ValueError: ``name`` is none of ``CLIPS``.
    """
    if name not in CLIPS:
        raise ValueError(f"no sample video is called {name!r}; there are: {', '.join(CLIPS)}")
    return Path(__file__).with_name(f"{name}.mp4")
