"""Records that somebody else wrote, or that are damaged, end no batch and lead to no other file."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.batch.records import Records
from tests.support.batching import batch_config, make_clips, report_of, run_here

Edit = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose batch of one clip is finished."""
    folder = tmp_path_factory.mktemp("batch")
    make_clips(folder, "a.mp4")
    run_here(batch_config(folder))
    return folder


@pytest.fixture
def record(finished: Path) -> Iterator[Path]:
    """The record of that clip, restored afterwards."""
    (path,) = (finished / "out" / ".flowbrush-batch").glob("*.json")
    content = path.read_bytes()
    yield path
    path.unlink()
    path.write_bytes(content)


def edit(path: Path, change: Edit) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


# The clip is known to be finished, but what cannot be read of its run is left out of the report.
PARTLY: dict[str, Edit] = {
    "a figure is missing": lambda data: data["figures"].pop("fps"),
    "figures of text": lambda data: data["figures"].update(frames="6", fps="1"),
    "figures without an end": lambda data: data["figures"].update(fps=float("inf")),
    "no figures": lambda data: data.update(figures=[]),
    "other figures": lambda data: data["figures"].update(output="../../etc/passwd"),
    "damage of numbers": lambda data: data["figures"].update(damage=[1, 2, 3, 4, 5]),
    "notices of lists": lambda data: data.update(notices=[[1], None]),
    "notices of text": lambda data: data.update(notices="abc"),
    "an error of numbers": lambda data: data.update(error=5),
    "another status": lambda data: data.update(status="burning"),
    "another output": lambda data: data.update(output="../b.mp4", source="/etc/passwd", style="\x00"),
    "more than we write": lambda data: data.update(more=1),
}


@pytest.mark.parametrize("name", PARTLY)
def test_what_is_damaged_in_a_record_is_left_out(finished: Path, record: Path, name: str) -> None:
    edit(record, PARTLY[name])
    ended, _ = run_here(batch_config(finished))
    assert (ended.painted, ended.done_before, ended.failed) == (0, 1, 0)
    (row,) = report_of(finished)["clips"]
    assert (row["output"], row["status"], row["error"]) == ("a_great-wave.mp4", "painted", None)
    assert row["source"] == str(finished / "in" / "a.mp4")


WHOLLY: dict[str, Callable[[Path], object]] = {
    "no JSON": lambda path: path.write_text("{"),
    "a list": lambda path: path.write_text("[]"),
    "deep": lambda path: path.write_text("[" * 100_000),
    "no look": lambda path: edit(path, lambda data: data.pop("look")),
    "a look of text": lambda path: edit(path, lambda data: data.update(look=["a", "b"])),
    "no identity": lambda path: edit(path, lambda data: data.update(identity=[1])),
    "large": lambda path: os.truncate(path, 2**40),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "a link": lambda path: (path.rename(path.with_suffix(".txt")), path.symlink_to(path.with_suffix(".txt"))),
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.timeout(15)
@pytest.mark.parametrize("name", WHOLLY)
def test_a_record_that_cannot_be_read_is_none(finished: Path, record: Path, name: str) -> None:
    WHOLLY[name](record)
    ended, _ = run_here(batch_config(finished, keep_going=False))
    assert (ended.painted, ended.failed) == (0, 1)  # the output may be another program's
    assert "exists already" in report_of(finished)["clips"][0]["error"]


def test_names_in_records_that_are_none_are_left_out(finished: Path, record: Path) -> None:
    edit(record, lambda data: data.update(output="a\x00b"))
    assert list(Records(record.parent).outputs()) == []
    edit(record, lambda data: data.update(output=["a"]))
    assert list(Records(record.parent).outputs()) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.timeout(15)
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_thumbnail_shows_no_other_file(finished: Path, record: Path, kind: str) -> None:
    secret = finished / "secret"
    secret.write_bytes(b"SECRET" * 10)
    thumbnail = next(record.parent.glob("*.0.jpg"))
    content = thumbnail.read_bytes()
    thumbnail.unlink()
    thumbnail.symlink_to(secret) if kind == "link" else os.mkfifo(thumbnail)
    run_here(batch_config(finished))
    page = (finished / "out" / "report.html").read_text()
    assert page.count("data:image/jpeg") == 1
    assert "U0VDUkVU" not in page
    thumbnail.unlink()
    thumbnail.write_bytes(content)
