"""Create files, and write into them in place. A link in the place of a file of ours is never followed."""

import contextlib
import errno
import os
import select
import stat
import tempfile
from typing import IO, BinaryIO, cast

from pipeline.system.files.reading import OPEN_FLAGS


def create(path: str, *, is_secret: bool = False) -> BinaryIO:
    """Create a file, and return it opened for reading and writing.

    Args:
        path: of the file.
        is_secret: whether only this user may read it, whatever the umask and the folder allow.

    Raises:
        FileExistsError: something has that name, be it a link that leads nowhere.
        OSError: the folder cannot be written to.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | OPEN_FLAGS, 0o600 if is_secret else 0o666)
    return cast("BinaryIO", os.fdopen(descriptor, "r+b"))


def open_existing(path: str) -> BinaryIO:
    """Open a file of ours for reading and writing.

    Raises:
        OSError: it is missing, a link, or not a regular file.
    """
    file = cast("BinaryIO", os.fdopen(os.open(path, os.O_RDWR | OPEN_FLAGS), "r+b"))
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EPERM, "it is not a regular file", path)
    return file


def claim(path: str, *, may_replace: bool = False) -> None:
    """Create an empty file under its final name, for a library that writes it in place, such as a recording.

    Raises:
        FileExistsError: the file exists and may not be replaced.
        OSError: the folder cannot be written to.
    """
    if may_replace:
        path = os.path.realpath(path)
        if os.path.isfile(path):
            os.unlink(path)
        elif os.path.lexists(path):  # a device, which a library writes into
            return
    create(path).close()


def append(path: str, content: bytes, *, after_bytes: int) -> None:
    """Append to a file of ours, and sync it to disk.

    If the process or the machine ends meanwhile, the file may have a part of ``content`` at its end, and nothing else.

    Args:
        path: of the file.
        content: what to append.
        after_bytes: size that the file must have.

    Raises:
        OSError: the disk is full, the file has another size, or it is a link; nothing was appended.
    """
    with open_existing(path) as file:
        if file.seek(0, os.SEEK_END) != after_bytes:
            raise OSError(errno.EBUSY, "another program changed the file", path)
        try:
            write_all(file, content)
            os.fsync(file.fileno())
        except BaseException:
            os.ftruncate(file.fileno(), after_bytes)
            raise


def write_into(descriptor: int, content: bytes) -> None:
    """Replace the content of an open file.

    Raises:
        OSError: the disk is full.
    """
    os.truncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, content)


def write_loosely(path: str, content: bytes) -> None:
    """Write a file in a folder of ours that may be lost or half written, such as a progress figure.

    Raises:
        OSError: the disk is full, or a link has that name.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | OPEN_FLAGS, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def make_link(path: str, name: str) -> None:
    """Make a symbolic link ``name`` in a folder of ours that leads to ``path``.

    Raises:
        OSError: the name is taken, or the file system has no links.
    """
    os.symlink(path, name)


def set_time(path: str, time_ns: int) -> None:
    """Set the modification time of a file of ours, in nanoseconds.

    Raises:
        OSError: the file is gone.
    """
    os.utime(path, ns=(time_ns, time_ns))


def remove_folder(path: str) -> None:
    """Remove a folder, if it is empty and can be removed."""
    with contextlib.suppress(OSError):
        os.rmdir(path)


def write_all(file: IO[bytes], data: bytes) -> None:
    """Write all of ``data`` to a pipe or file, also if it is unbuffered or does not block.

    Raises:
        OSError: the reader has closed the pipe, or the disk is full.
    """
    left = memoryview(data)
    while left:
        try:
            file.flush()
            left = left[os.write(file.fileno(), left) :]
        except BlockingIOError:
            select.select([], [file.fileno()], [])


def scratch_file() -> IO[bytes]:
    """Return a temporary file without a name, removed when it is closed."""
    return cast("IO[bytes]", tempfile.TemporaryFile())


def sync(file: BinaryIO) -> None:
    """Write what is buffered to the disk.

    Raises:
        OSError: the disk is full.
    """
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: str) -> None:
    """Sync the names in a folder to disk, where the system can."""
    if os.name != "posix":  # other systems neither can nor need to
        return
    with contextlib.suppress(OSError):  # also if the folder can be written but not read
        descriptor = os.open(folder or ".", os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
