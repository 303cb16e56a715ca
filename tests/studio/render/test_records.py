"""Records of uploads and jobs: what an interruption left is deleted, what cannot be used is reported and stays."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.studio.render.records import new_id, read_records, write_record


@dataclass(frozen=True)
class Note:
    """Stands for an upload or a job."""

    note: str
    text: str
    color: str = "red"


def stored(root: Path, text: str = "a") -> Note:
    note = Note(new_id(), text)
    write_record(root / note.note, "note.json", note)
    return note


def test_records_are_read_as_they_were_written(tmp_path: Path) -> None:
    notes = [stored(tmp_path, text) for text in "abc"]
    assert sorted(read_records(tmp_path, "note.json", Note), key=lambda note: note.text) == notes


def test_a_folder_without_a_record_is_deleted(tmp_path: Path) -> None:
    note = stored(tmp_path)
    (tmp_path / new_id()).mkdir(mode=0o700)
    assert list(read_records(tmp_path, "note.json", Note)) == [note]
    assert os.listdir(tmp_path) == [note.note]


def test_a_record_of_an_earlier_version_has_the_default_of_a_new_field(tmp_path: Path) -> None:
    note = stored(tmp_path)
    (tmp_path / note.note / "note.json").write_text(json.dumps({"note": note.note, "text": "old", "size": 3}))
    assert list(read_records(tmp_path, "note.json", Note)) == [Note(note.note, "old")]


@pytest.mark.parametrize("content", ["", "{", "[]", "5", "{}", '{"note": "other", "text": "a"}', "[" * 90_000])
def test_a_record_that_cannot_be_used_is_reported_and_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    """A result may lie beside it, and is never deleted unasked."""
    note = stored(tmp_path)
    result = tmp_path / note.note / "result.mp4"
    result.write_bytes(b"precious")
    (tmp_path / note.note / "note.json").write_text(content)
    assert not list(read_records(tmp_path, "note.json", Note))
    assert result.read_bytes() == b"precious"
    assert f"{note.note}: cannot be used" in caplog.text


def test_a_record_that_cannot_be_read_stays(tmp_path: Path) -> None:
    note = stored(tmp_path)
    (tmp_path / note.note / "note.json").unlink()
    (tmp_path / note.note / "note.json").mkdir()
    assert not list(read_records(tmp_path, "note.json", Note))
    assert os.listdir(tmp_path) == [note.note]
