"""How styles and blends are written."""

from pathlib import Path

import pytest

from pipeline.config import StylizeConfig
from pipeline.style_spec import WeightedStyle, parse_blend, rename_styles


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
        ("", "lacks a name"),
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
