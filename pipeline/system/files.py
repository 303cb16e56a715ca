"""Files that survive a crash: written under another name, synced and renamed."""

import contextlib
import errno
import os
from collections.abc import Iterable


def replace_atomically(temporary: str, path: str, *, may_replace: bool = True) -> None:
    """Rename the finished file ``temporary`` to ``path``, and sync file and folder to disk.

    Raises:
        FileExistsError: ``path`` exists and may not be replaced.
        OSError: the disk is full, or ``path`` cannot be replaced.
    """
    with open(temporary, "rb+") as file:
        os.fsync(file.fileno())
    if not may_replace and os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, "another file was created there meanwhile; move it, or --overwrite", path)
    os.replace(temporary, path)
    if os.name == "posix":  # other systems neither can nor need to sync a folder
        _sync_folder(os.path.dirname(path) or ".")


def write_atomically(path: str, content: bytes | Iterable[bytes]) -> None:
    """Write a small file, given at once or in pieces.

    Raises:
        OSError: the disk is full.
    """
    temporary = f"{path}.part"
    try:
        with open(temporary, "wb") as file:
            file.writelines([content] if isinstance(content, bytes) else content)
        replace_atomically(temporary, path)
    except BaseException:
        remove(temporary)
        raise


def remove(path: str) -> None:
    """Remove a file, if it exists and can be removed."""
    with contextlib.suppress(OSError):
        os.unlink(path)


def file_signature(path: str) -> tuple[int, int] | None:
    """Return size in bytes and modification time in nanoseconds of a file, None if it cannot be read."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _sync_folder(folder: str) -> None:
    with contextlib.suppress(OSError):  # also if the folder can be written but not read
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
