"""The lock file of a work folder: who holds it, and when it is released."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import OutputError
from pipeline.system.lock import HeldError, Lock, hold_lock, is_held_here

fcntl = pytest.importorskip("fcntl")
resource = pytest.importorskip("resource")

HOLD = (
    "import sys; from pipeline.system.lock import Lock; lock = Lock(sys.argv[1]); print(flush=True); sys.stdin.read()"
)


def test_the_lock_names_its_holder_and_is_released_when_the_holder_is_killed(tmp_path: Path) -> None:
    path = str(tmp_path / "work" / "lock")
    holder = subprocess.Popen([sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(HeldError) as caught:
        Lock(path)
    assert caught.value.process == holder.pid
    assert not is_held_here(path)
    holder.kill()
    holder.communicate()
    lock = Lock(path)
    assert is_held_here(path)
    for _ in range(2):
        lock.release()
    assert not is_held_here(path)


def test_the_lock_is_held_without_disk_space_for_the_process_id(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        lock = Lock(str(tmp_path / "lock"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    with pytest.raises(HeldError) as caught:
        Lock(str(tmp_path / "lock"))
    assert caught.value.process is None
    lock.release()


def test_a_lock_whose_file_was_removed_no_longer_counts(tmp_path: Path) -> None:
    path = tmp_path / "work" / "lock"
    first = Lock(str(path))
    with pytest.raises(HeldError):
        Lock(str(path))
    path.unlink()
    second = Lock(str(path))
    first.release()
    assert is_held_here(str(path))
    with pytest.raises(HeldError) as caught:
        Lock(str(path))
    assert caught.value.process == os.getpid()
    second.release()


def test_a_file_system_without_locks_is_reported_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    path = str(tmp_path / "lock")
    lock = Lock(path)
    assert is_held_here(path)
    assert path in caplog.text
    lock.release()
    assert not is_held_here(path)


@pytest.mark.parametrize("is_removed", [False, True])
def test_a_held_lock_and_one_that_cannot_be_are_said_in_the_words_of_the_user(tmp_path: Path, is_removed: bool) -> None:
    words = {"what": "training", "does": "is writing it; stop it", "unusable": "no file there ({}); choose another"}
    path = tmp_path / "lock"
    with hold_lock(str(path), "a.mp4", is_removed=is_removed, **words):
        with pytest.raises(OutputError) as held, hold_lock(str(path), "a.mp4", **words):
            pass
        assert str(held.value) == f"a.mp4: another training (process {os.getpid()}) is writing it; stop it"
    assert path.exists() is not is_removed
    with pytest.raises(OutputError) as unusable, hold_lock("/dev/null/x/lock", "a.mp4", **words):
        pass
    assert str(unusable.value) == "a.mp4: no file there (Not a directory); choose another"
