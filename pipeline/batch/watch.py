"""New clips in a folder, each only when it has stopped growing."""

import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.batch.inputs import Found, find_clips
from pipeline.errors import InputError
from pipeline.resume.work_dir import file_signature

# A recorder or a copy writes more often than this; a file that was last written long ago needs no second look.
STANDS_SECONDS = 5.0
LONG_AGO_SECONDS = 60.0


@dataclass(slots=True)
class _Seen:
    look: tuple[int, int]
    since: float
    is_taken: bool = False


class Watcher:
    """Looks at folders, and tells which clips have come.

    Args:
        folders: to look at, with all below.
        output: of the batch; what lies in it is left alone.
        known: files that are taken care of already.
    """

    def __init__(self, folders: Iterable[str], output: Path, known: Iterable[str] = ()) -> None:
        self._folders = tuple(folders)
        self._output = output
        self._seen: dict[str, _Seen] = {}
        for path in known:
            look = file_signature(path)
            if look is not None:
                self._seen[path] = _Seen(look, 0.0, is_taken=True)

    def arrived(self, busy: Collection[str] = ()) -> Iterator[Found]:
        """Clips that were not given before, or have changed since, and now stand still; none of a vanished folder.

        Args:
            busy: files whose turn is later: what became of them decides whether they are new.
        """
        now = time.monotonic()
        for found in self._found():
            if self._stands_still(found.path, now) and found.path not in busy:
                self._seen[found.path].is_taken = True
                yield found

    def expects(self, path: str) -> bool:
        """Whether a file has changed since it was given, and will be given again when it stands still."""
        look, seen = file_signature(path), self._seen.get(path)
        if look is None or (seen is not None and seen.is_taken and seen.look == look):
            return False
        return any(found.path == path for found in self._found())

    def _found(self) -> Iterator[Found]:
        for folder in self._folders:
            with suppress(InputError):
                yield from find_clips([folder], self._output)

    def _stands_still(self, path: str, now: float) -> bool:
        look = file_signature(path)
        if look is None or look[0] == 0:
            return False
        seen = self._seen.get(path)
        if seen is None or seen.look != look:
            seen = self._seen[path] = _Seen(look, now)
        if seen.is_taken:
            return False
        is_old = time.time() - look[1] / 1e9 > LONG_AGO_SECONDS
        return (is_old or now - seen.since >= STANDS_SECONDS) and not is_being_written(path)


def may_grow(path: str) -> bool:
    """Whether a file was written to just now, or may be."""
    look = file_signature(path)
    return look is None or time.time() - look[1] / 1e9 < STANDS_SECONDS or is_being_written(path)


def is_being_written(path: str) -> bool:
    """Whether someone has the file open for writing, where the system tells: Linux, a file of one's own.

    A read lease (fcntl(2), F_SETLEASE) is given only on a file that nobody has open for writing.
    """
    try:
        import fcntl

        lease, signal_of = fcntl.F_SETLEASE, fcntl.F_SETSIG
    except (ImportError, AttributeError):
        return False
    from signal import SIGURG

    with suppress(OSError), open(path, "rb") as file:
        fcntl.fcntl(file, signal_of, SIGURG)  # ignored; the usual SIGIO would end the process, should a writer come now
        try:
            fcntl.fcntl(file, lease, fcntl.F_RDLCK)
        except BlockingIOError:
            return True
        fcntl.fcntl(file, lease, fcntl.F_UNLCK)
    return False
