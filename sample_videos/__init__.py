"""Two short clips, rendered from scratch by ``sample_videos.renderer``, which also gives their exact optical flow."""

from pathlib import Path

CLIPS = ("harbor", "street")


def clip(name: str) -> Path:
    """Return the path of a clip: 640 x 360 pixels, 30 frames per second, 6 seconds, with audio.

    Raises:
        ValueError: ``name`` is not one of ``CLIPS``.
    """
    if name not in CLIPS:
        raise ValueError(f"no sample video is called {name!r}; choose one of {', '.join(CLIPS)}")
    return Path(__file__).with_name(f"{name}.mp4")
