"""Costs in the cache: there for the next session of the same machine and network, and no error if they are damaged."""

from dataclasses import replace
from pathlib import Path

import pytest

from models.network import StyleNetwork
from pipeline.live.stylize.control import cost_file
from pipeline.live.stylize.control.cost_file import MOST_MACHINES, read_costs, write_costs
from pipeline.live.stylize.modes import Mode
from pipeline.stylize.frame_stylizer import FrameStylizer
from tests.support.live import PLAIN
from tests.support.tiny import TINY

COSTS = {Mode((180, 320), "openvino", 2): 0.0421, Mode((360, 640), "eager"): 0.2}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLOWBRUSH_CACHE", str(tmp_path))
    return tmp_path


def core(**changes: object) -> FrameStylizer:
    return FrameStylizer(StyleNetwork(TINY), replace(PLAIN, **changes), print)  # type: ignore[arg-type]


def test_what_is_written_is_read_by_the_next_session() -> None:
    assert read_costs(core()) == {}
    write_costs(core(), COSTS)
    assert read_costs(core()) == COSTS


def test_other_settings_have_costs_of_their_own() -> None:
    write_costs(core(), COSTS)
    for changes in ({"threads": 2}, {"precision": "bf16"}, {"stability": "smooth"}, {"stroke_size": 2.0}):
        assert read_costs(core(**changes)) == {}
    write_costs(core(threads=2), {Mode((64, 64), "eager"): 0.5})
    assert read_costs(core()) == COSTS


def test_the_file_does_not_grow_without_end(cache: Path) -> None:
    for threads in range(1, MOST_MACHINES + 5):
        write_costs(core(threads=threads), COSTS)
    assert read_costs(core(threads=1)) == {}
    assert read_costs(core(threads=MOST_MACHINES)) == COSTS
    assert (cache / cost_file.NAME).stat().st_size < 100 * MOST_MACHINES * len(COSTS)


def test_a_damaged_file_counts_as_none(cache: Path) -> None:
    write_costs(core(), COSTS)
    whole = (cache / cost_file.NAME).read_text()
    key = whole.split('"')[1]
    impossible = (f'[[64, 64, "eager", {each}]]' for each in ("1, -1", "1, NaN", "0, 1"))
    no_costs = ("3", "[[1, 2]]", "[[1, 2, 3, 4, 5]]", *impossible)
    for text in ("", "[]", "{", whole[:-9], *(f'{{"{key}": {costs}}}' for costs in no_costs)):
        (cache / cost_file.NAME).write_text(text)
        assert read_costs(core()) == {}
    write_costs(core(), COSTS)
    assert read_costs(core()) == COSTS


def test_a_cache_that_cannot_be_written_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FLOWBRUSH_CACHE", str(tmp_path / "file"))
    write_costs(core(), COSTS)
    assert read_costs(core()) == {}
