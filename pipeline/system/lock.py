"""One run at a time in a folder: a lock that the operating system releases when its holder dies."""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from weakref import WeakValueDictionary

from filelock import FileLock, Timeout

from pipeline.errors import OutputError, reason_of
from pipeline.system.files.atomic import remove
from pipeline.system.files.names import check_name
from pipeline.system.files.writing import write_into
from pipeline.system.folders import make_private

logger = logging.getLogger(__name__)

_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_held_here: "WeakValueDictionary[str, Lock]" = WeakValueDictionary()


class HeldError(Exception):
    """Another run holds the lock.

    Attributes:
        process: id of the process that holds it, None if unknown.
    """

    def __init__(self, process: int | None) -> None:
        super().__init__(f"held by process {process}")
        self.process = process

    def holder(self, what: str) -> str:
        """Return who holds the lock, for messages: ``another training (process 42)`` for ``training``."""
        return f"another {what}" + (f" (process {self.process})" if self.process is not None else "")


class Lock:
    """A lock file, locked until `release` or until the process ends.

    Where the file system does not support locks, the run continues without one and logs a warning.

    Args:
        path: path of the lock file. It is not removed on release.
        is_private: whether its folder is private; it is created if missing.

    Raises:
        HeldError: another run holds the lock.
        OSError: the file cannot be created, its folder is not private, or it is not a regular file.
    """

    def __init__(self, path: str, *, is_private: bool = True) -> None:
        if is_private:
            make_private(os.path.dirname(path))
        check_name(path)
        self._path = os.path.realpath(path)
        self._lock = FileLock(path, timeout=0, thread_local=False, on_acquired=_write_process_id)
        try:
            self._lock.acquire()
        except Timeout as error:
            raise HeldError(_read_process_id(path)) from error
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            logger.warning("%s: the file system does not support locks; start no second run on this output", path)
        _held_here[self._path] = self

    def remove(self) -> None:
        """Release the lock and remove its file: locked until then, as a moment later it may be another run's."""
        if os.name == "posix":
            remove(self._path)
            self.release()
        else:  # an open file cannot be removed
            self.release()
            remove(self._path)

    def release(self) -> None:
        """Release the lock; may be called more than once."""
        self._lock.release()
        if _held_here.get(self._path) is self:
            del _held_here[self._path]


@contextmanager
def hold_lock(
    path: str,
    named: str | Path,
    *,
    what: str,
    does: str,
    unusable: str,
    is_private: bool = True,
    is_removed: bool = False,
) -> Iterator[None]:
    """Context in which no other run holds the lock file at ``path``.

    Args:
        path: path of the lock file.
        named: the file or folder that is protected, for messages.
        what: what holds the lock, for messages: ``training``.
        does: what another one does with it and what to do, for messages: ``is writing it; wait for it, or stop it``.
        unusable: what fails without a lock file, for messages; ``{}`` stands for the reason.
        is_private: see `Lock`.
        is_removed: whether the lock file is removed at the end.

    Raises:
        OutputError: another run holds the lock, or there can be none.
    """
    try:
        lock = Lock(path, is_private=is_private)
    except HeldError as error:
        raise OutputError(named, f"{error.holder(what)} {does}") from error
    except OSError as error:
        raise OutputError(named, unusable.format(reason_of(error))) from error
    try:
        yield
    finally:
        if is_removed:
            lock.remove()
        else:
            lock.release()


def is_held_here(path: str) -> bool:
    """Return whether this process holds the lock at ``path``; process ids repeat between containers."""
    return os.path.realpath(path) in _held_here


def _write_process_id(descriptor: int) -> None:
    with suppress(OSError):  # only shown to users; the lock works on a full disk too
        write_into(descriptor, str(os.getpid()).encode())


def _read_process_id(path: str) -> int | None:
    with suppress(OSError, ValueError):
        return int(Path(path).read_bytes())
    return None
