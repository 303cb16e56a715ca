"""Pictures are written with what their format has: bits, transparency, profile, EXIF and XMP."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from pipeline.errors import OutputError
from pipeline.media.photo.photo import Photo, PhotoMetadata
from pipeline.media.photo.reader import read_photo
from pipeline.media.photo.writer import check_format, write_photo
from tests.support.photos import CAMERA, LENS, SOFTWARE, WIDTH_PX, XMP, alpha_ramp, deep_scene, exif, opencv_rgb, scene

SRGB = ("sRGB built-in", "sRGB built-in\n")
SUFFIXES = [".jpg", ".png", ".webp", ".tif"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pixels_come_back(tmp_path: Path, suffix: str) -> None:
    write_photo(tmp_path / f"out{suffix}", Photo(scene()), quality=100)
    stored = np.asarray(Image.open(tmp_path / f"out{suffix}").convert("RGB"))
    np.testing.assert_allclose(stored, scene(), atol=3 if suffix == ".jpg" else 0)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_alpha_comes_back(tmp_path: Path, suffix: str) -> None:
    write_photo(tmp_path / f"out{suffix}", Photo(scene(), alpha_ramp()), quality=100)
    stored = np.asarray(Image.open(tmp_path / f"out{suffix}").convert("RGBA"))
    np.testing.assert_array_equal(stored, np.dstack((scene(), alpha_ramp())))


def test_a_jpeg_shows_transparent_parts_over_white(tmp_path: Path) -> None:
    notices: list[str] = []
    write_photo(tmp_path / "out.jpg", Photo(scene(), alpha_ramp()), notify=notices.append)
    stored = np.asarray(Image.open(tmp_path / "out.jpg"))
    np.testing.assert_allclose(stored[:, 0], 255, atol=6)
    np.testing.assert_allclose(stored[40:, -1], scene()[40:, -1], atol=8)
    assert notices == ["a JPEG has no transparency: the picture is shown over white"]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("with_alpha", [False, True])
def test_16_bits_come_back(tmp_path: Path, suffix: str, with_alpha: bool) -> None:
    alpha = alpha_ramp().astype(np.uint16) * 257 if with_alpha else None
    write_photo(tmp_path / f"deep{suffix}", Photo(deep_scene(), alpha))
    expected = deep_scene() if alpha is None else np.dstack((deep_scene(), alpha))
    np.testing.assert_array_equal(opencv_rgb(tmp_path / f"deep{suffix}"), expected)


def test_a_tiff_of_many_strips_comes_back(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (700, 500, 3), np.uint8)
    write_photo(tmp_path / "noise.tif", Photo(pixels))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "noise.tif")), pixels)


def test_16_bits_become_8_where_there_are_no_more(tmp_path: Path) -> None:
    write_photo(tmp_path / "out.webp", Photo(deep_scene()), quality=100)
    np.testing.assert_allclose(np.asarray(Image.open(tmp_path / "out.webp")), deep_scene() / 257, atol=0.51)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("deep", [False, True])
def test_metadata_comes_back(tmp_path: Path, suffix: str, deep: bool) -> None:
    metadata = PhotoMetadata(exif=exif().tobytes(), xmp=XMP, dpi=(300, 300), has_profile=True)
    path = tmp_path / f"out{suffix}"
    write_photo(path, Photo(deep_scene() if deep else scene(), None, metadata), software="painted by flowbrush")
    stored = Image.open(path)
    stored.load()
    kept = stored.getexif()
    assert kept[SOFTWARE] == "Acme 1.0"
    assert kept[0x000B] == "painted by flowbrush"
    camera = kept.get_ifd(CAMERA)
    assert camera[LENS] == "Acme 50mm"
    assert camera[WIDTH_PX] == 96
    assert camera[0xA001] == 1  # sRGB
    assert ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(stored.info["icc_profile"]))) in SRGB
    if suffix != ".webp":  # which has no resolution
        assert stored.info["dpi"] == pytest.approx((300, 300), abs=1)
    again = read_photo(path).metadata
    assert again.xmp == XMP.replace(b'Orientation="6"', b'Orientation="1"')


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("deep", [False, True])
def test_nothing_is_added_where_nothing_was(tmp_path: Path, suffix: str, deep: bool) -> None:
    write_photo(tmp_path / f"out{suffix}", Photo(deep_scene() if deep else scene()))
    stored = Image.open(tmp_path / f"out{suffix}")
    stored.load()
    own = set(range(254, 340)) if suffix == ".tif" else set()
    assert set(stored.getexif()) <= own
    assert not stored.info.get("icc_profile")


def test_metadata_too_long_for_a_jpeg_is_left_out_and_reported(tmp_path: Path) -> None:
    long = Image.Exif()
    long[SOFTWARE] = "x" * 70_000
    notices: list[str] = []
    metadata = PhotoMetadata(exif=long.tobytes(), xmp=b"<x/>" * 20_000)
    write_photo(tmp_path / "out.jpg", Photo(scene(), None, metadata), notify=notices.append)
    assert [notice.split(" is ")[0] for notice in notices] == ["its EXIF", "its XMP"]
    with Image.open(tmp_path / "out.jpg") as stored:
        assert not stored.getexif()


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / "out.png").write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        write_photo(tmp_path / "out.png", Photo(scene()))
    assert (tmp_path / "out.png").read_bytes() == b"mine"
    write_photo(tmp_path / "out.png", Photo(scene()), overwrite=True)
    with Image.open(tmp_path / "out.png") as stored:
        assert stored.size == (96, 64)
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]


def test_a_size_that_a_format_does_not_hold_is_refused() -> None:
    check_format(Path("a.webp"), (16_383, 10))
    check_format(Path("a.png"), (70_000, 10))
    with pytest.raises(OutputError, match=r"a\.webp: a WebP holds 16383 px a side, the picture is 40000x10; use PNG"):
        check_format(Path("a.webp"), (40_000, 10))
    with pytest.raises(OutputError, match="65500 px"):
        check_format(Path("a.jpg"), (10, 70_000))
