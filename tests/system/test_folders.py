"""Private folders: made for this user alone, and refused where others have been."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from models import engines
from models.engines.cache import store, use_torch_cache
from pipeline.system.folders import CACHE_SUBFOLDERS, FolderError, cache_folder, make_private

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs owners and permissions")
as_root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give a folder away")


def test_a_private_folder_is_closed_to_others(tmp_path: Path) -> None:
    make_private(tmp_path / "a" / "b")
    make_private(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_can_read_is_private(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(0o755)
    make_private(tmp_path / "a")


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(mode)
    with pytest.raises(FolderError, match="others can write to it"):
        make_private(tmp_path / "a")
    assert not os.listdir(tmp_path / "a")


@as_root
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    os.chown(tmp_path / "a", 12345, 12345)
    with pytest.raises(FolderError, match="another user"):
        make_private(tmp_path / "a")
    assert not os.listdir(tmp_path / "a")


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a").symlink_to(tmp_path / "b")
    with pytest.raises(FolderError, match="link"):
        make_private(tmp_path / "a")


def test_the_cache_may_be_linked_to_another_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    monkeypatch.setenv("FLOWBRUSH_CACHE", str(tmp_path / "a"))
    assert cache_folder() == tmp_path / "b"
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o700


@as_root
def test_a_cache_link_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    os.chown(tmp_path / "a", 12345, 12345, follow_symlinks=False)
    monkeypatch.setenv("FLOWBRUSH_CACHE", str(tmp_path / "a"))
    with pytest.raises(FolderError, match="another user"):
        cache_folder()


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("no_umask")
def test_the_folders_in_the_cache_are_private_whatever_the_umask_and_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o755)
    monkeypatch.setenv("FLOWBRUSH_CACHE", str(tmp_path))
    store(cache_folder() / "openvino" / "key", "graph", lambda folder: (folder / "graph").touch())
    use_torch_cache(cache_folder())
    for folder in ("openvino", "openvino/key", "aot", "inductor", "headers"):
        assert (tmp_path / folder).stat().st_mode & 0o777 == 0o700, folder


def test_a_folder_in_the_cache_that_others_can_write_to_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWBRUSH_CACHE", str(tmp_path))
    (tmp_path / "inductor").mkdir()
    (tmp_path / "inductor").chmod(0o777)
    with pytest.raises(FolderError, match="others can write to it") as caught:
        cache_folder()
    assert caught.value.filename == str(tmp_path / "inductor")


def test_all_folders_of_the_engines_are_known() -> None:
    code = "".join(path.read_text() for path in Path(engines.__file__).parent.glob("*.py"))
    assert set(re.findall(r'cache(?:_folder)? / "(\w+)"', code)) == set(CACHE_SUBFOLDERS)
