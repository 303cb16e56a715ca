"""Images of every kind are read upright, as RGB; errors name the file."""

import os
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from pipeline.decode.masks.mask import Mask
from pipeline.errors import InputError, OutputError
from pipeline.media.stills import check_image_target, is_still_image, read_image, write_image
from tests.support.memory import MEBIBYTE, printed_by

ORIENTATION = 0x0112
STRIP_OFFSETS, LONG, RATIONAL = 0x0111, 4, 5  # a field of TIFF, and types


def scene() -> np.ndarray:
    """Four corners of different colors on grey, wider than high: any flip, turn or channel swap shows."""
    pixels = np.full((20, 30, 3), 90, np.uint8)
    pixels[:8, :8] = (255, 0, 0)
    pixels[:8, -8:] = (0, 255, 0)
    pixels[-8:, :8] = (0, 0, 255)
    return pixels


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (1, lambda p: p),
        (2, lambda p: p[:, ::-1]),
        (3, lambda p: p[::-1, ::-1]),
        (6, lambda p: np.rot90(p, 1)),
        (8, lambda p: np.rot90(p, -1)),
    ],
)
def test_a_turned_photo_comes_upright(tmp_path: Path, orientation: int, stored: object) -> None:
    assert callable(stored)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(np.ascontiguousarray(stored(scene()))).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png"), scene())


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    alpha = np.full((20, 30, 1), 255, np.uint8)
    alpha[:8, :8] = 0
    alpha[:8, -8:] = 128
    Image.fromarray(np.concatenate((scene(), alpha), axis=2)).save(tmp_path / "alpha.png")
    pixels = read_image(tmp_path / "alpha.png")
    assert pixels[0, 0].tolist() == [255, 255, 255]
    np.testing.assert_allclose(pixels[0, -1], [127, 255, 127], atol=1)
    np.testing.assert_array_equal(pixels[8:], scene()[8:])


def test_a_palette_with_a_transparent_color_is_laid_on_white(tmp_path: Path) -> None:
    palette = Image.fromarray(scene()).quantize(8)
    red = palette.getpixel((0, 0))
    assert isinstance(red, int)
    palette.save(tmp_path / "palette.png", transparency=red)
    pixels = read_image(tmp_path / "palette.png")
    assert pixels[0, 0].tolist() == [255, 255, 255]
    np.testing.assert_allclose(pixels[8:], scene()[8:], atol=2)


@pytest.mark.parametrize("mode", ["P", "L", "1", "CMYK", "RGB"])
def test_every_kind_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("picture.tif" if mode == "CMYK" else "picture.png")
    stored = Image.fromarray(scene()).convert(mode)
    stored.save(path)
    pixels = read_image(path)
    assert pixels.dtype == np.uint8
    np.testing.assert_allclose(pixels, np.array(stored.convert("RGB")), atol=2)


def test_16_bit_grey_is_scaled_not_clipped(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16)
    Image.fromarray(np.tile(ramp, (4, 1))).save(tmp_path / "deep.png")
    pixels = read_image(tmp_path / "deep.png")
    assert pixels.shape == (4, 256, 3)
    np.testing.assert_array_equal(pixels[0, :, 0], np.arange(256))


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0" + bytes(99)])
def test_what_is_no_picture_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.jpg.*image") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


def test_a_picture_cut_short_is_named(tmp_path: Path) -> None:
    path = tmp_path / "short.png"
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match=r"short\.png.*cannot be read"):
        read_image(path)


@pytest.mark.parametrize("length", [4, 10])
def test_a_picture_whose_second_frame_is_cut_short_is_no_crash(tmp_path: Path, length: int) -> None:
    """Pillow raises struct.error or IndexError when it counts the frames."""
    image, path = Image.fromarray(scene()).quantize(8), tmp_path / "damaged.webp"
    image.save(path, "GIF")
    frame = b"," + struct.pack("<HHHHB", 0, 0, *image.size, 0)
    path.write_bytes(path.read_bytes().removesuffix(b";") + frame[:length])
    assert is_still_image(path)


def test_a_picture_whose_field_has_another_type_is_named(tmp_path: Path) -> None:
    """Pillow raises TypeError while it decodes the pixels."""
    path = tmp_path / "damaged.tif"
    Image.fromarray(scene()).save(path)
    data = bytearray(path.read_bytes())
    place = data.index(struct.pack("<HH", STRIP_OFFSETS, LONG))
    data[place + 2 : place + 4] = struct.pack("<H", RATIONAL)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"damaged\.tif.*cannot be read"):
        read_image(path)


def test_a_picture_whose_compressed_pixels_are_damaged_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "damaged.tif"
    Image.fromarray(scene()).save(path, compression="tiff_adobe_deflate")
    with Image.open(path) as image:
        place = image.tag_v2[STRIP_OFFSETS][0]  # type: ignore[attr-defined]
    data = bytearray(path.read_bytes())
    data[place + 2 : place + 22] = b"\xff" * 20
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"damaged\.tif.*cannot be read"):
        read_image(path)
    assert capfd.readouterr().err == ""


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_image(tmp_path / "missing.png")
    with pytest.raises(InputError, match="cannot be read"):
        read_image(tmp_path)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    write_image(tmp_path / "out.png", scene())
    np.testing.assert_array_equal(read_image(tmp_path / "out.png"), scene())


@pytest.mark.parametrize("target", ["missing/out.png", "out.unknown"])
def test_what_cannot_be_written_is_named(tmp_path: Path, target: str) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_image(tmp_path / target, scene())


# --- files of strangers ---

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 48\n%%EndComments\nshowpage\n"


@pytest.fixture
def interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program with the name of Ghostscript, which leaves this file when it is started."""
    (tmp_path / "bin").mkdir()
    program, trace = tmp_path / "bin" / "gs", tmp_path / "started"
    program.write_text(f"#!/bin/sh\ntouch {trace}\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return trace


@pytest.mark.skipif(os.name != "posix", reason="the interpreter is a shell script")
@pytest.mark.parametrize("name", ["mask.png", "mask.eps"])
def test_no_picture_starts_an_interpreter(tmp_path: Path, interpreter: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(EPS)
    assert is_still_image(path) is (name == "mask.png")
    with pytest.raises(InputError, match="use a JPEG or PNG"):
        read_image(path)
    with pytest.raises(InputError):
        Mask(path, width=64, height=48)
    assert not interpreter.exists()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "MPO"])
def test_these_formats_are_read_whatever_the_name(tmp_path: Path, format: str) -> None:
    Image.fromarray(scene()).save(tmp_path / "image", format)
    assert is_still_image(tmp_path / "image")
    assert read_image(tmp_path / "image").shape == (20, 30, 3)


@pytest.mark.parametrize("format", ["PPM", "PCX", "TGA", "ICO", "DDS", "SGI", "PDF"])
def test_other_formats_are_not_read(tmp_path: Path, format: str) -> None:
    Image.fromarray(scene()).save(tmp_path / "image", format)
    assert not is_still_image(tmp_path / "image")
    with pytest.raises(InputError, match="use a JPEG or PNG"):
        read_image(tmp_path / "image")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.timeout(20)
def test_a_pipe_is_no_picture(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "image.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "image.png")
    for path in (tmp_path / "image.png", tmp_path / "link.png"):
        assert is_still_image(path)
        with pytest.raises(InputError, match="not a regular file"):
            read_image(path)


def test_the_limit_of_pillow_stays_as_it_was_in_all_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that uses the library may rely on it."""
    Image.fromarray(scene()).save(tmp_path / "image.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # smaller than half of the image: an error for Pillow
    limits: set[int | None] = set()
    convert = Image.Image.convert

    def watch(image: Image.Image, *arguments: Any, **settings: Any) -> Image.Image:
        limits.add(Image.MAX_IMAGE_PIXELS)
        return convert(image, *arguments, **settings)

    monkeypatch.setattr(Image.Image, "convert", watch)
    assert read_image(tmp_path / "image.png").shape == (20, 30, 3)
    assert limits == {100}


@pytest.mark.skipif(os.name != "posix", reason="needs links")
def test_a_link_in_the_place_of_an_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plot.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(OutputError, match=r"plot\.png: is a link; remove it, give another name or --overwrite"):
        check_image_target(tmp_path / "plot.png", overwrite=False)
    check_image_target(tmp_path / "plot.png", overwrite=True)


PEAK = """
import sys
import zlib
from pathlib import Path
from pipeline.errors import InputError
from pipeline.media import stills
from tests.support.memory import growth
arguments = Path(sys.argv[1]), *map(int, sys.argv[3:])
taken = growth(lambda: print(*stills.read_image(*arguments).shape))
stills.MAX_IMAGE_BYTES = taken - int(sys.argv[2])
try:
    stills.read_image(*arguments)
except InputError:
    print(taken, "refused")
else:
    print(taken, "read")
"""
SIDE = 2400
# What the interpreter and copies of a few rows take, whatever the size of the image.
MARGIN = 4 * MEBIBYTE


KINDS = (
    *("P", "1", "LA", "I;16", "RGB", "turned", "wide", "WebP", "WebP with alpha", "WebP without loss", "JPEG"),
    *("JPEG, progressive", "JPEG, several scans", "JPEG, CMYK", "GIF", "BMP", "TIFF", "TIFF, one strip"),
)


def large_image(folder: Path, kind: str) -> Path:
    """Write an image of ``SIDE`` x ``SIDE`` pixels, or of as many."""
    if kind == "JPEG, several scans":
        return jpeg_of_several_scans(folder / "image", SIDE)
    exif = Image.Exif()
    exif[ORIENTATION] = 6 if kind == "turned" else 1
    save: dict[str, tuple[str, str, dict[str, Any]]] = {
        "turned": ("RGB", "PNG", {"exif": exif}),
        "wide": ("LA", "PNG", {}),
        "P": ("P", "PNG", {"transparency": 0}),
        "WebP": ("RGB", "WEBP", {"method": 0}),
        "WebP with alpha": ("RGBA", "WEBP", {"method": 0}),
        "WebP without loss": ("RGBA", "WEBP", {"method": 0, "lossless": True, "quality": 0}),
        "JPEG": ("RGB", "JPEG", {}),
        "JPEG, progressive": ("RGB", "JPEG", {"progressive": True, "subsampling": 0}),
        "JPEG, CMYK": ("CMYK", "JPEG", {"progressive": True}),
        "GIF": ("P", "GIF", {}),
        "BMP": ("RGB", "BMP", {}),
        "TIFF": ("RGBA", "TIFF", {"compression": "tiff_lzw"}),
        "TIFF, one strip": ("RGBA", "TIFF", {"compression": "tiff_lzw", "strip_size": 2**30}),
    }
    mode, format_, options = save.get(kind, (kind, "PNG", {}))
    size = (SIDE * SIDE // 60, 60) if kind == "wide" else (SIDE, SIDE)
    Image.new(mode, size).save(
        folder / "image", format_, **({"compress_level": 1} if format_ == "PNG" else {}), **options
    )
    return folder / "image"


def jpeg_of_several_scans(path: Path, side: int) -> Path:
    """Write a grey JPEG that is not progressive, and has a scan for each color; ``side`` is a multiple of 8."""
    Image.new("RGB", (side, side), (128, 128, 128)).save(path, "JPEG", subsampling=0)
    data = path.read_bytes()
    blocks = (side // 8) ** 2
    scans = [  # for each block the same codes: no difference, end of block
        b"\xff\xda\0\x08\1" + bytes((color, 0 if color == 1 else 0x11, 0, 63, 0)) + codes
        for color, codes in ((1, b"\x28\xa2\x8a" * (blocks // 4)), (2, bytes(blocks // 2)), (3, bytes(blocks // 2)))
    ]
    path.write_bytes(data[: data.index(b"\xff\xda")] + b"".join(scans) + b"\xff\xd9")
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux does")
@pytest.mark.parametrize(
    ("kind", "short_px"),
    [(kind, None) for kind in KINDS] + [(kind, 300) for kind in ("LA", "RGB", "WebP", "JPEG, progressive")],
)
def test_no_image_takes_more_memory_than_is_estimated(tmp_path: Path, kind: str, short_px: int | None) -> None:
    """Otherwise one that takes more than the limit would be read."""
    path = large_image(tmp_path, kind)
    *shape, taken, outcome = printed_by(PEAK, str(path), str(MARGIN), *([] if short_px is None else [str(short_px)]))
    assert shape[2] == "3"
    assert outcome == "refused", f"{int(taken) / SIDE**2:.1f} bytes a pixel"


def test_only_a_jpeg_of_one_scan_may_be_larger_than_the_limit_if_it_is_reduced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = jpeg_of_several_scans(tmp_path / "several.jpg", 640)
    Image.open(several).save(tmp_path / "one.jpg")
    monkeypatch.setattr("pipeline.media.stills.MAX_IMAGE_BYTES", 5 * 640 * 640)
    assert (read_image(tmp_path / "one.jpg", 80) == 128).all()
    with pytest.raises(InputError, match=r"several\.jpg: the image of 640x640 would take 0\.00 GB"):
        read_image(several, 80)
    monkeypatch.undo()
    assert (read_image(several, 80) == 128).all()


def test_a_tile_larger_than_its_image_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """64 pixels in a tile of 64 million took their memory."""
    side, tile = 64, zlib.compress(bytes(8000 * 8000), 1)
    fields = ((256, side), (257, side), (258, 8), (259, 8), (262, 1), (277, 1), (322, 8000), (323, 8000), (324, 8))
    fields += ((325, len(tile)),)
    table = b"".join(struct.pack("<HHII", number, LONG, 1, value) for number, value in fields)
    head = struct.pack("<2sHI", b"II", 42, 8 + len(tile))
    path = tmp_path / "tile.tif"
    path.write_bytes(head + tile + struct.pack("<H", len(fields)) + table + bytes(4))
    assert read_image(path).shape == (side, side, 3)
    monkeypatch.setattr("pipeline.media.stills.MAX_IMAGE_BYTES", 64 * 10**6)
    with pytest.raises(InputError, match=r"tile\.tif: the image of 64x64 would take 0\.51 GB"):
        read_image(path)


@pytest.mark.parametrize("short_px", [None, 100])
@pytest.mark.parametrize("mode", ["RGB", "LA", "P", "I;16"])
def test_an_image_read_in_parts_has_no_seams(tmp_path: Path, mode: str, short_px: int | None) -> None:
    values = np.random.default_rng(0).integers(0, 255, (311, 4400, 3), np.uint8)
    grey = Image.fromarray(values[..., 0].astype(np.uint16) * 257)
    image = grey if mode == "I;16" else Image.fromarray(values).convert(mode)
    image.save(tmp_path / "image.png")
    expected = Image.fromarray(values[..., 0]).convert("RGB") if mode == "I;16" else image.convert("RGB")
    if short_px is not None:
        expected = expected.reduce(311 // short_px)
    np.testing.assert_array_equal(read_image(tmp_path / "image.png", short_px), np.asarray(expected))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("short_px", [None, 10])
def test_photos_are_turned_as_pillow_does(tmp_path: Path, orientation: int, short_px: int | None) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    pixels = np.random.default_rng(0).integers(0, 255, (43, 61, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as image:
        expected = np.asarray(ImageOps.exif_transpose(image.reduce(4) if short_px else image))
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png", short_px), expected)
