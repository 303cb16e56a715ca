"""Make the pictures of the README from the sample clips, with the installed flowbrush."""

import subprocess
import sys
import tempfile
from pathlib import Path

import av
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
STYLES = ("great-wave", "starry-night")
MOMENTS = (("harbor", 3.0), ("street", 2.0))


def frame(path: Path) -> np.ndarray:
    """The first frame of a clip as ``(height, width, 3)`` uint8 RGB."""
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def painted(clip: str, seconds: float, style: str, folder: Path) -> np.ndarray:
    """The original and the painted picture side by side, as `flowbrush video --compare side` shows them."""
    target = folder / f"{clip}-{style}.mkv"
    source = ROOT / "sample_videos" / f"{clip}.mp4"
    command = [sys.executable, str(ROOT / "cli.py"), "video", str(source), str(target), "--style", style]
    command += ["--start", str(seconds), "--duration", "0.1", "--codec", "ffv1", "--compare", "side", "-q"]
    subprocess.run(command, check=True)
    return frame(target)


def main() -> None:
    """Write ``docs/before-after.jpg``."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for clip, seconds in MOMENTS:
            pairs = [painted(clip, seconds, style, Path(folder)) for style in STYLES]
            width = pairs[0].shape[1] // 2
            rows.append(np.concatenate([pairs[0][:, :width], *(pair[:, width:] for pair in pairs)], axis=1))
    picture = Image.fromarray(np.concatenate(rows)).resize((1440, 540), Image.Resampling.LANCZOS)
    picture.save(ROOT / "docs" / "before-after.jpg", quality=90)
    print("docs/before-after.jpg")


if __name__ == "__main__":
    main()
