"""Pictures are read upright, in sRGB, with all their bits, their transparency and their metadata."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from pipeline.errors import InputError
from pipeline.media.photo.reader import read_photo
from tests.support.photos import (
    LENS,
    ORIENTATION,
    XMP,
    alpha_ramp,
    deep_scene,
    exif,
    in_srgb,
    scene,
    wide_profile,
    write_deep_png,
)

STORED = {1: lambda p: p, 3: lambda p: p[::-1, ::-1], 5: lambda p: p.swapaxes(0, 1), 6: lambda p: np.rot90(p, 1)}


def mean_color(pixels: np.ndarray) -> list[int]:
    return [round(value) for value in pixels.reshape(-1, 3).mean(axis=0)]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".bmp", ".gif"])
def test_every_format_gives_its_pixels(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"picture{suffix}"
    options = {".jpg": {"quality": 100, "subsampling": 0}, ".webp": {"lossless": True}}.get(suffix, {})
    Image.fromarray(scene()).save(path, **options)
    photo = read_photo(path)
    assert photo.pixels.dtype == np.uint8
    assert photo.alpha is None
    np.testing.assert_allclose(photo.pixels, scene(), atol=12 if suffix == ".gif" else 3 if suffix == ".jpg" else 0)


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_a_turned_photo_comes_upright_with_its_alpha(tmp_path: Path, orientation: int, suffix: str) -> None:
    pixels = scene() if suffix == ".jpg" else np.dstack((scene(), alpha_ramp()))
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](pixels)))
    stored.save(tmp_path / f"turned{suffix}", exif=exif(orientation), **({"quality": 100} if suffix == ".jpg" else {}))
    photo = read_photo(tmp_path / f"turned{suffix}")
    assert photo.size == (96, 64)
    np.testing.assert_allclose(photo.pixels[:, 60:], scene()[:, 60:], atol=8 if suffix == ".jpg" else 0)
    if suffix != ".jpg":
        np.testing.assert_array_equal(photo.alpha, alpha_ramp())
    kept = Image.Exif()
    assert photo.metadata.exif is not None
    kept.load(photo.metadata.exif)
    assert kept.get(ORIENTATION, 1) == 1


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_png_of_16_bits_keeps_them(tmp_path: Path, channels: int) -> None:
    samples = np.dstack((deep_scene(), alpha_ramp().astype(np.uint16) * 257))
    stored = samples[..., {1: [0], 2: [0, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[channels]]
    write_deep_png(tmp_path / "deep.png", stored)
    photo = read_photo(tmp_path / "deep.png")
    colors = stored[..., : channels - (channels in (2, 4))]
    visible = alpha_ramp() > 30  # where it is transparent, the color does not count
    np.testing.assert_array_equal(photo.pixels[visible], np.broadcast_to(colors, photo.pixels.shape)[visible])
    if channels in (2, 4):
        np.testing.assert_array_equal(photo.alpha, samples[..., 3])
    else:
        assert photo.alpha is None


def test_a_tiff_of_16_bits_keeps_them(tmp_path: Path) -> None:
    import cv2

    for number, compression in enumerate((1, 5, 8)):  # none, LZW, deflate
        path = tmp_path / f"{number}.tif"
        cv2.imwrite(str(path), deep_scene()[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, compression])
        np.testing.assert_array_equal(read_photo(path).pixels, deep_scene())


def test_transparent_parts_do_not_count_as_black(tmp_path: Path) -> None:
    Image.fromarray(np.dstack((scene(), np.zeros((64, 96), np.uint8)))).save(tmp_path / "hidden.png")
    photo = read_photo(tmp_path / "hidden.png")
    assert mean_color(photo.pixels) == [128, 128, 128]


def test_an_opaque_alpha_is_none(tmp_path: Path) -> None:
    Image.fromarray(np.dstack((scene(), np.full((64, 96), 255, np.uint8)))).save(tmp_path / "opaque.png")
    assert read_photo(tmp_path / "opaque.png").alpha is None


@pytest.mark.parametrize("mode", ["P", "L", "1", "LA", "PA", "RGBA"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    suffix = "tif" if mode == "PA" else "png"
    stored = Image.fromarray(scene()).convert("P" if mode == "PA" else mode).convert(mode)
    stored.save(tmp_path / f"picture.{suffix}")
    photo = read_photo(tmp_path / f"picture.{suffix}")
    np.testing.assert_allclose(photo.pixels, np.asarray(stored.convert("RGB")), atol=1)


def test_colors_of_a_profile_become_srgb(tmp_path: Path) -> None:
    image, profile = Image.fromarray(scene()), wide_profile()
    image.save(tmp_path / "wide.png", icc_profile=profile)
    photo = read_photo(tmp_path / "wide.png")
    np.testing.assert_array_equal(photo.pixels, in_srgb(image, profile))
    assert np.abs(photo.pixels.astype(int) - scene()).max() > 10
    assert photo.metadata.has_profile


def test_colors_of_16_bits_become_srgb_as_littlecms_does_it(tmp_path: Path) -> None:
    import zlib

    profile = wide_profile()
    chunk = b"wide\0\0" + zlib.compress(profile)
    write_deep_png(tmp_path / "deep.png", scene().astype(np.uint16) * 257, (b"iCCP", chunk))
    photo = read_photo(tmp_path / "deep.png")
    expected = in_srgb(Image.fromarray(scene()), profile)
    np.testing.assert_allclose(photo.pixels / 257, expected, atol=1.1)
    assert len(np.unique(photo.pixels % 257)) > 50  # not rounded to 8 bits anywhere


def test_grey_with_a_profile_becomes_srgb(tmp_path: Path) -> None:
    image = Image.fromarray(scene()).convert("L")
    image.save(tmp_path / "grey.png", icc_profile=wide_profile(1.0, grey=True))
    linear = np.asarray(image) / 255
    expected = np.where(linear < 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    np.testing.assert_allclose(read_photo(tmp_path / "grey.png").pixels[..., 1], expected, atol=1.5)
    deep = np.asarray(image).astype(np.uint16)[..., None] * 257
    import zlib

    write_deep_png(tmp_path / "deep.png", deep, (b"iCCP", b"g\0\0" + zlib.compress(wide_profile(1.0, grey=True))))
    np.testing.assert_allclose(read_photo(tmp_path / "deep.png").pixels[..., 2] / 257, expected, atol=0.1)


def test_srgb_is_left_as_it_is(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(scene()).save(tmp_path / "srgb.png", icc_profile=profile)
    np.testing.assert_array_equal(read_photo(tmp_path / "srgb.png").pixels, scene())


@pytest.mark.parametrize("profile", [b"nonsense", wide_profile()[:200], wide_profile()[:-30]])
def test_a_damaged_profile_is_reported(tmp_path: Path, profile: bytes) -> None:
    Image.fromarray(scene()).save(tmp_path / "damaged.png", icc_profile=profile)
    notices: list[str] = []
    photo = read_photo(tmp_path / "damaged.png", notify=notices.append)
    assert photo.pixels.shape == scene().shape
    assert len(notices) == 1
    assert "color profile" in notices[0]


def test_cmyk_is_converted_and_reported(tmp_path: Path) -> None:
    image = Image.fromarray(scene()).convert("CMYK")
    image.save(tmp_path / "print.jpg", quality=100)
    notices: list[str] = []
    photo = read_photo(tmp_path / "print.jpg", notify=notices.append)
    np.testing.assert_allclose(photo.pixels, scene(), atol=16)
    assert notices == ["is CMYK without a color profile that can be used: its colors are approximate"]


def test_metadata_is_read(tmp_path: Path) -> None:
    Image.fromarray(scene()).save(tmp_path / "photo.jpg", exif=exif(6), xmp=XMP, dpi=(300, 300))
    metadata = read_photo(tmp_path / "photo.jpg").metadata
    assert metadata.exif is not None
    kept = Image.Exif()
    kept.load(metadata.exif)
    assert kept.get_ifd(0x8769)[LENS] == "Acme 50mm"
    assert metadata.xmp == XMP.replace(b'Orientation="6"', b'Orientation="1"')
    assert metadata.dpi == pytest.approx((300, 300), abs=1)
    assert not metadata.has_profile


def test_a_picture_is_scaled(tmp_path: Path) -> None:
    Image.fromarray(np.dstack((scene(), alpha_ramp()))).save(tmp_path / "picture.png")
    photo = read_photo(tmp_path / "picture.png", height_px=32)
    assert photo.size == (48, 32)
    assert photo.alpha is not None
    assert photo.alpha.shape == (32, 48)
    np.testing.assert_allclose(photo.alpha[:, 24], 130, atol=4)
    write_deep_png(tmp_path / "deep.png", deep_scene())
    deep = read_photo(tmp_path / "deep.png", height_px=32)
    assert deep.pixels.dtype == np.uint16
    np.testing.assert_allclose(deep.pixels[-1, -1] / 257, scene()[-1, -1], atol=4)


def test_what_is_no_picture_gets_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(InputError, match=r"text\.jpg: not a picture that can be read"):
        read_photo(tmp_path / "text.jpg")
    with pytest.raises(InputError, match="no such file"):
        read_photo(tmp_path / "missing.jpg")
    frames = [Image.fromarray(scene() + shift) for shift in (0, 9)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match="animated; use flowbrush video"):
        read_photo(tmp_path / "moving.gif")
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "half.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "half.png").read_bytes()[:300])
    with pytest.raises(InputError, match="cannot be read"):
        read_photo(tmp_path / "half.png")


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_samples_of_32_bits_are_no_guess(tmp_path: Path, kind: type) -> None:
    Image.fromarray(scene()[..., 0].astype(kind)).save(tmp_path / "float.tif")
    with pytest.raises(InputError, match="has 32 bits a sample; save it with 16"):
        read_photo(tmp_path / "float.tif")


def test_a_truncated_png_of_16_bits_is_reported(tmp_path: Path) -> None:
    write_deep_png(tmp_path / "half.png", deep_scene())
    (tmp_path / "half.png").write_bytes((tmp_path / "half.png").read_bytes()[:3000])
    with pytest.raises(InputError, match="cannot be read"):
        read_photo(tmp_path / "half.png")
