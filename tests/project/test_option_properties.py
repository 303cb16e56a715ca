"""Properties of the parsers of options: whatever is written, a value in its range, or a ValueError."""

import csv
import io
import re
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.batch.config import read_styles
from pipeline.config import DecodeConfig, EncodeConfig, StylizeConfig, VideoConfig
from pipeline.config.arguments import (
    LARGEST_SIDE_PX,
    READERS,
    SMALLEST_SIDE_PX,
    read_frame_size,
    read_memory,
    read_seconds,
)
from pipeline.config.options import configure, option_named, options_of
from pipeline.config.style_spec import parse_blend, rename_styles
from pipeline.errors import printable

# What people and attackers write: any text, text that is almost right, and what TOML gives.
texts = st.text(max_size=40) | st.from_regex(r"[-+]?[0-9.:,eExGMKiB# ]{0,20}", fullmatch=True)
values = texts | st.integers() | st.floats() | st.booleans() | st.none() | st.lists(texts, max_size=3)
OPTIONS = [option for option in options_of(VideoConfig) if option.name not in ("source", "target")]


@given(st.sampled_from(list(READERS)), values)
def test_a_reader_returns_its_type_or_raises_a_value_error(kind: type, value: object) -> None:
    try:
        found = READERS[kind](value)
    except ValueError:
        return
    assert isinstance(found, kind)


@example("9" * 400)
@given(values)
def test_memory_is_a_possible_number_of_bytes(value: object) -> None:
    try:
        found = read_memory(value)
    except ValueError:
        return
    assert 0 <= found <= 2**60


@given(st.integers(1, 2**30), st.sampled_from(["", "B", "K", "kB", " M", "MiB", "G", " gib"]))
def test_memory_counts_in_powers_of_1024(number: int, unit: str) -> None:
    factor = 1024 ** " KMG".index((unit.strip().upper() or " ")[0].replace("B", " "))
    assert read_memory(f"{number}{unit}") == number * factor


@given(st.fractions(0, 10**6, max_denominator=1000))
def test_seconds_are_exact_in_each_notation(seconds: Fraction) -> None:
    thousandths = round(seconds * 1000)
    exact = Fraction(thousandths, 1000)
    minutes, rest = divmod(thousandths, 60_000)
    hours, minutes_left = divmod(minutes, 60)
    tail = f"{rest // 1000:02}.{rest % 1000:03}"
    assert read_seconds(f"{thousandths // 1000}.{thousandths % 1000:03}") == exact
    assert read_seconds(f"{minutes}:{tail}") == exact
    assert read_seconds(f"{hours}:{minutes_left:02}:{tail}") == exact


@given(st.integers(-5, 20_000), st.integers(-5, 20_000))
def test_a_frame_size_is_read_exactly_within_its_limits(width: int, height: int) -> None:
    limits = range(SMALLEST_SIDE_PX, LARGEST_SIDE_PX + 1)
    if width in limits and height in limits:
        assert read_frame_size(f"{width}x{height}") == (width, height)
    else:
        with pytest.raises(ValueError, match="frame size"):
            read_frame_size(f"{width}x{height}")


@given(st.dictionaries(st.sampled_from([option.name for option in OPTIONS]), values, max_size=4))
def test_options_make_a_configuration_or_a_value_error(given_values: dict[str, object]) -> None:
    style = given_values.get("style") or "great-wave"
    try:
        config = configure(VideoConfig, given_values | {"style": style, "source": "a.mp4", "target": "b.mp4"})
    except ValueError:
        return
    assert isinstance(config.stylize, StylizeConfig)
    assert isinstance(config.decode, DecodeConfig)
    assert isinstance(config.encode, EncodeConfig)
    assert 0 <= config.stylize.strength <= 1
    assert config.decode.start_seconds is None or config.decode.start_seconds >= 0


@given(st.sampled_from([option.name for option in OPTIONS]), st.sampled_from(["", "--"]), st.booleans())
def test_options_are_found_in_each_spelling(name: str, dashes: str, is_upper: bool) -> None:
    spelled = f" {dashes}{name.replace('_', '-')} "
    assert option_named(VideoConfig, spelled.upper() if is_upper else spelled) == name


names = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)


@given(st.lists(st.tuples(names, st.floats(0.001, 1000)), min_size=1, max_size=4))
def test_the_weights_of_a_blend_sum_to_one(parts: list[tuple[str, float]]) -> None:
    blend = parse_blend(",".join(f"{name}:{weight:.6f}" for name, weight in parts))
    assert [part.style for part in blend] == [name for name, _ in parts]
    assert sum(part.weight for part in blend) == pytest.approx(1)


@given(texts)
def test_a_blend_is_read_or_refused(text: str) -> None:
    try:
        blend = parse_blend(text)
    except ValueError:
        return
    assert sum(part.weight for part in blend) == pytest.approx(1)
    assert all(part.style and part.weight >= 0 for part in blend)
    assert parse_blend(rename_styles(text, lambda name: name)) == blend
    assert read_styles([text])


@given(st.text())
def test_printable_text_is_one_harmless_line(text: str) -> None:
    shown = printable(text)
    assert len(shown.splitlines()) <= 1
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]", shown)
    assert printable(shown) == shown
    list(csv.reader(io.StringIO(shown)))
