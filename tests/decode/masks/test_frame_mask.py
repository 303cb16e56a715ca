"""Soft edges, and masks that are made from the frame: a color key, and luminance."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.config import StylizeConfig, VideoConfig
from pipeline.config.mask_spec import ColorKey, LumaRange, parse_mask
from pipeline.decode.masks.frame_mask import blend
from pipeline.decode.masks.mask import make_mask
from pipeline.resume.fingerprint import mask_hash

ZERO = Fraction(0)
COLORS = {
    "screen": (0, 255, 0),
    "screen in shadow": (20, 190, 20),
    "skin": (220, 170, 140),
    "white": (255, 255, 255),
    "black": (0, 0, 0),
    "leaf": (60, 110, 30),
}


def patches() -> np.ndarray:
    """One column of 4 pixels for each color."""
    return np.repeat(np.array([[*COLORS.values()]], np.uint8), 4, axis=1).repeat(5, axis=0)


def amounts(mask: str, pixels: np.ndarray | None = None) -> dict[str, float]:
    pixels = patches() if pixels is None else pixels
    amount = make_mask(mask, width=24, height=5).amount(pixels, ZERO)
    assert amount.shape == (5, 24, 1)
    return {name: float(amount[2, 4 * number + 1, 0]) for number, name in enumerate(COLORS)}


def test_a_key_leaves_its_color_out() -> None:
    found = amounts("key:#00ff00")
    assert found["screen"] == found["screen in shadow"] == 0
    assert found["skin"] == found["white"] == found["black"] == found["leaf"] == 1
    narrow, wide = amounts("key:#00ff00:0.05"), amounts("key:#00ff00:0.6")
    assert narrow["screen"] == 0
    assert narrow["leaf"] == 1
    assert wide["leaf"] == 0


def test_a_key_without_color_is_told_by_its_light() -> None:
    found = amounts("key:#ffffff")
    assert found["white"] == 0
    assert found["black"] == 1


def test_16_bits_give_the_same_key() -> None:
    deep = patches().astype(np.uint16) * 257
    assert amounts("key:#00ff00", deep) == pytest.approx(amounts("key:#00ff00"), abs=1e-4)


def test_luminance_is_a_mask() -> None:
    found = amounts("luma")
    assert (found["black"], found["white"]) == (0, pytest.approx(1))
    assert found["screen"] == pytest.approx(0.7152, abs=0.001)
    found = amounts("luma:0.5-0.7")
    assert (found["leaf"], found["screen"]) == (0, 1)
    assert found["skin"] == pytest.approx(1, abs=0.002)


@pytest.mark.parametrize(
    "text", ["key:", "key:green", "key:#00ff0", "key:#00ff00:0", "key:#00ff00:2", "luma:0.5", "luma:1-0"]
)
def test_what_is_no_key_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="mask"):
        parse_mask(text)
    with pytest.raises(ValueError, match="mask"):
        VideoConfig(source="a", target="b", stylize=StylizeConfig(style="great-wave"), mask=text)


def test_everything_else_is_a_file() -> None:
    assert parse_mask("key:#102030") == ColorKey((16 / 255, 32 / 255, 48 / 255))
    assert parse_mask("luma:0.25-.5") == LumaRange(0.25, 0.5)
    for file in ("luma.png", "./luma", "keys/%05d.png", "key.png"):
        assert parse_mask(file) is None


def half(tmp_path: Path) -> str:
    pixels = np.zeros((40, 80), np.uint8)
    pixels[:, 40:] = 255
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    return str(tmp_path / "mask.png")


def test_a_feather_makes_a_soft_edge_of_its_width(tmp_path: Path) -> None:
    sharp = make_mask(half(tmp_path), width=80, height=40).amount(patches(), ZERO)[20, :, 0]
    soft = make_mask(half(tmp_path), width=80, height=40, feather_px=10).amount(patches(), ZERO)[20, :, 0]
    assert ((sharp > 0.02) & (sharp < 0.98)).sum() <= 1
    assert 8 <= ((soft > 0.05) & (soft < 0.95)).sum() <= 18
    assert soft[:25].max() == 0
    assert soft[55:].min() == 1
    assert (np.diff(soft) >= 0).all()
    assert abs(soft[39] + soft[40] - 1) < 0.03


def test_a_mask_is_inverted(tmp_path: Path) -> None:
    plain = make_mask(half(tmp_path), width=80, height=40, feather_px=6)
    inverted = make_mask(half(tmp_path), width=80, height=40, feather_px=6, inverted=True)
    np.testing.assert_allclose(plain.amount(patches(), ZERO), 1 - inverted.amount(patches(), ZERO), atol=1e-6)


def test_edges_without_a_mask_are_an_error() -> None:
    for change in ({"feather_px": 3.0}, {"invert_mask": True}):
        with pytest.raises(ValueError, match="belong to --mask"):
            VideoConfig(source="a", target="b", stylize=StylizeConfig(style="great-wave"), **change)  # type: ignore[arg-type]


def test_another_mask_is_another_render(tmp_path: Path) -> None:
    plain = VideoConfig(source="a", target="b", stylize=StylizeConfig(style="great-wave"), mask=half(tmp_path))
    changes = ({}, {"feather_px": 2.0}, {"invert_mask": True}, {"mask": "luma"}, {"mask": "key:#00ff00"})
    hashes = [mask_hash(replace(plain, **change)) for change in changes]  # type: ignore[arg-type]
    assert all(hashes.count(each) == 1 for each in hashes)


def test_blending_rounds_and_keeps_both_ends() -> None:
    noise = np.random.default_rng(0).integers(0, 65536, (2, 150, 30, 3)).astype(np.uint16)
    amount = np.zeros((150, 30, 1), np.float32)
    amount[70:] = 1
    amount[100] = 0.5
    mixed = blend(noise[0], noise[1], amount)
    np.testing.assert_array_equal(mixed[:70], noise[0, :70])
    np.testing.assert_array_equal(mixed[101:], noise[1, 101:])
    np.testing.assert_allclose(mixed[100], noise[:, 100].mean(axis=0), atol=1)
