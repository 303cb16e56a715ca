"""Files are complete or absent, whatever happens, and nothing is written or deleted through a link."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.system.files.atomic import new_temporary, remove, replace_atomically, reserve, write_atomically
from pipeline.system.files.writing import write_all

posix = pytest.mark.skipif(os.name != "posix", reason="needs links and locks")


def test_a_folder_that_cannot_be_read_can_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really_open = os.open

    def refuse(path: str, *arguments: Any) -> int:
        if os.path.isdir(path):
            raise PermissionError(13, "Permission denied")
        return really_open(path, *arguments)

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


def test_a_new_name_has_one_file(tmp_path: Path) -> None:
    temporary = new_temporary(str(tmp_path / "a"))
    replace_atomically(temporary, str(tmp_path / "a"), may_replace=False)
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").stat().st_nlink == 1


def test_an_interrupted_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    def content() -> Any:
        yield b"half of"
        raise KeyboardInterrupt

    write_atomically(str(tmp_path / "a"), [b"the ", b"old"])
    with pytest.raises(KeyboardInterrupt):
        write_atomically(str(tmp_path / "a"), content())
    assert (tmp_path / "a").read_bytes() == b"the old"
    assert os.listdir(tmp_path) == ["a"]


@posix
def test_a_link_in_the_place_of_a_temporary_file_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    (tmp_path / "a.part").symlink_to(precious)
    Path(reserve(str(tmp_path / "a.part"))).write_bytes(b"new")
    remove(str(tmp_path / "a.part"))
    (tmp_path / "a.part").symlink_to(precious)
    with pytest.raises(OSError, match=r"a\.part"):
        replace_atomically(str(tmp_path / "a.part"), str(tmp_path / "a"))
    assert precious.read_bytes() == b"precious"


@posix
def test_a_temporary_file_that_was_exchanged_is_not_put_in_place(tmp_path: Path) -> None:
    temporary = reserve(str(tmp_path / "a.part"))
    os.unlink(temporary)
    Path(temporary).write_bytes(b"of another")
    with pytest.raises(OSError, match="exchanged"):
        replace_atomically(temporary, str(tmp_path / "a"))
    remove(temporary)
    assert not os.listdir(tmp_path)


@posix
def test_what_a_killed_run_left_is_deleted_and_what_a_running_one_writes_stays(tmp_path: Path) -> None:
    target = str(tmp_path / "out.mp4")
    code = "import sys; from pipeline.system.files import atomic; print(atomic.new_temporary(sys.argv[1]), flush=True)"
    holder = subprocess.Popen(
        [sys.executable, "-c", f"{code}; sys.stdin.read()", target], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    left = holder.stdout.readline().decode().strip()
    other = new_temporary(str(tmp_path / "other.mp4"))
    remove(new_temporary(target))
    assert {os.path.basename(left), os.path.basename(other)} == set(os.listdir(tmp_path))
    holder.kill()
    holder.communicate()
    remove(new_temporary(target))
    assert os.listdir(tmp_path) == [os.path.basename(other)]
    remove(other)


@posix
def test_all_is_written_to_a_pipe_that_does_not_block() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys, time; time.sleep(0.2); print(len(sys.stdin.buffer.read()))"],
        stdin=reading,
        stdout=subprocess.PIPE,
    )
    os.close(reading)
    with open(writing, "wb", buffering=0) as pipe:
        write_all(pipe, bytes(1_000_000))
    assert child.communicate()[0].strip() == b"1000000"
