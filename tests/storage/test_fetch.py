"""Local copies of inputs in a store: downloaded once, kept while they are read, deleted when there is no room."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.storage import fetch
from pipeline.storage.fetch import fetched, working_folder
from pipeline.system.lock import Lock
from pipeline.system.urls import Store
from tests.support.workers.stores import HAS_S3, memory_store

pytestmark = pytest.mark.skipif(not HAS_S3, reason="fsspec is not installed")


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A folder in a store; copies are below ``tmp_path``."""
    monkeypatch.setenv("FLOWBRUSH_CACHE", str(tmp_path / "cache"))
    with memory_store() as url:
        Store(url).write("a.mp4", b"first")
        yield url


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    download = Store.download

    def count(store: Store, name: str, path: str) -> None:
        found.append(path)
        download(store, name, path)

    monkeypatch.setattr(Store, "download", count)
    return found


def copies(folder: Path) -> set[str]:
    return {path.name for path in (folder / "cache" / "fetched").rglob("*.mp4")}


def test_a_path_is_its_own_copy() -> None:
    with fetched("a.mp4") as path:
        assert path == "a.mp4"


def test_a_file_is_downloaded_once_and_again_when_it_has_changed(url: str, downloads: list[str]) -> None:
    with fetched(f"{url}/a.mp4") as one, fetched(f"{url}/a.mp4") as two:
        assert one == two
        assert Path(one).read_bytes() == b"first"
        assert os.stat(one).st_mtime_ns == (Store(f"{url}/a.mp4").signature() or (0, 0))[1]
    with fetched(f"{url}/a.mp4"):
        pass
    assert len(downloads) == 1
    Store(url).write("a.mp4", b"second")
    with fetched(f"{url}/a.mp4") as path:
        assert Path(path).read_bytes() == b"second"
    assert len(downloads) == 2


def test_processes_wait_for_one_download(url: str, downloads: list[str], tmp_path: Path) -> None:
    with fetched(f"{url}/a.mp4") as path:
        folder = os.path.dirname(path)
    os.unlink(path)
    lock = Lock(os.path.join(folder, "lock"))
    threading.Timer(0.3, lambda: (Path(path).write_bytes(b"by another"), lock.release())).start()
    with fetched(f"{url}/a.mp4") as path:
        assert Path(path).read_bytes() == b"by another"
    assert len(downloads) == 1


def test_copies_that_nobody_reads_make_room_for_the_next(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("a.mp4", "b.mp4", "c.mp4", "d.mp4"):
        Store(url).write(name, bytes(100))
    monkeypatch.setattr(fetch, "MOST_BYTES", 350)
    with fetched(f"{url}/b.mp4"):
        with fetched(f"{url}/c.mp4"):
            pass
        with fetched(f"{url}/d.mp4"):
            pass
        assert copies(tmp_path) == {"b.mp4", "c.mp4", "d.mp4"}
        with fetched(f"{url}/a.mp4"):
            assert copies(tmp_path) == {"a.mp4", "b.mp4", "d.mp4"}  # c is the oldest that nobody reads


def test_a_failed_download_leaves_nothing(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def stop(store: Store, name: str, path: str) -> None:
        Path(path).write_bytes(b"fir")

    monkeypatch.setattr(Store, "download", stop)
    with pytest.raises(InputError, match="changed while it was read"), fetched(f"{url}/a.mp4"):
        pass
    assert copies(tmp_path) == set()
    with pytest.raises(InputError, match=r"no\.mp4: .* \(there is no such file\)"), fetched(f"{url}/no.mp4"):
        pass


def test_what_a_killed_process_left_is_deleted(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fetch, "NEW_SECONDS", 0.0)
    with working_folder() as mine:
        left = mine.parent / "flowbrush-left"
        left.mkdir(mode=0o700)
        (left / "film.mp4").touch()
        with working_folder():
            assert not left.exists()
            assert mine.exists()
    assert list(mine.parent.iterdir()) == []
