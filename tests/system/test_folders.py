"""Private folders: made for this user alone, and refused where others have been."""

import os
from pathlib import Path

import pytest

from pipeline.system.folders import FolderError, cache_folder, make_private

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
