"""Style images of every kind: still images, clips, scrolls, and files that are none."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.losses import gram_matrix
from models.training.losses.objective import LossWeights, StyleTransferObjective
from pipeline.errors import InputError
from pipeline.media.style_image import at_size, is_flat
from pipeline.train.style_images import read_style_image
from tests.support.media import Clip, make_clip
from tests.support.tiny import loss_network, stripes

pytestmark = pytest.mark.usefixtures("one_thread")


def write(path: Path, picture: torch.Tensor) -> Path:
    Image.fromarray(picture.permute(1, 2, 0).numpy()).save(path)
    return path


def test_a_still_image_is_one_style_image(tmp_path: Path) -> None:
    pictures = read_style_image(write(tmp_path / "stripes.png", stripes()))
    assert [picture.shape for picture in pictures] == [(80, 96, 3)]
    assert at_size(pictures, 120).shape == (1, 3, 120, 144)


def test_some_frames_of_a_clip_are_used(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", Clip(width=96, height=72, pts=tuple(range(0, 512 * 30, 512))))
    pictures = read_style_image(clip)
    assert len(pictures) == 6
    assert {picture.shape for picture in pictures} == {(72, 96, 3)}
    assert len({picture.tobytes() for picture in pictures}) == 6


@pytest.mark.parametrize("turned", [False, True])
def test_a_scroll_is_cut_into_crops(tmp_path: Path, turned: bool) -> None:
    picture = stripes(64, 640)
    picture[2] = torch.linspace(0, 255, 640).to(torch.uint8)
    pictures = read_style_image(write(tmp_path / "scroll.png", picture.transpose(1, 2) if turned else picture))
    assert {picture.shape for picture in pictures} == {(128, 64, 3) if turned else (64, 128, 3)}
    assert pictures[0][0, 0, 2] < 2
    assert pictures[-1][-1, -1, 2] > 253


@pytest.mark.parametrize("name", ["large.jpg", "large.png"])
def test_a_very_large_style_image_is_reduced(tmp_path: Path, name: str) -> None:
    Image.new("RGB", (4500, 4100), "red").save(tmp_path / name)
    assert read_style_image(tmp_path / name)[0].shape == (2050, 2250, 3)


def test_a_style_image_larger_than_memory_is_refused(tmp_path: Path) -> None:
    Image.new("1", (16000, 16000)).save(tmp_path / "huge.png")
    with pytest.raises(InputError, match=r"huge\.png: .*16000x16000"):
        read_style_image(tmp_path / "huge.png")


def test_pillows_own_limit_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert read_style_image(write(tmp_path / "phone.png", stripes()))[0].shape == (80, 96, 3)
    assert Image.MAX_IMAGE_PIXELS == 1000


@pytest.mark.parametrize("name", ["text.txt", "text.mp4"])
def test_a_text_is_not_a_style_image(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("a thousand words\n" * 20)
    with pytest.raises(InputError, match=rf"{name}: neither an image nor a video"):
        read_style_image(tmp_path / name)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.png: no such file"):
        read_style_image(tmp_path / "gone.png")
    with pytest.raises(InputError, match="is a folder"):
        read_style_image(tmp_path)


def test_a_small_clip_is_not_a_style_image(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"small\.mp4: 64x48 px is too small"):
        read_style_image(make_clip(tmp_path / "small.mp4"))


def test_one_color_is_flat() -> None:
    assert is_flat([np.full((70, 70, 3), 200, np.uint8)])
    assert not is_flat([stripes().permute(1, 2, 0).numpy()])
    assert not is_flat([np.full((70, 70, 3), 200, np.uint8), np.full((70, 70, 3), 100, np.uint8)])


def test_the_style_of_several_images_is_averaged() -> None:
    network = loss_network()
    objective = StyleTransferObjective([network])
    both = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    _, *grams = objective.targets(both, LossWeights())
    for layer, gram in zip(network.layers.style, grams[: len(network.layers.style)], strict=True):
        expected = (gram_matrix(network(both[:1])[layer]) + gram_matrix(network(both[1:])[layer]))[0] / 2
        torch.testing.assert_close(gram, expected)
    (one, other) = (objective.targets(image[None], LossWeights())[1:] for image in both)
    for found, *each in zip(grams, one, other, strict=True):
        torch.testing.assert_close(found, (each[0] + each[1]) / 2)
