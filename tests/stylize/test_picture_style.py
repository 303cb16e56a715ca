"""The style of a picture: read by the one place that reads pictures, bad ones named in one line."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.predictor.file import to_bytes
from models.predictor.predictor import StylePredictor
from pipeline.errors import InputError, StyleError
from pipeline.stylize.picture_style import Dials, predict_style
from tests.support.tiny import TINY

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    made = StylePredictor(TINY, hidden=8, directions=2)
    made.start_from(made.network.initial_style(), [made.network.initial_style()])
    torch.nn.init.normal_(made.last.weight, std=0.3)
    file = tmp_path_factory.mktemp("weights") / "any.safetensors"
    file.write_bytes(to_bytes(made, {}))
    return file


def picture(path: Path, size: tuple[int, int], mode: str = "RGB") -> Path:
    """Write a noisy picture of ``size``, width and height."""
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 4), np.uint8)
    Image.fromarray(noise, "RGBA").convert(mode).save(path)
    return path


def test_the_style_is_named_after_the_file(predictor: Path, tmp_path: Path) -> None:
    style = predict_style(picture(tmp_path / "My_Own Picture.png", (90, 70)), predictor=predictor)
    assert style.metadata.name == "my-own-picture"
    assert style.metadata.painting_px == 70  # never enlarged
    assert all(tensor.isfinite().all() for tensor in style.style.tensors())


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1"])
def test_grey_and_transparent_pictures_have_a_style(predictor: Path, tmp_path: Path, mode: str) -> None:
    style = predict_style(picture(tmp_path / "a.png", (80, 80), mode), predictor=predictor)
    assert all(tensor.isfinite().all() for tensor in style.style.tensors())


def test_one_color_and_a_scroll_have_a_style(predictor: Path, tmp_path: Path) -> None:
    Image.new("RGB", (70, 70), "red").save(tmp_path / "red.png")
    for path in (tmp_path / "red.png", picture(tmp_path / "scroll.png", (700, 64))):
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
    file = picture(tmp_path / "a.png", (64, 64))
    with pytest.raises(ValueError, match=r"paint must be from 0\.25 to 4"):
        predict_style(file, Dials(paint=9), predictor)
    with pytest.raises(StyleError, match="not the weights of a predictor"):
        predict_style(file, predictor=file)
