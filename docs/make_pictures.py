"""Make the images of the docs from the sample clips and from drawings of our own.

    python docs/make_pictures.py [before-after] [controls] [gallery] [styles] [any-picture]

Without a name: all of them.
"""

import io
import subprocess
import sys
import tempfile
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.drawings.comic import comic
from benchmarks.drawings.mosaic import mosaic
from benchmarks.drawings.woodcut import woodcut
from benchmarks.gallery import contact_sheet
from benchmarks.scoring import cell
from models.registry import bundled
from models.training.predictor.drawings import draw
from pipeline.console.preview import Tile, draw_page
from pipeline.frames import Pixels

ROOT = Path(__file__).resolve().parents[1]
STYLES = ("great-wave", "starry-night")
MOMENTS = (("harbor", 3.0), ("street", 2.0))
FOUR_MOMENTS = (("harbor", 1.0), ("harbor", 4.5), ("street", 0.5), ("street", 4.0))
HATCHING_SEED, DRAWING_PX = 2, 400
CROP = np.s_[20:254, 196:612]
STROKES = (("fine", "0.5"), ("usual", "1"), ("broad", "2"))
TILE_AREA = 368 * 207
LARGEST_BYTES = 390_000


def main() -> None:
    """Write the images beside this file."""
    pages = {
        "before-after": before_after,
        "controls": controls,
        "gallery": gallery,
        "styles": styles,
        "any-picture": any_picture,
    }
    for name in sys.argv[1:] or pages:
        with tempfile.TemporaryDirectory() as folder:
            save(f"{name}.jpg", pages[name](Path(folder)))


def before_after(folder: Path) -> Image.Image:
    """Return frames of two clips beside the same frames in two styles."""
    rows = []
    for clip, seconds in MOMENTS:
        pairs = [frames(folder, clip, seconds, "--style", style, "--compare", "side")[0] for style in STYLES]
        width = pairs[0].shape[1] // 2
        rows.append(np.concatenate([pairs[0][:, :width], *(pair[:, width:] for pair in pairs)], axis=1))
    return Image.fromarray(np.concatenate(rows)).resize((1440, 540), Image.Resampling.LANCZOS)


def controls(folder: Path) -> Image.Image:
    """Return a page with a row of three tiles for each control."""
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
        *(tile(f"{share:.0%} strength", "--strength", f"{share:g}") for share in (0.3, 0.65, 1.0)),
        Tile(original[CROP], "the original", "its colors"),
        tile("the style's colors", style=other),
        tile("the original's colors kept", "--keep-colors", style=other),
        *(tile(f"{what} strokes", "--stroke-size", size) for what, size in STROKES),
    ]
    height, width = original[CROP].shape[:2]
    return Image.fromarray(draw_page(tiles, width / height, columns=3, area=TILE_AREA))


def gallery(folder: Path) -> Image.Image:
    """Return the page that ``flowbrush styles --preview`` draws."""
    target = folder / "gallery.png"
    flowbrush("styles", "--preview", str(target), "--overwrite")
    with Image.open(target) as image:
        return image.convert("RGB")


def styles(folder: Path) -> Image.Image:
    """Return a row for each style: both clips in color, then in gray, where only the strokes tell the style."""
    rows = {}
    for style in bundled():
        shown = [frames(folder, clip, seconds, "--style", style)[0] for clip, seconds in MOMENTS]
        rows[style] = [cell(pixels) for pixels in (*shown, *map(gray, shown))]
    return Image.fromarray(contact_sheet(rows))


def any_picture(folder: Path) -> Image.Image:
    """Return a row for each of six pictures that nothing was trained for: the picture, then four frames in its style.

    A photo and a logo are among them: pictures without strokes, of which little but colors can be taken.
    """
    rows = {}
    for name, pixels in six_pictures(folder).items():
        file = folder / f"{name}.png"
        Image.fromarray(pixels).save(file)
        shown = [frames(folder, clip, start, "--style-image", str(file))[0] for clip, start in FOUR_MOMENTS]
        rows[name] = [cell(middle(pixels)), *map(cell, shown)]
    return Image.fromarray(contact_sheet(rows))


def middle(pixels: Pixels) -> Pixels:
    """Return the middle of an image, as flat as a frame of the sample clips."""
    height, width = pixels.shape[0], pixels.shape[1]
    rows = min(height, width * 9 // 16)
    top = (height - rows) // 2
    return pixels[top : top + rows]


def six_pictures(folder: Path) -> dict[str, Pixels]:
    """Return four drawings, a photo and a logo, ``(height, width, 3)`` uint8 each."""
    hatching = draw(DRAWING_PX, torch.Generator().manual_seed(HATCHING_SEED))
    photo = frames(folder, "street", 2.0, "--style", STYLES[0], "--strength", "0")[0]
    return {
        "mosaic": mosaic(),
        "woodcut": woodcut(),
        "comic": comic(),
        "hatching": (hatching * 255).byte().permute(1, 2, 0).numpy(),
        "a photo": photo,
        "a logo": logo(),
    }


def logo() -> Pixels:
    """Return a mark of a few flat shapes on white, ``(400, 400, 3)`` uint8."""
    image = Image.new("RGB", (DRAWING_PX, DRAWING_PX), "white")
    pen = ImageDraw.Draw(image)
    pen.ellipse((60, 60, 340, 340), fill="#1f6feb")
    pen.polygon([(200, 110), (290, 270), (110, 270)], fill="#ffffff")
    pen.rectangle((180, 200, 220, 340), fill="#f2a900")
    return np.asarray(image)


def gray(pixels: Pixels) -> Pixels:
    """Return ``(height, width, 3)`` uint8 without color."""
    return np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"))


def frames(folder: Path, clip: str, start: float, *options: str, seconds: float = 0.1) -> list[Pixels]:
    """Return the frames, ``(height, width, 3)`` uint8 RGB, that ``flowbrush video`` makes of a section of a clip."""
    source, target = ROOT / "sample_videos" / f"{clip}.mp4", folder / "stylized.mkv"
    section = ("--start", str(start), "--duration", str(seconds), "--codec", "ffv1", "--overwrite", "-q")
    flowbrush("video", str(source), str(target), *options, *section, "--engine", "eager")  # compiling takes longer
    with av.open(str(target)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def flowbrush(*arguments: str) -> None:
    """Run flowbrush from this checkout."""
    subprocess.run([sys.executable, str(ROOT / "cli.py"), *arguments], check=True)


def save(name: str, image: Image.Image, largest_bytes: int = LARGEST_BYTES) -> None:
    """Write a JPEG into the folder of the docs, with the best quality that ``largest_bytes`` allow."""
    for quality in range(92, 40, -4):
        data = io.BytesIO()
        image.save(data, "JPEG", quality=quality, optimize=True, progressive=True)
        if data.tell() <= largest_bytes:
            break
    (ROOT / "docs" / name).write_bytes(data.getvalue())
    print(f"docs/{name}: {image.width}x{image.height}, {data.tell() // 1000} kB, quality {quality}")


if __name__ == "__main__":
    main()
