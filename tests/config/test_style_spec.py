"""How styles and blends are written."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import StylizeConfig
from pipeline.config.style_spec import Dials, WeightedStyle, has_picture, is_picture, parse_blend, rename_styles


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("a", [("a", 1)]),
        ("a:0.5", [("a", 1)]),
        ("a:0.7,b:0.3", [("a", 0.7), ("b", 0.3)]),
        ("a:3, b:1", [("a", 0.75), ("b", 0.25)]),
        ("a,b", [("a", 0.5), ("b", 0.5)]),
        ("a:0,b:2", [("a", 0), ("b", 1)]),
        ("C:\\my.safetensors", [("C:\\my.safetensors", 1)]),
        ("C:\\my.safetensors#x:1,b:1e0", [("C:\\my.safetensors#x", 0.5), ("b", 0.5)]),
        ("night: rain:.5,b:.5", [("night: rain", 0.5), ("b", 0.5)]),
        ("/my, own/x.safetensors:1,b:3", [("/my, own/x.safetensors", 0.25), ("b", 0.75)]),
    ],
)
def test_a_blend_is_parsed(spec: str, parts: list[tuple[str, float]]) -> None:
    found = parse_blend(spec)
    assert [part.style for part in found] == [name for name, _ in parts]
    assert [part.weight for part in found] == pytest.approx([weight for _, weight in parts])


def test_a_file_with_a_comma_in_its_name_is_one_style(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("one,two.safetensors").touch()
    assert parse_blend("one,two.safetensors") == (WeightedStyle("one,two.safetensors", 1.0),)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (",", "lacks a name"),
        ("a:1,", "lacks a name"),
        (":0.5", "lacks a name"),
        ("a:0.7,b", "give one to each, or to none"),
        ("a:-1,b:2", "between 0 and"),
        ("a:1e400,b:1", "between 0 and"),
        ("a:0,b:0", "above 0"),
    ],
)
def test_a_wrong_blend_is_refused(spec: str, reason: str) -> None:
    for wrong in ({"style": spec}, {"style": "a", "style_end": spec}):
        with pytest.raises(ValueError, match=reason):
            StylizeConfig(**wrong)


def test_styles_are_renamed_and_weights_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("one,two.safetensors").touch()
    assert rename_styles("a:0.70, b:.3", str.upper) == "A:0.70,B:.3"
    assert rename_styles("one,two.safetensors", str.upper) == "ONE,TWO.SAFETENSORS"


def test_names_that_end_as_pictures_do_are_pictures() -> None:
    assert all(map(is_picture, ("a.jpg", "b/c d.PNG", "x.tiff", "C:\\a.webp")))
    assert not any(map(is_picture, ("great-wave", "a.safetensors", "a.safetensors#b.jpg", "jpg", "a.gif", "a.mp4")))
    assert has_picture("great-wave:0.5,a.jpg:0.5")
    assert not has_picture("great-wave", None, "a.safetensors")


def test_paths_of_pictures_may_have_commas_and_weights() -> None:
    parts = parse_blend("my/in,here/a.jpg:3,b/c,d.png:1,great-wave:4")
    assert [(part.style, part.weight) for part in parts] == [
        ("my/in,here/a.jpg", 0.375),
        ("b/c,d.png", 0.125),
        ("great-wave", 0.5),
    ]
    assert rename_styles("x/a.jpg:3,b.png:1", str.upper) == "X/A.JPG:3,B.PNG:1"


def test_style_or_style_image_is_required_and_dials_need_a_picture() -> None:
    blend = "a.jpg:0.7,b.png:0.3"
    assert StylizeConfig(style_image=blend, paint=2) == StylizeConfig(style=blend, paint=2)
    assert replace(StylizeConfig(style_image="a.jpg"), strength=0.5).style == "a.jpg"
    assert StylizeConfig(style="great-wave", style_end="a.jpg", stillness=0.5).dials == Dials(1, 0.5)
    wrong: dict[str, dict[str, Any]] = {
        "give --style STYLE, or --style-image": {},
        "exclude each other; a blend may have both": {"style": "great-wave", "style_image": "a.jpg"},
        "great-wave: not the name of a picture": {"style_image": "great-wave"},
        "a.txt: not the name of a picture": {"style_image": "b.jpg,a.txt"},
        "give --style-image": {"style": "great-wave", "paint": 2},
        "paint must be between 0.25 and 4, not 5": {"style_image": "a.jpg", "paint": 5},
        "stillness must be between 0.25 and 4, not 0.1": {"style_image": "a.jpg", "stillness": 0.1},
    }
    for message, given in wrong.items():
        with pytest.raises(ValueError, match=message):
            StylizeConfig(**given)
