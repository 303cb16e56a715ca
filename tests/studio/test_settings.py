"""The settings of a page: every value is checked, and names nothing but known styles."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import StylizeConfig
from pipeline.config.style_spec import WeightedStyle, parse_blend
from pipeline.studio.settings import MOST_TEXT, default_settings, parse_json, read_settings

KNOWN = ("great-wave", "minotaur", "mondrian")
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(KNOWN),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.sampled_from(["name", "weight", "strength", "styles", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


def test_settings_of_the_page() -> None:
    settings = read_settings(
        {
            "type": "settings",
            "styles": [{"name": "great-wave", "weight": 0.6}, {"name": "minotaur", "weight": 0.2}],
            "strength": 0.5,
            "keep_colors": True,
            "stability": "flow",
            "mirror": True,
        },
        KNOWN,
    )
    assert [each.style for each in settings.styles] == ["great-wave", "minotaur"]
    assert settings.weights == pytest.approx({"great-wave": 0.75, "minotaur": 0.25})
    assert settings.spec == "great-wave:0.75,minotaur:0.25"
    config = settings.stylize_config(StylizeConfig(style="mondrian", engine="eager", style_end="minotaur"))
    assert (config.style, config.style_end, config.engine) == (settings.spec, None, "eager")
    assert (config.strength, config.keep_colors, config.stability) == (0.5, True, "flow")
    assert settings.mirror


def test_names_of_pictures_stand_for_their_weight_files() -> None:
    styles = [{"name": "picture-1", "weight": 0.5}, {"name": "minotaur", "weight": 0.5}]
    settings = read_settings({"styles": styles, "strength": 0.5}, [*KNOWN, "picture-1"])
    located = settings.located({"picture-1": "/a/b,c/1.safetensors", "picture-2": "/x"})
    assert [each.style for each in located.styles] == ["/a/b,c/1.safetensors", "minotaur"]
    assert [each.style for each in parse_blend(located.spec)] == ["/a/b,c/1.safetensors", "minotaur"]
    assert (located.weights["minotaur"], located.strength) == (0.5, 0.5)
    with pytest.raises(ValueError, match="the picture of this style is no longer here; add it again"):
        read_settings({"styles": styles}, KNOWN)


def test_settings_are_stored_as_they_are_read_and_without_what_else_was_sent() -> None:
    styles = [{"name": "great-wave", "weight": 0.6}, {"name": "minotaur", "weight": 0.2}]
    settings = read_settings({"type": ["x" * 1000], "styles": styles, "strength": 0.5, "mirror": True}, KNOWN)
    stored = json.loads(json.dumps(settings.as_json()))
    assert set(stored) == {"styles", "strength", "keep_colors", "stability", "mirror"}
    again = read_settings(stored, KNOWN)
    assert again.weights == pytest.approx(settings.weights)
    assert (again.strength, again.mirror, again.stability) == (0.5, True, "smooth")


def test_what_is_missing_takes_its_default() -> None:
    assert read_settings({"styles": [{"name": "minotaur"}]}, KNOWN) == default_settings("minotaur")
    assert default_settings("minotaur").spec == "minotaur"


def test_a_style_of_weight_0_is_left_out() -> None:
    styles = [{"name": "great-wave", "weight": 0}, {"name": "minotaur", "weight": 0.3}]
    assert read_settings({"styles": styles}, KNOWN).styles == (WeightedStyle("minotaur", 1.0),)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"styles": None}, "a list of 1 to 4"),
        ({"styles": []}, "a list of 1 to 4"),
        ({"styles": [{"name": name} for name in KNOWN] * 2}, "a list of 1 to 4"),
        ({"styles": ["great-wave"]}, "a name and a weight"),
        ({"styles": [{"name": "great-wave", "file": "x"}]}, "nothing else"),
        ({"styles": [{"name": "/etc/passwd.safetensors"}]}, "no style '/etc/passwd.safetensors'"),
        ({"styles": [{"name": ["great-wave"]}]}, "no style"),
        ({"styles": [{"name": "a\n\u202e" * 50}]}, r"no style 'a\\n\\u202e"),
        ({"styles": [{"name": "mondrian"}, {"name": "mondrian"}]}, "named twice"),
        ({"styles": [{"name": "mondrian", "weight": 0}]}, "the weight 0"),
        ({"styles": [{"name": "mondrian", "weight": float("nan")}]}, "weight must be"),
        ({"strength": 1.5}, "strength must be a number from 0 to 1, not 1.5"),
        ({"strength": True}, "strength must be"),
        ({"strength": "1"}, "strength must be"),
        ({"strength": 10**400}, "strength must be"),
        ({"keep_colors": 1}, "keep_colors must be true or false"),
        ({"stability": "all"}, "stability must be one of none, smooth, flow"),
        ({"stability": ["none"]}, "stability must be"),
        ({"device": "cuda"}, "there is no setting 'device'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        read_settings({"styles": [{"name": "mondrian"}]} | changes, KNOWN)
    line = str(raised.value)
    assert line.isascii()
    assert line.isprintable()
    assert len(line) < 160


@given(ANYTHING)
def test_anything_is_settings_or_a_line(value: object) -> None:
    values = value if isinstance(value, dict) else {"styles": value}
    with suppress(ValueError):
        assert sum(read_settings(values, KNOWN).weights.values()) == pytest.approx(1)


@pytest.mark.parametrize("text", ["", "{", "[1]", "1", '"a"', b"\xff\xfe\xfd", "[" * 5000, "{" + " " * MOST_TEXT + "}"])
def test_only_a_short_json_object_is_read(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"; (reload|16384)"):
        parse_json(text)
    assert parse_json(json.dumps({"a": 1})) == {"a": 1}
