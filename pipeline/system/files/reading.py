"""Open files for reading: those of the user, links to them too, and ours, of whose names no part may be a link."""

import errno
import hashlib
import os
import stat
from typing import BinaryIO, cast

OPEN_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
"""With which files of ours are opened: a link is an error, and a pipe does not block."""

_CHUNK_BYTES = 2**20


def open_input(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file of the user's for reading. Links are followed; a pipe or a device is refused, and does not block.

    Raises:
        OSError: it cannot be read, or is not a regular file.
    """
    return _regular(os.open(path, os.O_RDONLY | (OPEN_FLAGS & ~getattr(os, "O_NOFOLLOW", 0))), os.fspath(path))


def open_own(folder: str, name: str) -> BinaryIO:
    """Open a file of ours for reading. A pipe does not block, and no part of ``name`` may be a link.

    Args:
        folder: a work folder or the like.
        name: of a file in it, or in a folder in it, joined by a slash.

    Raises:
        OSError: it is missing, reached through a link, or not a regular file.
    """
    *parents, last = name.split("/")
    if os.open not in os.supports_dir_fd:  # Windows
        return _regular(os.open(os.path.join(folder, *parents, last), os.O_RDONLY | OPEN_FLAGS), name)
    inside = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for parent in parents:
            outside, inside = inside, os.open(parent, os.O_RDONLY | os.O_DIRECTORY | OPEN_FLAGS, dir_fd=inside)
            os.close(outside)
        return _regular(os.open(last, os.O_RDONLY | OPEN_FLAGS, dir_fd=inside), name)
    finally:
        os.close(inside)


def read_own(folder: str, name: str, *, most_bytes: int) -> bytes:
    """Return the content of a file of ours; see `open_own`.

    Raises:
        OSError: also if it is larger than ``most_bytes``.
    """
    with open_own(folder, name) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most_bytes:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), name)
        return file.read(size)  # `read` allocates as much as it is asked for


def own_digest(folder: str, name: str) -> tuple[int, str]:
    """Return size in bytes and SHA-256 of a file of ours; see `open_own`.

    Raises:
        OSError: it cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    with open_own(folder, name) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def file_signature(path: str) -> tuple[int, int] | None:
    """Return size in bytes and modification time in nanoseconds of a file, None if it cannot be read."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def input_signature(path: str) -> tuple[int, ...] | None:
    """Return what differs if a file of the user's was changed or replaced meanwhile; None if it cannot be read.

    Device, number, size in bytes, and times of the last modification and the last change in nanoseconds: the latter
    cannot be set, as the former can. It also differs after a new name or permission, which change nothing.
    """
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _regular(descriptor: int, name: str) -> BinaryIO:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EPERM, "it is not a regular file", name)
    return cast("BinaryIO", os.fdopen(descriptor, "rb"))
