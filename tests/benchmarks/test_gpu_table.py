"""The table of `benchmarks/cuda.py` is printed within its time, whatever happens to the process that measures."""

import sys
import time

import pytest

from benchmarks.gpu import table
from benchmarks.gpu.rows import Row, Settings, all_rows
from benchmarks.gpu.table import Worker, print_table
from benchmarks.gpu.worker import MEASURE, answer

# Answers with its process id, or does what the kind of the row says.
FAKE = """
import json, os, signal, sys, time
for line in sys.stdin:
    row = json.loads(line)
    kind = row["kind"]
    if kind == "hang":
        time.sleep(60)
    if kind == "die":
        os._exit(7)
    answer = {"error": "RuntimeError: no"} if kind in ("fail", "break") else {"text": str(os.getpid())}
    print(json.dumps({**answer, "is_broken": kind == "break"}), flush=True)
"""


def measured(*kinds: str, seconds: float = 100.0) -> list[str]:
    """Return what the table says of rows of these kinds."""
    lines = list[str]()
    rows = [Row(f"row {number}", 1 if kind != "long" else 1000, kind) for number, kind in enumerate(kinds)]
    print_table(rows, Worker([sys.executable, "-c", FAKE]), seconds, show=lines.append)
    assert [line.split("  ")[0] for line in lines] == [row.name for row in rows]
    return [line[table.NAME_WIDTH + 1 :] for line in lines]


def test_one_process_measures_all_rows_even_if_one_fails() -> None:
    first, failed, last = measured("good", "fail", "good")
    assert failed == "not measured: RuntimeError: no"
    assert first == last
    assert int(first) > 0


@pytest.mark.parametrize(
    ("kind", "says"), [("die", "its process ended with exit code 7"), ("break", "RuntimeError: no")]
)
def test_another_process_goes_on_after_one_that_died_or_broke_the_gpu(kind: str, says: str) -> None:
    first, failed, last = measured("good", kind, "good")
    assert failed == f"not measured: {says}"
    assert first != last
    assert int(last) > 0


def test_a_row_that_hangs_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "LEAST_PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(table, "PATIENCE", 1.0)
    first, failed, last = measured("good", "hang", "good")
    assert failed == "not measured: stopped after 1 s"
    assert first != last


def test_what_would_take_too_long_is_named_and_the_rest_measured() -> None:
    first, dropped, last = measured("good", "long", "good")
    assert dropped == "not measured: out of time"
    assert first == last
    started = time.monotonic()
    assert measured("good", "good", seconds=0) == ["not measured: out of time"] * 2
    assert time.monotonic() - started < 1


def test_an_error_of_a_row_is_one_line() -> None:
    settings = Settings("cpu", "/nowhere")
    assert answer("network", settings, {"no": 1})["error"].startswith("TypeError: network() got an unexpected")
    assert answer("nothing", settings, {})["error"] == "KeyError: 'nothing'"


def test_each_kind_of_row_is_known_and_no_name_appears_twice() -> None:
    rows = all_rows(Settings("cuda", "/nowhere"))
    assert {row.kind for row in rows} == set(MEASURE)
    assert len({row.name for row in rows}) == len(rows)
    assert max(len(row.name) for row in rows) <= table.NAME_WIDTH
    engines = {"eager", "graph", "compile", "compile-graph", "autotune"}
    networks = {row.name for row in rows if row.kind == "network"}
    assert len(networks) == 4 * 3 * len(engines)
