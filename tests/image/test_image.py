"""``flowbrush image``: one picture or many, of every size and kind; what fails does not stop the others."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import StylizeConfig, stylize_image
from pipeline.errors import InputError, OutputError, TooLittleMemoryError
from pipeline.image.config import ImageConfig
from pipeline.image.run import stylize_images
from pipeline.stylize.engine import memory_budget
from pipeline.stylize.stylizer import Stylizer
from tests.support.commands import run
from tests.support.photos import (
    CAMERA,
    LENS,
    ORIENTATION,
    alpha_ramp,
    deep_scene,
    exif,
    opencv_rgb,
    scene,
    write_deep_png,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def style(tiny_style: Path) -> StylizeConfig:
    return StylizeConfig(style=str(tiny_style), engine="eager", device="cpu", precision="fp32")


def config(style: StylizeConfig, output: Path, *inputs: Path, **settings: object) -> ImageConfig:
    return ImageConfig(inputs=tuple(map(str, inputs)), output=str(output), stylize=style, **settings)  # type: ignore[arg-type]


def saved(path: Path, pixels: np.ndarray | None = None, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(scene() if pixels is None else pixels).save(path, **options)  # type: ignore[arg-type]
    return path


def opened(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def expected(style: StylizeConfig, pixels: np.ndarray) -> np.ndarray:
    """The frame as a clip's would be stylized."""
    height, width, _ = pixels.shape
    return Stylizer(style, height=height, width=width, is_16_bit=pixels.dtype == np.uint16).stylize(pixels)


def test_a_picture_is_stylized_as_a_frame_is(tmp_path: Path, style: StylizeConfig) -> None:
    summary = stylize_images(config(style, tmp_path / "out.png", saved(tmp_path / "in.png")))
    np.testing.assert_array_equal(opened(tmp_path / "out.png"), expected(style, scene()))
    (picture,) = summary.pictures
    assert (picture.width, picture.height, picture.bits, picture.outcome) == (96, 64, 8, "stylized")
    assert (summary.style, summary.engine, summary.device) == ("tiny", "eager", "cpu")


def test_16_bits_and_alpha_stay(tmp_path: Path, style: StylizeConfig) -> None:
    alpha = np.maximum(alpha_ramp(), 40).astype(np.uint16) * 257
    write_deep_png(tmp_path / "in.png", np.dstack((deep_scene(), alpha)))
    stylize_images(config(style, tmp_path / "out.tif", tmp_path / "in.png"))
    stored = opencv_rgb(tmp_path / "out.tif")
    np.testing.assert_array_equal(stored[..., 3], alpha)
    np.testing.assert_array_equal(stored[..., :3], expected(style, deep_scene()))
    assert len(np.unique(stored[..., 0] % 257)) > 50


def test_a_turned_photo_with_metadata_comes_out_upright(tmp_path: Path, style: StylizeConfig) -> None:
    turned = np.ascontiguousarray(np.rot90(scene(), 1))
    saved(tmp_path / "in.jpg", turned, exif=exif(6), quality=100, subsampling=0)
    original = replace(style, strength=0.0)
    stylize_images(config(original, tmp_path / "out.jpg", tmp_path / "in.jpg", quality=100))
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.size == (96, 64)
        kept = image.getexif()
        assert kept.get(ORIENTATION, 1) == 1
        assert kept[0x000B] == "painted by flowbrush in the style tiny"
        assert kept.get_ifd(CAMERA)[LENS] == "Acme 50mm"
        np.testing.assert_allclose(np.asarray(image), scene(), atol=8)


def test_controls_of_video_apply(tmp_path: Path, style: StylizeConfig) -> None:
    saved(tmp_path / "in.png")
    results = {}
    for name, change in {
        "plain": {},
        "none": {"strength": 0.0},
        "colors": {"keep_colors": True},
        "side": {"compare": "side"},
        "strokes": {"stroke_size": 2.0},
    }.items():
        changed = replace(style, **change)  # type: ignore[arg-type]
        stylize_images(config(changed, tmp_path / f"{name}.png", tmp_path / "in.png"))
        results[name] = opened(tmp_path / f"{name}.png")
    np.testing.assert_array_equal(results["none"], scene())
    np.testing.assert_array_equal(results["side"], np.concatenate((scene(), results["plain"]), axis=1))
    for name in ("colors", "strokes"):
        assert np.abs(results[name].astype(int) - results["plain"]).mean() > 3


def test_a_mask_of_another_size_is_scaled(tmp_path: Path, style: StylizeConfig) -> None:
    half = np.zeros((10, 20, 3), np.uint8)
    half[:, 10:] = 255
    mask = saved(tmp_path / "mask.png", half)
    stylize_images(config(style, tmp_path / "out.png", saved(tmp_path / "in.png"), mask=str(mask)))
    result = opened(tmp_path / "out.png")
    np.testing.assert_array_equal(result[:, :40], scene()[:, :40])
    np.testing.assert_array_equal(result[:, 56:], expected(style, scene())[:, 56:])


def test_strips_give_the_same_picture(tmp_path: Path, style: StylizeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_budget, "LARGEST_WHOLE_PICTURE_PX", 10_000)
    large = np.random.default_rng(0).integers(0, 256, (150, 120, 3), np.uint8)
    saved(tmp_path / "in.png", large)
    stylize_images(config(style, tmp_path / "out.png", tmp_path / "in.png"))
    np.testing.assert_allclose(opened(tmp_path / "out.png"), expected(style, large), atol=1)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 2), (17, 5)])
def test_a_tiny_picture_gives_a_result(tmp_path: Path, style: StylizeConfig, size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    saved(tmp_path / "in.png", pixels)
    stylize_images(config(style, tmp_path / "out.png", tmp_path / "in.png"))
    assert opened(tmp_path / "out.png").shape == pixels.shape


def test_a_panorama_gives_a_result_or_one_line(tmp_path: Path, style: StylizeConfig) -> None:
    panorama = np.broadcast_to(np.arange(40_000, dtype=np.uint16)[None, :, None] // 160, (30, 40_000, 3))
    saved(tmp_path / "wide.png", panorama.astype(np.uint8), compress_level=1)
    stylize_images(config(style, tmp_path / "out.png", tmp_path / "wide.png"))
    assert opened(tmp_path / "out.png").shape == (30, 40_000, 3)
    with pytest.raises(OutputError, match=r"out\.webp: a WebP holds 16383 px a side, the picture is 40000x30"):
        stylize_images(config(style, tmp_path / "out.webp", tmp_path / "wide.png"))
    side = replace(style, compare="side")
    with pytest.raises(OutputError, match="the picture is 80000x30"):
        stylize_images(config(side, tmp_path / "out.jpg", tmp_path / "wide.png"))


def test_a_folder_keeps_names_formats_and_subfolders(tmp_path: Path, style: StylizeConfig) -> None:
    source, output = tmp_path / "photos", tmp_path / "out"
    saved(source / "a.JPG", format="jpeg")
    saved(source / "day" / "a.png")
    saved(source / "b.bmp")
    (source / "notes.txt").write_text("no picture")
    counts: list[tuple[int, int]] = []
    summary = stylize_images(config(style, output, source), progress=lambda done, total: counts.append((done, total)))
    written = {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()}
    assert written == {"a.JPG", str(Path("day", "a.png")), "b.png"}
    assert summary.count("stylized") == 3
    assert counts == [(1, 3), (2, 3), (3, 3)]


def test_a_format_for_a_folder(tmp_path: Path, style: StylizeConfig) -> None:
    inputs = [saved(tmp_path / "a.png"), saved(tmp_path / "b.jpeg"), saved(tmp_path / "c.bmp")]
    stylize_images(config(style, tmp_path / "out", *inputs, format="jpeg"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.jpg", "b.jpeg", "c.jpg"]
    with pytest.raises(ValueError, match="--format is for an output folder"):
        stylize_images(config(style, tmp_path / "out.png", inputs[0], format="jpeg"))


def test_a_picture_that_fails_does_not_stop_the_others(tmp_path: Path, tiny_style: Path) -> None:
    source = tmp_path / "photos"
    for name in ("a.png", "c.png"):
        saved(source / name)
    (source / "b.jpg").write_bytes(b"\xff\xd8\xff damaged")
    options = ("--style", tiny_style, "--engine", "eager", "--device", "cpu", "--json")
    code, printed, errors = run("image", source, tmp_path / "out", *options)
    assert code == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]
    found = json.loads(printed)
    assert [each["outcome"] for each in found["pictures"]] == ["stylized", "failed", "stylized"]
    assert "b.jpg: not a picture" in found["pictures"][1]["error"]
    assert "b.jpg: not a picture" in errors
    code, printed, errors = run("image", source / "b.jpg", tmp_path / "b.png", *options[:-1])
    assert code == InputError.exit_code
    assert "b.jpg: not a picture" in errors
    assert len(errors.splitlines()) == 1


def test_existing_outputs_are_kept(tmp_path: Path, style: StylizeConfig) -> None:
    source, output = tmp_path / "photos", tmp_path / "out"
    saved(source / "a.png")
    saved(source / "b.png")
    output.mkdir()
    (output / "a.png").write_bytes(b"mine")
    summary = stylize_images(config(style, output, source))
    assert (output / "a.png").read_bytes() == b"mine"
    assert [picture.outcome for picture in summary.pictures] == ["exists", "stylized"]
    assert "1 of 2 outputs exist already" in summary.notices[0]
    summary = stylize_images(config(style, output, source, overwrite=True))
    assert [picture.outcome for picture in summary.pictures] == ["stylized", "stylized"]
    with pytest.raises(OutputError, match="exists already"):
        stylize_images(config(style, output / "b.png", source / "a.png"))


def test_no_input_is_written_over(tmp_path: Path, style: StylizeConfig) -> None:
    source = saved(tmp_path / "photos" / "a.png").parent
    before = (source / "a.png").read_bytes()
    for output in (source, source / "a.png"):
        with pytest.raises(OutputError, match="is an input"):
            stylize_images(config(style, output, source / "a.png", overwrite=True))
    with pytest.raises(OutputError, match="is an input"):
        stylize_images(config(style, source, source, overwrite=True))
    assert (source / "a.png").read_bytes() == before


def test_two_pictures_do_not_become_one(tmp_path: Path, style: StylizeConfig) -> None:
    inputs = saved(tmp_path / "one" / "a.png"), saved(tmp_path / "two" / "a.png")
    with pytest.raises(OutputError, match="would both become this file"):
        stylize_images(config(style, tmp_path / "out", *inputs))


@pytest.mark.parametrize(
    ("inputs", "output", "kind", "message"),
    [
        (["a.png", "b.png"], "out.png", ValueError, "several pictures need a folder"),
        (["empty"], "out", InputError, "has no pictures"),
        (["missing.png"], "out", InputError, "no such file"),
        (["*.jpg"], "out", InputError, "no file matches"),
        (["a.png"], "out.heic", OutputError, "a picture ends in"),
        (["a.png"], "nowhere/out.png", OutputError, "there is no folder"),
        (["a.png"], "b.png/", OutputError, "is a file; give a folder"),
    ],
)
def test_what_cannot_work_gets_one_line(
    tmp_path: Path,
    style: StylizeConfig,
    monkeypatch: pytest.MonkeyPatch,
    inputs: list[str],
    output: str,
    kind: type[Exception],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        saved(tmp_path / name)
    (tmp_path / "empty").mkdir()
    made = ImageConfig(inputs=tuple(inputs), output=output, stylize=style)
    with pytest.raises(kind, match=message):
        stylize_images(made)
    assert not (tmp_path / "out").exists()


def test_too_little_memory_is_said(tmp_path: Path, style: StylizeConfig) -> None:
    small = replace(style, max_memory=100_000_000)
    with pytest.raises(TooLittleMemoryError, match="too little for this picture"):
        stylize_images(config(small, tmp_path / "out.png", saved(tmp_path / "in.png")))


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs links")
def test_links_lead_neither_in_nor_out(tmp_path: Path, style: StylizeConfig) -> None:
    source, output, elsewhere = tmp_path / "photos", tmp_path / "out", tmp_path / "elsewhere"
    saved(source / "a.png")
    saved(source / "day" / "a.png")
    secret = saved(elsewhere / "secret.png")
    (source / "link.png").symlink_to(secret)
    output.mkdir()
    (output / "day").symlink_to(elsewhere)
    summary = stylize_images(config(style, output, source))
    assert [each.outcome for each in summary.pictures] == ["stylized", "failed"]
    assert any("leads out" in notice for notice in summary.notices)
    assert [path.name for path in elsewhere.iterdir()] == ["secret.png"]


def test_the_library_stylizes_a_picture(tmp_path: Path, style: StylizeConfig) -> None:
    result = stylize_image(saved(tmp_path / "in.png"), tmp_path / "out.webp", style, quality=100)
    assert (result.width, result.height) == (96, 64)
    np.testing.assert_array_equal(opened(tmp_path / "out.webp"), expected(style, scene()))
    with pytest.raises(OutputError, match="exists already"):
        stylize_image(tmp_path / "in.png", tmp_path / "out.webp", style)


def test_the_command_reports_one_picture_in_one_line(tmp_path: Path, tiny_style: Path) -> None:
    saved(tmp_path / "in.png")
    options = ("--style", tiny_style, "--engine", "eager", "--device", "cpu")
    code, printed, errors = run("image", tmp_path / "in.png", tmp_path / "out.png", *options, "--height", "32")
    assert (code, printed) == (0, "")
    assert "out.png: 48x32 in" in errors
    assert opened(tmp_path / "out.png").shape == (32, 48, 3)
    code, printed, errors = run("image", tmp_path / "in.png", tmp_path / "out.png", *options)
    assert code == OutputError.exit_code
