"""The preview of all styles: which frame, which styles, and a legible page."""

import itertools
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import cli
from models.network import Architecture, StyleNetwork
from models.registry import StyleMetadata, bundled, to_bytes
from pipeline.console.config import PreviewConfig
from pipeline.console.preview import MARGIN_PX, Tile, draw_page, draw_preview, make_tiles
from pipeline.errors import InputError, OutputError, StyleError
from pipeline.frames import Pixels
from pipeline.media.stills import read_image
from pipeline.stylize.style import styles_in
from tests.support.media import Clip, make_clip, moving_square
from tests.support.networks.pictures import write_picture

NAMES = list(bundled())


@pytest.fixture
def clip(tmp_path: Path) -> str:
    """Three seconds in which a square moves; its pixels are twice as wide as high."""
    path = make_clip(tmp_path / "clip.mp4", Clip(pts=range(0, 15360 * 3, 1536), sample_aspect_ratio=Fraction(2)))
    return str(path)


def square_is_at(pixels: Pixels, index: int) -> bool:
    return float(np.abs(pixels.astype(int) - moving_square(index)).mean()) < 4


def test_every_style_has_its_tile(clip: str) -> None:
    calls: list[tuple[int, int]] = []
    tiles, aspect = make_tiles(PreviewConfig(clip=clip), NAMES, progress=lambda *state: calls.append(state))
    assert aspect == pytest.approx(2 * 64 / 48)
    assert [tile.title for tile in tiles] == ["original", *NAMES]
    assert "Hokusai" in tiles[1 + NAMES.index("great-wave")].subtitle
    assert calls == [(number + 2, len(tiles)) for number in range(len(NAMES))]
    for one, other in itertools.pairwise(tiles):
        assert np.abs(one.pixels.astype(int) - other.pixels).mean() > 5


def test_pictures_have_tiles_beside_the_bundled_styles(clip: str, tmp_path: Path, any_picture: Path) -> None:
    picture = write_picture(tmp_path / "My Wave.png")
    config = PreviewConfig(clip=clip, style_images=(str(picture),))
    (_, usual), _ = make_tiles(config, config.style_images)
    (_, more), _ = make_tiles(replace(config, paint=4), config.style_images)
    assert usual.title == "my-wave"
    assert np.abs(usual.pixels.astype(int) - more.pixels).mean() > 1
    assert draw_preview(tmp_path / "page.png", config) == 2 + len(NAMES)
    with pytest.raises(ValueError, match="give --style-image"):
        replace(config, style_images=(), stillness=2)


def test_the_frame_is_the_one_in_the_middle_or_the_one_asked_for(clip: str) -> None:
    for at, index in ((None, 15), (Fraction(2), 20), (Fraction(0), 0)):
        (tile,), _ = make_tiles(PreviewConfig(clip=clip, at_seconds=at), [])
        assert square_is_at(tile.pixels, index)
        assert not square_is_at(tile.pixels, index + 3)
    with pytest.raises(InputError, match="9 s"):
        make_tiles(PreviewConfig(clip=clip, at_seconds=Fraction(9)), [])
    (sample,), _ = make_tiles(PreviewConfig(), [])
    assert sample.pixels.shape == (360, 640, 3)


def test_a_file_shows_all_of_its_styles_or_one(clip: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = StyleNetwork(Architecture(widths=(4, 6, 8), blocks=1, kernel=3))
    file = tmp_path / "mine.safetensors"
    hay = network.initial_style()
    styles = [hay, replace(hay, shift=torch.randn_like(hay.shift))]
    file.write_bytes(to_bytes(network, styles, [StyleMetadata("hay"), StyleMetadata("snow")], {}))
    names = [*styles_in(str(file)), *styles_in(f"{file}#snow")]
    tiles, _ = make_tiles(PreviewConfig(clip=clip), names)
    assert [tile.title for tile in tiles] == ["original", "hay", "snow", "snow"]
    assert np.array_equal(tiles[3].pixels, tiles[2].pixels)
    assert not np.array_equal(tiles[3].pixels, tiles[1].pixels)
    target = tmp_path / "page.png"
    assert draw_preview(target, PreviewConfig(clip=clip, style_files=(str(file),))) == len(NAMES) + 3
    assert read_image(target).std() > 10
    for wrong in ("nowhere.safetensors", f"{file}#lost"):
        with pytest.raises(StyleError):
            draw_preview(tmp_path / "none.png", PreviewConfig(clip=clip, style_files=(wrong,)))
    assert not (tmp_path / "none.png").exists()


def test_what_cannot_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "page.png").write_bytes(b"precious")
    for target, reason in (
        ("page.png", "exists.*--overwrite"),
        ("page.mp4", r"ends in .*\.png"),
        ("missing/page.png", "folder .*missing"),
        (".", "ends in"),
    ):
        with pytest.raises(OutputError, match=reason):
            draw_preview(tmp_path / target, PreviewConfig(clip="nowhere.mp4"))
    assert (tmp_path / "page.png").read_bytes() == b"precious"
    with pytest.raises(InputError, match="no such file"):
        draw_preview(tmp_path / "page.png", PreviewConfig(clip="nowhere.mp4", overwrite=True))
    assert (tmp_path / "page.png").read_bytes() == b"precious"
    with pytest.raises(ValueError, match="device"):
        PreviewConfig(device="gpu")


@pytest.mark.parametrize("aspect", [0.02, 0.5, 1.0, 16 / 9, 40.0])
def test_a_page_for_any_shape_of_frame(aspect: float) -> None:
    """All frames are on the page in their shape, none overlaps the next, and the page is neither tiny nor endless."""
    tiles = [Tile(np.full((4, 4, 3), 20 * number, np.uint8), f"style {number}", "painter") for number in range(12)]
    page = draw_page(tiles, aspect)
    assert 300 < page.shape[0] < 3500
    assert 300 < page.shape[1] < 3500
    for number in range(12):
        rows, columns = np.nonzero((page == 20 * number).all(axis=2))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        if number not in (0, 1):  # the text has pixels of their greys
            assert len(rows) == height * width
            assert width / height == pytest.approx(aspect, rel=0.1)


def test_text_stays_within_its_tile() -> None:
    long = [Tile(np.zeros((4, 4, 3), np.uint8), "W" * 200, "M" * 200)] * 2
    page = draw_page(long, 1.0, columns=2)
    middle = page.shape[1] // 2
    gap = page[:, middle - MARGIN_PX // 2 + 1 : middle + MARGIN_PX // 2 - 1]
    assert (gap == gap[0, 0]).all(), "the title of the left tile runs into the right one"
    blank = draw_page([Tile(long[0].pixels, "")], 1.0)
    assert (draw_page([Tile(long[0].pixels, "night")], 1.0) != blank).any(), "the title is not drawn"


def test_the_command(clip: str, tmp_path: Path) -> None:
    target = tmp_path / "page.jpg"
    arguments = ["styles", "--preview", str(target), "--clip", clip, "--at", "0:01"]
    result = CliRunner().invoke(cli.app, [*arguments, "--json"])
    assert json.loads(result.stdout) == {"preview": str(target), "tiles": len(NAMES) + 1}
    assert read_image(target).shape[1] > 480
    again = CliRunner().invoke(cli.app, arguments)
    assert again.exit_code == 4
    assert again.stderr.count("\n") == 1
    assert "--overwrite" in again.stderr
    alone = CliRunner().invoke(cli.app, ["styles", "--clip", clip])
    assert alone.exit_code == 2
    assert "belong to --preview" in alone.stderr
