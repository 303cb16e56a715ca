"""Paintings of every kind: pictures, clips, scrolls, and what is none."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.losses import gram_matrix
from models.training.objective import PaintingObjective, Weights
from pipeline.errors import InputError
from pipeline.train.style_images import at_size, is_flat, read_painting
from tests.support.media import Clip, make_clip
from tests.support.tiny import loss_network, photos, stripes

pytestmark = pytest.mark.usefixtures("one_thread")


def write(path: Path, picture: torch.Tensor) -> Path:
    Image.fromarray(picture.permute(1, 2, 0).numpy()).save(path)
    return path


def test_a_picture_is_one_painting(tmp_path: Path) -> None:
    pictures = read_painting(write(tmp_path / "stripes.png", stripes()))
    assert [picture.shape for picture in pictures] == [(80, 96, 3)]
    assert at_size(pictures, 120).shape == (1, 3, 120, 144)


def test_of_a_clip_some_frames_are_seen(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", Clip(width=96, height=72, pts=tuple(range(0, 512 * 30, 512))))
    pictures = read_painting(clip)
    assert len(pictures) == 6
    assert {picture.shape for picture in pictures} == {(72, 96, 3)}
    assert len({picture.tobytes() for picture in pictures}) == 6


@pytest.mark.parametrize("turned", [False, True])
def test_a_scroll_is_seen_in_windows(tmp_path: Path, turned: bool) -> None:
    picture = stripes(64, 640)
    picture[2] = torch.linspace(0, 255, 640).to(torch.uint8)
    pictures = read_painting(write(tmp_path / "scroll.png", picture.transpose(1, 2) if turned else picture))
    assert {picture.shape for picture in pictures} == {(128, 64, 3) if turned else (64, 128, 3)}
    assert pictures[0][0, 0, 2] < 2
    assert pictures[-1][-1, -1, 2] > 253


def test_a_very_large_painting_is_reduced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.train.style_images.SUFFICIENT_PX", 80)
    large = photos(1, height=400, width=500)[0]
    sizes = {name: read_painting(write(tmp_path / name, large))[0].shape for name in ("large.jpg", "large.png")}
    assert sizes == {"large.jpg": (100, 125, 3), "large.png": (80, 100, 3)}  # a JPEG is read at a half, a quarter ...


def test_a_painting_larger_than_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.media.stills.MAX_IMAGE_PIXELS", 9000)
    with pytest.raises(InputError, match=r"huge\.png: .*100x100 .*; scale it down"):
        read_painting(write(tmp_path / "huge.png", stripes(100, 100)))


def test_pillows_own_limit_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert read_painting(write(tmp_path / "phone.png", stripes()))[0].shape == (80, 96, 3)
    assert Image.MAX_IMAGE_PIXELS == 1000


@pytest.mark.parametrize("name", ["text.txt", "text.mp4"])
def test_a_text_is_no_painting(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("a thousand words\n" * 20)
    with pytest.raises(InputError, match=rf"{name}: neither a picture nor a video that can be read"):
        read_painting(tmp_path / name)


def test_what_is_not_there_or_a_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.png: no such file"):
        read_painting(tmp_path / "gone.png")
    with pytest.raises(InputError, match="is a folder; name one picture in it"):
        read_painting(tmp_path)


def test_a_small_clip_is_no_painting(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"small\.mp4: 64x48 px is too small"):
        read_painting(make_clip(tmp_path / "small.mp4"))


def test_one_colour_is_told_from_a_painting() -> None:
    assert is_flat([np.full((70, 70, 3), 200, np.uint8)])
    assert not is_flat([stripes().permute(1, 2, 0).numpy()])
    assert not is_flat([np.full((70, 70, 3), 200, np.uint8), np.full((70, 70, 3), 100, np.uint8)])


def test_the_look_of_several_pictures_is_averaged() -> None:
    network = loss_network()
    objective = PaintingObjective([network])
    both = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    weights, *grams = objective.targets(both, Weights())
    assert torch.equal(weights, Weights().tensor())
    for layer, gram in zip(network.layers.style, grams, strict=True):
        expected = (gram_matrix(network(both[:1])[layer]) + gram_matrix(network(both[1:])[layer]))[0] / 2
        torch.testing.assert_close(gram, expected)
