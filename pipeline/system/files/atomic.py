"""Files that appear whole or not at all: written under another name, synced and renamed.

A temporary file stays open and locked while its process lives; what is not locked was left by a killed run. A link in
the place of a file of ours is deleted or refused, not written through.
"""

import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Iterable
from typing import BinaryIO

from pipeline.system.files.writing import create, open_existing, sync_folder

_TEMPORARY = ".flowbrush-"
# Temporary files of this process, open and locked, so that no other run takes them for abandoned.
_temporaries: dict[str, BinaryIO] = {}


def reserve(path: str) -> str:
    """Create an empty temporary file, for a library that opens files by name, and return its name.

    What a killed run left under that name is deleted. End it with `replace_atomically` or `remove`.

    Raises:
        OSError: the folder cannot be written to.
    """
    remove(path)
    _hold(path, create(path))
    return path


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
