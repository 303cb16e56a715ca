"""The style of a picture: read by the one place that reads pictures, bad ones named in one line."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.registry import LoadedStyle, to_bytes
from pipeline import StylizeConfig, stylize_frames
from pipeline.config.style_spec import Dials
from pipeline.errors import InputError, StyleError
from pipeline.stylize.picture_style import _predict, predict_style
from pipeline.stylize.style import find_style, load_style_settings
from tests.support.media import moving_square
from tests.support.networks.pictures import write_picture, write_predictor
from tests.support.tiny import stripes

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_predictor(tmp_path_factory.mktemp("weights") / "any.safetensors", tiny=True)


def test_the_style_is_named_after_the_file(predictor: Path, tmp_path: Path) -> None:
    style = predict_style(write_picture(tmp_path / "My_Own Picture.png", (90, 70)), predictor=predictor)
    assert style.metadata.name == "my-own-picture"
    assert style.metadata.painting_px == 70  # never enlarged
    assert all(tensor.isfinite().all() for tensor in style.style.tensors())


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1"])
def test_grey_and_transparent_pictures_have_a_style(predictor: Path, tmp_path: Path, mode: str) -> None:
    style = predict_style(write_picture(tmp_path / "a.png", (80, 80), mode), predictor=predictor)
    assert all(tensor.isfinite().all() for tensor in style.style.tensors())


def test_one_color_and_a_scroll_have_a_style(predictor: Path, tmp_path: Path) -> None:
    Image.new("RGB", (70, 70), "red").save(tmp_path / "red.png")
    for path in (tmp_path / "red.png", write_picture(tmp_path / "scroll.png", (700, 64))):
        style = predict_style(path, predictor=predictor)
        assert all(tensor.isfinite().all() for tensor in style.style.tensors())


def test_a_large_picture_is_reduced(predictor: Path, tmp_path: Path) -> None:
    Image.new("L", (10_000, 10_000), 90).save(tmp_path / "large.png")
    assert predict_style(tmp_path / "large.png", predictor=predictor).metadata.painting_px == 400


def test_what_is_no_picture_is_named(predictor: Path, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("hello")
    Image.new("RGB", (1, 1)).save(tmp_path / "pixel.png")
    cases = {"text.jpg": "not an image", "pixel.png": "1x1 px is too small", "none.png": "no such file", "": "a folder"}
    for name, reason in cases.items():
        with pytest.raises(InputError, match=reason):
            predict_style(tmp_path / name, predictor=predictor)


def test_dials_and_weights_are_checked(predictor: Path, tmp_path: Path) -> None:
    file = write_picture(tmp_path / "a.png", (64, 64))
    with pytest.raises(ValueError, match=r"paint must be from 0\.25 to 4"):
        predict_style(file, Dials(paint=9), predictor)
    with pytest.raises(StyleError, match="not the weights of a predictor"):
        predict_style(file, predictor=file)


def same(one: LoadedStyle, other: LoadedStyle) -> bool:
    return all(map(torch.equal, one.style.tensors(), other.style.tensors()))


def test_a_picture_is_a_style_wherever_one_is_named(any_picture: Path, tmp_path: Path) -> None:
    file, other = (str(write_picture(tmp_path / f"{name}.png", seed=seed)) for seed, name in enumerate("ab"))
    alone, second = load_style_settings(file), load_style_settings(other)
    assert (alone.name, find_style(file, "great-wave").name) == ("a", "a -> great-wave")
    assert not same(alone.start, second.start)
    both = load_style_settings(f"{file}:3,{other}:1")
    mean = alone.start.style.lerp(second.start.style, 0.25)
    assert all(map(torch.allclose, both.start.style.tensors(), mean.tensors()))
    mixed = load_style_settings(f"{file}:0.5,great-wave:0.5", file, 1.0)
    assert mixed.name == "a:0.5,great-wave:0.5 -> a"
    assert mixed.end is not None
    assert same(mixed.end, alone.start)


def test_dials_change_the_style(any_picture: Path, tmp_path: Path) -> None:
    file = str(write_picture(tmp_path / "a.png"))
    usual, more, still = (load_style_settings(file, dials=d).start for d in (None, Dials(paint=2), Dials(stillness=2)))
    assert same(usual, load_style_settings(file, dials=Dials()).start)
    assert not same(usual, more)
    assert not same(usual, still)
    assert not same(more, still)


def test_the_style_is_exactly_the_same_each_time_and_as_a_weight_file(any_picture: Path, tmp_path: Path) -> None:
    file = write_picture(tmp_path / "a.png", (300, 200))
    first = predict_style(file)
    _predict.cache_clear()
    torch.set_num_threads(2)
    assert same(first, predict_style(file))
    assert torch.get_num_threads() == 2
    (tmp_path / "a.safetensors").write_bytes(to_bytes(first.network, [first.style], [first.metadata], {}))
    assert same(first, load_style_settings(str(tmp_path / "a.safetensors")).start)


def test_a_picture_that_was_replaced_has_another_style(any_picture: Path, tmp_path: Path) -> None:
    first = predict_style(write_picture(tmp_path / "a.png"))
    assert not same(first, predict_style(write_picture(tmp_path / "a.png", seed=1)))


def test_bad_pictures_are_found_before_anything_is_loaded(any_picture: Path, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("hello")
    Image.new("RGB", (1, 1)).save(tmp_path / "pixel.png")
    cases = {"text.jpg": "not an image", "pixel.png": "1x1 px is too small", "none.png": "no such file"}
    for name, reason in cases.items():
        with pytest.raises(InputError, match=f"{name}: .*{reason}"):
            find_style(f"great-wave:0.5,{tmp_path / name}:0.5")


def test_without_the_predictor_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.predictor.BUNDLED", tmp_path / "predictor.safetensors")
    file = str(write_picture(tmp_path / "a.png"))
    for find in (find_style, load_style_settings):
        with pytest.raises(StyleError, match=r"predictor\.safetensors: missing, .*reinstall flowbrush"):
            find(file)


def test_the_bundled_predictor_gives_a_clip_the_colors_of_the_picture_and_keeps_its_content(tmp_path: Path) -> None:
    frame = moving_square(3, height=96, width=128)
    means = []
    for name, dark, bright in (("fire", (60, 0, 0), (250, 200, 60)), ("ice", (0, 20, 70), (180, 230, 250))):
        pixels = np.where(stripes(128, 128).numpy()[1, ..., None] > 0, dark, bright).astype(np.uint8)
        path = tmp_path / f"{name}.png"
        Image.fromarray(pixels).save(path)
        config = StylizeConfig(style_image=str(path), engine="eager", device="cpu", stability="none")
        (stylized,) = stylize_frames([frame], config)
        means.append(stylized.mean(axis=(0, 1)))
        gray = np.corrcoef(frame.mean(axis=2).ravel(), stylized.mean(axis=2).ravel())
        assert abs(gray[0, 1]) > 0.3, "nothing of the content is left"
    fire, ice = means
    assert fire[0] > fire[2] + 40
    assert ice[2] > ice[0] + 40
