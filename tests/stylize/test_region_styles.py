"""``--style fg:a,bg:b``: two styles in one clip or picture, and what is said where they cannot be."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.network import Architecture, StyleNetwork
from models.registry import StyleMetadata, to_bytes
from pipeline.batch.config import read_styles
from pipeline.config import StylizeConfig, VideoConfig
from pipeline.config.style_spec import parse_blend, parse_regions, parse_style, rename_styles
from pipeline.decode.masks.mask import make_mask
from pipeline.errors import DeviceError, StyleError
from pipeline.frames import Frame, SegmentBoundary
from pipeline.image.config import ImageConfig
from pipeline.image.run import stylize_images
from pipeline.live.config import LiveConfig
from pipeline.resume.fingerprint import style_hashes
from pipeline.stylize.style import find_style
from pipeline.stylize.stylizer import Stylizer
from tests.support.media import moving_square

pytestmark = pytest.mark.usefixtures("one_thread")


def write_style(path: Path, name: str, architecture: Architecture, seed: int) -> Path:
    import torch

    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        network = StyleNetwork(architecture)
        path.write_bytes(to_bytes(network, [network.initial_style()], [StyleMetadata(name, licence="none")], {}))
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    tiny = Architecture(widths=(4, 6, 8), blocks=1, kernel=3)
    return write_style(tmp_path / "a.safetensors", "a", tiny, 1), write_style(tmp_path / "b.safetensors", "b", tiny, 2)


@pytest.fixture
def style(files: tuple[Path, Path]) -> StylizeConfig:
    spec = f"fg:{files[0]},bg:{files[1]}"
    return StylizeConfig(style=spec, engine="eager", device="cpu", precision="fp32", stability="none")


@pytest.fixture
def mask(tmp_path: Path) -> str:
    pixels = np.zeros((48, 160), np.uint8)
    pixels[:, :80] = 255
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    return str(tmp_path / "mask.png")


def clip(count: int) -> list[Frame]:
    return [Frame(moving_square(number, width=160), number, Fraction(1, 25)) for number in range(count)]


def stylizer(style: StylizeConfig, mask: str) -> Stylizer:
    return Stylizer(style, height=48, width=160, mask=make_mask(mask, width=160, height=48))


def test_specs_of_regions_are_read() -> None:
    assert parse_regions("fg:a,bg:b") == parse_regions("bg:b, fg:a") == ("a", "b")
    assert parse_regions("fg:a:0.7,c:0.3,bg:b") == ("a:0.7,c:0.3", "b")
    assert parse_regions("fg:C:\\x.safetensors,bg:b") == ("C:\\x.safetensors", "b")
    assert parse_regions("a,b") is None
    assert [part.style for part in parse_style("fg:a:0.7,c:0.3,bg:b")] == ["a", "c", "b"]
    assert rename_styles("bg:b,fg:a:0.7,c:0.3", str.upper) == "fg:A:0.7,C:0.3,bg:B"
    assert read_styles(["fg:a,bg:b", "c,d"]) == ("fg:a,bg:b", "c", "d")
    assert find_style("fg:great-wave,bg:minotaur").name == "fg:great-wave,bg:minotaur"
    for wrong in ("fg:a", "fg:a,fg:b", "bg:a", "fg:a,b"):
        with pytest.raises(ValueError, match="both regions"):
            parse_regions(wrong)
    with pytest.raises(ValueError, match="two regions"):
        parse_blend("fg:a,bg:b")


def test_each_region_has_its_style(style: StylizeConfig, files: tuple[Path, Path], mask: str) -> None:
    (both,) = stylizer(style, mask)(clip(1))
    for file, columns in zip(files, (slice(0, 80), slice(80, 160)), strict=True):
        (whole,) = stylizer(replace(style, style=f"fg:{file},bg:{file}"), mask)(clip(1))
        np.testing.assert_array_equal(both.pixels[:, columns], whole.pixels[:, columns])
    single = stylizer(style, mask).stylize(clip(1)[0].pixels)
    np.testing.assert_array_equal(single, both.pixels)


def test_the_mask_is_no_blend_with_the_original(style: StylizeConfig, mask: str) -> None:
    (both,) = stylizer(style, mask)(clip(1))
    assert np.abs(both.pixels[:, 90:].astype(int) - clip(1)[0].pixels[:, 90:]).mean() > 5


@pytest.mark.parametrize("stability", ["smooth", "flow"])
def test_a_clip_resumes_exactly(style: StylizeConfig, mask: str, stability: str) -> None:
    stable = replace(style, stability=stability)  # type: ignore[arg-type]
    frames = clip(9)
    frames[5] = replace(frames[5], boundary=SegmentBoundary(6))
    whole = list(stylizer(stable, mask)(frames))
    assert whole[5].boundary is not None
    rest = list(stylizer(stable, mask)(frames[6:], whole[5].boundary.state))
    for one, other in zip(whole[6:], rest, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)


def test_a_picture_with_two_styles(style: StylizeConfig, mask: str, tmp_path: Path) -> None:
    Image.fromarray(clip(1)[0].pixels).save(tmp_path / "in.png")
    config = ImageConfig(inputs=(str(tmp_path / "in.png"),), output=str(tmp_path / "out.png"), stylize=style, mask=mask)
    summary = stylize_images(config)
    assert summary.style == "fg:a,bg:b"
    (expected,) = stylizer(style, mask)(clip(1))
    with Image.open(tmp_path / "out.png") as image:
        np.testing.assert_array_equal(np.asarray(image), expected.pixels)


def test_regions_swapped_are_another_render(style: StylizeConfig, files: tuple[Path, Path], mask: str) -> None:
    config = VideoConfig(source="a", target="b", stylize=style, mask=mask)
    a, b = files
    specs = (style.style, f"fg:{b},bg:{a}", f"{a}", f"{a},{b}")
    hashes = [style_hashes(replace(config, stylize=replace(style, style=spec))) for spec in specs]
    assert all(hashes.count(each) == 1 for each in hashes)


def test_what_cannot_work_gets_one_line(style: StylizeConfig, mask: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs --mask"):
        VideoConfig(source="a", target="b", stylize=style)
    with pytest.raises(ValueError, match="need a mask"):
        Stylizer(style, height=48, width=160)
    with pytest.raises(ValueError, match="do not fade"):
        replace(style, style_end="great-wave")
    with pytest.raises(ValueError, match="two regions"):
        LiveConfig(stylize=style)
    with pytest.raises(DeviceError, match="need --engine eager"):
        stylizer(replace(style, engine="compile"), mask)
    wide = write_style(tmp_path / "wide.safetensors", "wide", Architecture(widths=(4, 6, 10), blocks=1, kernel=3), 3)
    with pytest.raises(StyleError, match="different sizes"):
        stylizer(replace(style, style=f"fg:{tmp_path / 'a.safetensors'},bg:{wide}"), mask)
