"""The only module that creates, writes, renames and deletes files.

A file appears whole or not at all: it is written under another name, synced and renamed. Names are never followed: a
link in the place of a file of ours is deleted or refused, not written through. Folders that must be private are made in
`pipeline.system.folders`.
"""

import contextlib
import errno
import hashlib
import os
import secrets
import select
import stat
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, BinaryIO, cast

_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
_CHUNK_BYTES = 2**20
_TEMPORARY = ".flowbrush-"
# Temporary files of this process, open and locked, so that no other run takes them for abandoned.
_temporaries: dict[str, BinaryIO] = {}


def create(path: str, *, is_secret: bool = False) -> BinaryIO:
    """Create a file, and return it opened for reading and writing.

    Args:
        path: of the file.
        is_secret: whether only this user may read it, whatever the umask and the folder allow.

    Raises:
        FileExistsError: something has that name, be it a link that leads nowhere.
        OSError: the folder cannot be written to.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600 if is_secret else 0o666)
    return cast("BinaryIO", os.fdopen(descriptor, "r+b"))


def open_existing(path: str) -> BinaryIO:
    """Open a file of ours for reading and writing.

    Raises:
        OSError: it is missing, a link, or not a regular file.
    """
    file = cast("BinaryIO", os.fdopen(os.open(path, os.O_RDWR | _FLAGS), "r+b"))
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EPERM, "it is not a regular file", path)
    return file


def open_input(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file of the user's for reading. Links are followed; a pipe or a device is refused, and does not block.

    Raises:
        OSError: it cannot be read, or is not a regular file.
    """
    return _regular(os.open(path, os.O_RDONLY | (_FLAGS & ~getattr(os, "O_NOFOLLOW", 0))), os.fspath(path))


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
        return _regular(os.open(os.path.join(folder, *parents, last), os.O_RDONLY | _FLAGS), name)
    inside = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for parent in parents:
            outside, inside = inside, os.open(parent, os.O_RDONLY | os.O_DIRECTORY | _FLAGS, dir_fd=inside)
            os.close(outside)
        return _regular(os.open(last, os.O_RDONLY | _FLAGS, dir_fd=inside), name)
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


def why_taken(path: str | os.PathLike[str]) -> str:
    """Return why an output cannot get the name ``path`` without replacing what is there; empty if nothing is.

    A link is not followed, even one that leads nowhere: whoever made it has chosen where the output would appear.
    """
    if os.path.islink(path):
        return "is a link; remove it, give another name or --overwrite"
    return "exists already; give another name or --overwrite" if os.path.lexists(path) else ""


def destination(path: str, *, may_replace: bool) -> str:
    """Return the absolute path at which the output ``path`` appears.

    Links to its folder are followed, a link in its own place only if it may be replaced: it is the user's then.
    """
    if may_replace:
        return os.path.realpath(path)
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)


def is_inside(path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> bool:
    """Return whether ``path``, which may not exist yet, lies in ``folder`` once all links are followed."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def why_outside(path: str | os.PathLike[str], folder: str | os.PathLike[str] | None) -> str:
    """Return why a file that was found in ``folder`` must not be opened; empty if it still lies there.

    Whoever owns the folder may have put a link in its place since then. None is for a file that the user named.
    """
    if folder is None or is_inside(path, folder):
        return ""
    return f"a link leads out of {folder}; to include the file, name the file itself"


def describe_links(paths: Sequence[str | os.PathLike[str]], folder: str | os.PathLike[str]) -> str:
    """Return a notice on files that are left out, since links lead to them out of the ``folder`` that the user named.

    Whoever can make a link there would choose the file otherwise.
    """
    one = "leads out of {} and is skipped; to include it, name the file itself"
    more = "and {} more links lead out of {} and are skipped; to include one, name the file itself"
    text = one.format(folder) if len(paths) == 1 else more.format(len(paths) - 1, folder)
    return f"{paths[0]} {text}"


def check_name(path: str) -> None:
    """Check that a file of ours can be made or opened at ``path``.

    Raises:
        OSError: a link or something else that is not a regular file has that name.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        what = "a link" if stat.S_ISLNK(mode) else "not a regular file"
        raise OSError(errno.EPERM, f"{os.path.basename(path)} is {what}; remove it", path)


def reserve(path: str) -> str:
    """Create an empty temporary file, for a library that opens files by name, and return its name.

    What a killed run left under that name is deleted. End it with `replace_atomically` or `remove`.

    Raises:
        OSError: the folder cannot be written to.
    """
    remove(path)
    _hold(path, create(path))
    return path


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


def new_temporary(path: str, *, is_secret: bool = False) -> str:
    """Create an empty hidden file beside ``path`` with the permissions of a new file, and return its name.

    What killed runs left there for the same ``path`` is deleted. End it with `replace_atomically` or `remove`.

    Args:
        path: the file that it will be.
        is_secret: see `create`.

    Raises:
        OSError: the folder cannot be written to.
    """
    remove_abandoned(path)
    while True:
        temporary = os.path.join(os.path.dirname(path), f"{_start_of_temporaries(path)}{secrets.token_hex(6)}.part")
        with contextlib.suppress(FileExistsError):
            if _hold(temporary, create(temporary, is_secret=is_secret)):
                return temporary


def replace_atomically(temporary: str, path: str, *, may_replace: bool = True) -> None:
    """Rename the finished file ``temporary`` to ``path``, and sync file and folder to disk.

    Raises:
        FileExistsError: ``path`` exists and may not be replaced.
        OSError: the disk is full, ``path`` cannot be replaced, or ``temporary`` was exchanged.
    """
    with open_existing(temporary) as file:
        held = _temporaries.get(temporary)
        if held is not None and not os.path.samestat(os.fstat(held.fileno()), os.fstat(file.fileno())):
            raise OSError(errno.EPERM, "another program exchanged the file", temporary)
        os.fsync(file.fileno())
    if may_replace:
        os.replace(temporary, path)
    else:
        _place(temporary, path)
    _release(temporary)
    sync_folder(os.path.dirname(path))


def write_atomically(
    path: str,
    content: bytes | memoryview | Iterable[bytes],
    *,
    may_replace: bool = True,
    is_secret: bool = False,
) -> None:
    """Write a small file, given at once or in pieces.

    Args:
        path: of the file.
        content: of the file.
        may_replace: whether a file of that name may be replaced.
        is_secret: see `create`.

    Raises:
        FileExistsError: ``path`` exists and may not be replaced.
        OSError: the disk is full, or the folder cannot be written to.
    """
    temporary = new_temporary(path, is_secret=is_secret)
    try:
        with open_existing(temporary) as file:
            file.writelines([content] if isinstance(content, bytes | memoryview) else content)
        replace_atomically(temporary, path, may_replace=may_replace)
    except BaseException:
        remove(temporary)
        raise


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
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _FLAGS, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def remove(path: str) -> None:
    """Remove a file, if it exists and can be removed; of a link the link, not what it leads to."""
    _release(path)
    with contextlib.suppress(OSError):
        os.unlink(path)


def remove_abandoned(path: str) -> None:
    """Remove the files of this user that `new_temporary` made for ``path``, and that no process writes any more."""
    _remove_abandoned(os.path.dirname(path), _start_of_temporaries(path))


def remove_all_abandoned(folder: str) -> None:
    """Remove the files of this user that `new_temporary` made in a folder, and that no process writes any more."""
    _remove_abandoned(folder, _TEMPORARY)


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


def file_signature(path: str) -> tuple[int, int] | None:
    """Return size in bytes and modification time in nanoseconds of a file, None if it cannot be read."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def sync(file: BinaryIO) -> None:
    """Write what is buffered to the disk.

    Raises:
        OSError: the disk is full.
    """
    file.flush()
    os.fsync(file.fileno())


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


def _regular(descriptor: int, name: str) -> BinaryIO:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EPERM, "it is not a regular file", name)
    return cast("BinaryIO", os.fdopen(descriptor, "rb"))


def _place(temporary: str, path: str) -> None:
    """Rename a file to a name that must not exist. A link is made first: unlike a rename, it never replaces."""
    exists = FileExistsError(errno.EEXIST, "another file was created there meanwhile; move it, or --overwrite", path)
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise exists from None
    except OSError:  # the file system has no hard links
        if os.path.lexists(path):
            raise exists from None
        os.replace(temporary, path)
    else:
        os.unlink(temporary)


def _hold(path: str, file: BinaryIO) -> bool:
    """Keep a temporary file locked until `_release`; return whether it is still there once it is locked."""
    if os.name != "posix":  # an open file cannot be renamed
        file.close()
        return True
    import fcntl

    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(file, fcntl.LOCK_EX)
    _temporaries[path] = file
    if os.path.lexists(path):
        return True
    _release(path)
    return False


def _release(path: str) -> None:
    file = _temporaries.pop(path, None)
    if file is not None:
        file.close()


def _remove_abandoned(folder: str, start: str) -> None:
    if os.name != "posix":
        return
    import fcntl

    with contextlib.suppress(OSError):
        names = [name for name in os.listdir(folder or ".") if name.startswith(start) and name.endswith(".part")]
        for temporary in (os.path.join(folder, name) for name in names):
            with contextlib.suppress(OSError), open_existing(temporary) as file:
                if os.fstat(file.fileno()).st_uid == os.geteuid():
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(temporary)


def _start_of_temporaries(path: str) -> str:
    return f"{_TEMPORARY}{hashlib.sha256(os.fsencode(os.path.basename(path))).hexdigest()[:12]}-"
