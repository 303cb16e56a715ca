"""Private folders: nobody else has put anything there, and nobody else can.

A private folder belongs to this user, is no link, and cannot be written by others. Where the file system keeps neither
owners nor permissions (a Windows drive, a network share), a folder counts as private if it is like one that we make.
"""

import errno
import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CACHE_SUBFOLDERS = ("aot", "headers", "inductor", "native", "openvino")
"""Folders of the engines in the cache: made here, since torch makes them with what the umask allows."""

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class FolderError(OSError):
    """A folder cannot be used, since others have made it or can write to it; ``strerror`` says why and what to do."""


def make_private(path: str | Path) -> None:
    """Create a private folder, or check one that exists.

    Raises:
        FolderError: it is a link, belongs to another user, or others can write to it.
        OSError: it cannot be created.
    """
    path = os.fspath(path)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        _check(path)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        make_private(path)


def make_folder(path: str | Path) -> None:
    """Create a folder of the user's, and those that contain it, unless they exist.

    Raises:
        OSError: it cannot be created.
    """
    os.makedirs(path, exist_ok=True)


def is_private(path: str | Path) -> bool:
    """Return whether a folder exists and is private."""
    try:
        _check(os.fspath(path))
    except OSError:
        return False
    return True


def remove_private(path: str | Path) -> None:
    """Delete a private folder of ours with everything in it, as far as that can be deleted; links are not followed."""
    if is_private(path):
        shutil.rmtree(path, ignore_errors=True)


def content_bytes(path: str | Path) -> int:
    """Return the size of all files in a folder and in those within it; links are not followed."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):  # deleted meanwhile
                total += os.lstat(os.path.join(folder, name)).st_size
    return total


@contextmanager
def scratch_folder(within: str | Path | None = None) -> Iterator[Path]:
    """Make a private folder, and delete it at the end of the context.

    Args:
        within: folder that contains it; None for the system's temporary folder.

    Raises:
        OSError: it cannot be created.
    """
    path = tempfile.mkdtemp(prefix="flowbrush-", dir=within)
    try:
        yield Path(path)
    finally:
        shutil.rmtree(path, ignore_errors=True)


def cache_folder() -> Path:
    """Return the private folder of compiled code: ``FLOWBRUSH_CACHE``, or one in the user's cache folder.

    Raises:
        FolderError: it or a folder in it is not private, or the system knows no home folder of the user.
        OSError: it cannot be created.
    """
    path = _cache_path()
    if path.is_symlink() and os.name == "posix" and path.lstat().st_uid not in (0, os.geteuid()):
        raise FolderError(errno.ELOOP, "another user made this link; remove it", str(path))
    path = path.resolve()  # a link to another disk is the user's choice
    make_private(path)
    for name in CACHE_SUBFOLDERS:
        make_private(path / name)
    return path


def data_folder() -> Path:
    """Return the folder of what this user keeps: ``XDG_DATA_HOME``, or where the system has it. Not created.

    Raises:
        FolderError: the system knows no home folder of the user.
    """
    try:
        if sys.platform == "win32":
            return _local_windows() / "flowbrush-data"
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Application Support" / "flowbrush"
        return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "flowbrush"
    except RuntimeError:
        raise FolderError(errno.ENOENT, "this user has no home folder") from None


def _cache_path() -> Path:
    if chosen := os.environ.get("FLOWBRUSH_CACHE"):
        return Path(chosen)
    try:
        if sys.platform == "win32":
            base = _local_windows()
        elif sys.platform == "darwin":
            base = Path.home() / "Library" / "Caches"
        else:
            base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        raise FolderError(errno.ENOENT, "this user has no home folder") from None
    return base / "flowbrush"


def _local_windows() -> Path:
    return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")


def _check(path: str) -> None:
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        raise FolderError(errno.ELOOP, "it is a link; remove it", path)
    if not stat.S_ISDIR(status.st_mode):
        raise FolderError(errno.ENOTDIR, "it is not a folder; move it", path)
    if os.name != "posix":
        return
    if status.st_uid != os.geteuid():
        reason = "it belongs to another user; remove it"
    elif status.st_mode & _OTHERS_WRITE:
        reason = "others can write to it; remove it, or make it private with chmod 700"
    else:
        return
    if not _is_like_ours(status, path):
        raise FolderError(errno.EPERM, reason, path)


def _is_like_ours(status: os.stat_result, path: str) -> bool:
    """Return whether what we create in the folder gets the owner and the permissions that make it look foreign."""
    probe = os.path.join(path, f".flowbrush-{secrets.token_hex(6)}.part")
    with suppress(OSError):
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            made = os.fstat(descriptor)
        finally:
            os.close(descriptor)
            os.unlink(probe)
        return made.st_uid == status.st_uid and not status.st_mode & _OTHERS_WRITE & ~made.st_mode
    return False
