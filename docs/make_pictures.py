"""Make the pictures of the README from the sample clips: before and after, the gallery, what each control does."""

import io
import subprocess
import sys
import tempfile
from pathlib import Path

import av
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipeline.console.gallery_picture import Tile, draw_page
from pipeline.frames import Pixels

ROOT = Path(__file__).resolve().parents[1]
STYLES = ("great-wave", "starry-night")
MOMENTS = (("harbor", 3.0), ("street", 2.0))
CROP = np.s_[20:254, 196:612]
STROKES = (("fine", "0.5"), ("usual", "1"), ("broad", "2"))
TILE_AREA = 368 * 207
LARGEST_BYTES = 390_000


def main() -> None:
    """Write ``before-after.jpg``, ``controls.jpg`` and ``gallery.jpg`` beside this file."""
    with tempfile.TemporaryDirectory() as folder:
        save("before-after.jpg", before_after(Path(folder)))
        save("controls.jpg", controls(Path(folder)))
        save("gallery.jpg", gallery(Path(folder)))


def before_after(folder: Path) -> Image.Image:
    """Frames of two clips, and what the styles make of them."""
    rows = []
    for clip, seconds in MOMENTS:
        pairs = [frames(folder, clip, seconds, "--style", style, "--compare", "side")[0] for style in STYLES]
        width = pairs[0].shape[1] // 2
        rows.append(np.concatenate([pairs[0][:, :width], *(pair[:, width:] for pair in pairs)], axis=1))
    return Image.fromarray(np.concatenate(rows)).resize((1440, 540), Image.Resampling.LANCZOS)


def controls(folder: Path) -> Image.Image:
    """A row for each control, three tiles a row."""
    one, other = STYLES

    def tile(subtitle: str, *options: str, style: str = one) -> Tile:
        options = ("--style", style, *options)
        return Tile(frames(folder, "harbor", 3.0, *options)[0][CROP], " ".join(options), subtitle)

    fading = frames(folder, "harbor", 3.0, "--style", one, "--style-end", other, seconds=1.0)
    half, fade = f"{one}:0.5,{other}:0.5", f"--style-end {other}"
    original = frames(folder, "harbor", 3.0, "--style", one, "--strength", "0")[0]
    tiles = [
        tile("one style"),
        tile("a blend", style=half),
        tile("the other", style=other),
        *(
            Tile(fading[round(share * (len(fading) - 1))][CROP], fade, f"{moment} of the clip")
            for share, moment in ((0.0, "first frame"), (0.5, "middle"), (1.0, "last frame"))
        ),
        *(tile(f"{share:.0%} paint", "--strength", f"{share:g}") for share in (0.3, 0.65, 1.0)),
        Tile(original[CROP], "the original", "its colours ..."),
        tile("... the painting's ...", style=other),
        tile("... kept in the painting", "--keep-colors", style=other),
        *(tile(f"{what} strokes", "--stroke-size", size) for what, size in STROKES),
    ]
    height, width = original[CROP].shape[:2]
    return Image.fromarray(draw_page(tiles, width / height, columns=3, area=TILE_AREA))


def gallery(folder: Path) -> Image.Image:
    """What ``flowbrush styles --preview`` draws."""
    target = folder / "gallery.png"
    flowbrush("styles", "--preview", str(target), "--overwrite")
    with Image.open(target) as picture:
        return picture.convert("RGB")


def frames(folder: Path, clip: str, start: float, *options: str, seconds: float = 0.1) -> list[Pixels]:
    """The frames that ``flowbrush video`` makes of a part of a sample clip, ``(height, width, 3)`` uint8 RGB each."""
    source, target = ROOT / "sample_videos" / f"{clip}.mp4", folder / "painted.mkv"
    part = ("--start", str(start), "--duration", str(seconds), "--codec", "ffv1", "--overwrite", "-q")
    flowbrush("video", str(source), str(target), *options, *part, "--engine", "eager")  # compiling takes longer
    with av.open(str(target)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def flowbrush(*arguments: str) -> None:
    """Run the command of this checkout."""
    subprocess.run([sys.executable, str(ROOT / "cli.py"), *arguments], check=True)


def save(name: str, picture: Image.Image) -> None:
    """Write a JPEG, as good as `LARGEST_BYTES` allows."""
    for quality in range(92, 40, -4):
        data = io.BytesIO()
        picture.save(data, "JPEG", quality=quality, optimize=True, progressive=True)
        if data.tell() <= LARGEST_BYTES:
            break
    (ROOT / "docs" / name).write_bytes(data.getvalue())
    print(f"docs/{name}: {picture.width}x{picture.height}, {data.tell() // 1000} kB, quality {quality}")


if __name__ == "__main__":
    main()
