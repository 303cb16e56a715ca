"""``flowbrush pattern``: a texture of any size, its 3x3 tiling, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.image.pattern_config import PatternConfig
from tests.support.commands import run
from tests.support.networks.optimizing import write_optimizing_files

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("optimizing")
    write_optimizing_files(folder)
    return folder


def pattern(folder: Path, output: Path, *options: str | Path) -> tuple[int, str, str]:
    return run(
        *("pattern", folder / "stripes.png", output, "--loss-weights", folder / "loss.pth", "--device", "cpu"), *options
    )


def test_a_texture_is_written_with_its_tiling(folder: Path, tmp_path: Path) -> None:
    options = ("--size", "70x66", "--seamless", "--steps", "2", "--tiled", tmp_path / "tiled.png", "--json")
    code, output, errors = pattern(folder, tmp_path / "out.png", *options)
    assert code == 0, errors
    result = json.loads(output)
    assert (result["width"], result["height"], result["steps"]) == (70, 66, 2)
    with Image.open(tmp_path / "out.png") as image, Image.open(tmp_path / "tiled.png") as tiled:
        texture, many = np.asarray(image), np.asarray(tiled)
    assert texture.shape == (66, 70, 3)
    assert texture.std() > 5
    assert many.shape == (198, 210, 3)
    for row in range(3):
        for column in range(3):
            assert np.array_equal(many[66 * row : 66 * row + 66, 70 * column : 70 * column + 70], texture)


def test_the_same_seed_gives_the_same_texture(folder: Path, tmp_path: Path) -> None:
    contents = []
    for name, seed in {"a": "1", "b": "1", "c": "2"}.items():
        assert pattern(folder, tmp_path / f"{name}.png", "--size", "64x64", "--steps", "1", "--seed", seed)[0] == 0
        contents.append((tmp_path / f"{name}.png").read_bytes())
    assert contents[0] == contents[1] != contents[2]


def test_nothing_is_replaced_or_made_from_what_is_no_picture(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out.png").write_bytes(b"mine")
    code, _, errors = pattern(folder, tmp_path / "out.png", "--size", "64x64")
    assert code == 4
    assert "exists" in errors
    assert (tmp_path / "out.png").read_bytes() == b"mine"
    with pytest.raises(ValueError, match="64x64 or more"):
        PatternConfig(painting="a.jpg", output=tmp_path / "b.png", size=(32, 100))
    with pytest.raises(ValueError, match="not the name of a picture"):
        PatternConfig(painting="great-wave", output=tmp_path / "b.png", size=(64, 64))
