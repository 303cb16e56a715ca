"""Files are complete or absent, whatever happens."""

import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.system.files import replace_atomically, write_atomically


def test_a_folder_that_cannot_be_read_can_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> int:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.part").write_bytes(b"whole")
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        replace_atomically(str(tmp_path / "a.part"), str(tmp_path / "a"))
    assert (tmp_path / "a").read_bytes() == b"whole"


def test_a_file_that_was_created_meanwhile_stays(tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        replace_atomically(str(tmp_path / "new"), str(tmp_path / "a"), may_replace=False)
    assert (tmp_path / "a").read_bytes() == b"old"


def test_an_interrupted_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    def content() -> Any:
        yield b"half of"
        raise KeyboardInterrupt

    write_atomically(str(tmp_path / "a"), [b"the ", b"old"])
    with pytest.raises(KeyboardInterrupt):
        write_atomically(str(tmp_path / "a"), content())
    assert (tmp_path / "a").read_bytes() == b"the old"
    assert os.listdir(tmp_path) == ["a"]
