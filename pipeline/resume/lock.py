"""One run on an output at a time: a lock that the system itself lets go of when its holder dies."""

import contextlib
import errno
import os
from typing import IO

# On Windows a locked byte cannot be read by others: one far behind the number of the process.
_FAR = 2**30
_held_here: set[str] = set()
_HELD = (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK, errno.EDEADLK)


class HeldError(Exception):
    """Another run holds the lock.

    Attributes:
        process: its number; None where it is not known.
    """

    def __init__(self, process: int | None) -> None:
        super().__init__(f"held by process {process}")
        self.process = process


class Lock:
    """Held from when it is made until `release`, or until the process ends in whatever way.

    Args:
        path: of a file, whose folder is made where it is missing; both stay when the lock is let go.

    Raises:
        HeldError: another process holds it.
        OSError: the file cannot be made.
    """

    def __init__(self, path: str) -> None:
        self._path = os.path.realpath(path)
        self._file = _locked(path)
        while not _is_still(path, self._file):  # the run before removed it while we waited for it
            self._file.close()
            self._file = _locked(path)
        with contextlib.suppress(OSError):  # the number is for people; the lock holds on a full disk, too
            os.truncate(self._file.fileno(), 0)
            os.write(self._file.fileno(), str(os.getpid()).encode())
        _held_here.add(self._path)

    def release(self) -> None:
        """Let go; may be called more than once."""
        if not self._file.closed:
            _held_here.discard(self._path)
            self._file.close()


def is_held_here(path: str) -> bool:
    """Whether it is this process that holds the lock; its number tells little, as each container counts anew."""
    return os.path.realpath(path) in _held_here


def _locked(path: str) -> IO[bytes]:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    file = open(path, "ab+")  # noqa: SIM115 - held open as long as the lock
    try:
        _lock(file)
    except OSError as error:
        if error.errno not in _HELD:
            return file  # a network's file system without locks: better without one than not at all
        process = _process_in(file)
        file.close()
        raise HeldError(process) from error
    return file


def _lock(file: IO[bytes]) -> None:
    if os.name == "nt":
        import msvcrt

        file.seek(_FAR)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _process_in(file: IO[bytes]) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        file.seek(0)
        return int(file.read(20))
    return None


def _is_still(path: str, file: IO[bytes]) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except OSError:
        return False
