"""Local copies of inputs at URLs. A machine downloads a file once, whatever number of workers read it.

CACHE/fetched/
    <hash>/film.mp4    a copy; the hash is that of its URL and its version
    <hash>/lock        locked while it is downloaded
    flowbrush-.../     scratch folder of a process, with its lock, and a link to the copy that it reads
"""

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.errors import InputError, reason_of
from pipeline.system.files.atomic import new_temporary, remove, replace_atomically
from pipeline.system.files.writing import make_link, set_time
from pipeline.system.folders import cache_folder, content_bytes, make_private, remove_private, scratch_folder
from pipeline.system.lock import HeldError, Lock
from pipeline.system.urls import Store, StoreError, is_url

# Copies that nobody reads are deleted, the oldest first, if all take more, or if less disk space would be left.
MOST_BYTES, FREE_BYTES = 200 * 2**30, 4 * 2**30
WAIT_SECONDS = 0.2
# A scratch folder that is so young may not be locked yet.
NEW_SECONDS = 60.0
_LOCK, _LINK = "lock", "read"
_SCRATCH = "flowbrush-"


@contextmanager
def working_folder() -> Iterator[Path]:
    """Context with a private scratch folder on the disk of the copies; deleted at the end, or after a crash later.

    Raises:
        OSError: it cannot be created.
    """
    place = _place()
    _remove_abandoned(place)
    with scratch_folder(place) as folder:
        lock = Lock(str(folder / _LOCK))
        try:
            yield folder
        finally:
            lock.release()


@contextmanager
def fetched(source: str) -> Iterator[str]:
    """Context with the path of a local copy of ``source``; of a path, the path itself.

    The copy has the modification time of the original, by which machines know that they have the same.

    Raises:
        InputError: it does not exist, the store does not answer, or the disk is full.
    """
    if not is_url(source):
        yield source
        return
    try:
        with working_folder() as folder:
            yield _copy_of(source, folder)
    except StoreError as error:
        raise InputError(source, f"cannot be read from its store ({error.strerror})") from error


def signature_of(source: str) -> tuple[int, int, str]:
    """Return size, modification time and version of the file at a URL.

    Raises:
        StoreError: there is none, or the store does not answer.
    """
    signature = Store(source).signature()
    if signature is None:
        raise StoreError(0, "there is no such file", source)
    return signature


def _copy_of(source: str, user: Path) -> str:
    """Return the path of the copy of ``source``, which stays as long as the folder ``user``; downloaded if missing."""
    signature = signature_of(source)
    digest = hashlib.sha256(repr((source, signature)).encode()).hexdigest()[:32]
    folder = _place() / digest
    copy = str(folder / source.rpartition("/")[2])
    try:
        with _locked(folder):
            make_link(str(folder), str(user / _LINK))
            if not os.path.exists(copy):
                _make_room(signature[0])
                _download(source, copy, signature)
            set_time(str(folder / _LOCK), time.time_ns())
    except StoreError:
        raise
    except OSError as error:
        raise InputError(source, f"cannot be copied to {folder} ({reason_of(error)}); free disk space") from error
    return copy


def _download(source: str, path: str, signature: tuple[int, int, str]) -> None:
    temporary = new_temporary(path)
    try:
        Store(source).download("", temporary)
        if os.path.getsize(temporary) != signature[0]:
            raise StoreError(0, "it was changed while it was read; run again", source)
        set_time(temporary, signature[1])
        replace_atomically(temporary, path)
    except BaseException:
        remove(temporary)
        raise


def _make_room(needed: int) -> None:
    """Delete copies that nobody reads until the next one fits."""
    copies = [folder for folder in _place().iterdir() if not folder.name.startswith(_SCRATCH)]
    copies.sort(key=lambda folder: _time_of(folder / _LOCK))
    total = sum(map(content_bytes, copies))
    for folder in copies:
        if total + needed <= MOST_BYTES and shutil.disk_usage(folder.parent).free - needed >= FREE_BYTES:
            return
        with suppress(HeldError, OSError), _locked_at_once(folder):
            if folder not in _used():
                total -= content_bytes(folder)
                remove_private(folder)


def _used() -> set[Path]:
    """Return the folders of the copies that processes read."""
    links = (folder / _LINK for folder in _place().iterdir() if folder.name.startswith(_SCRATCH))
    return {Path(os.readlink(link)) for link in links if link.is_symlink()}


def _remove_abandoned(place: Path) -> None:
    """Delete the scratch folders of processes that have died; a new one may not be locked yet."""
    for folder in place.iterdir():
        if folder.name.startswith(_SCRATCH) and time.time() - _time_of(folder) / 1e9 > NEW_SECONDS:
            with suppress(HeldError, OSError), _locked_at_once(folder):
                remove_private(folder)


@contextmanager
def _locked_at_once(folder: Path) -> Iterator[None]:
    """Context in which ``folder`` is locked.

    Raises:
        HeldError: another process has locked it.
    """
    lock = Lock(str(folder / _LOCK))
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Context in which no other process of this machine downloads into ``folder``."""
    while True:
        try:
            lock = Lock(str(folder / _LOCK))
            break
        except HeldError:
            time.sleep(WAIT_SECONDS)
    try:
        yield
    finally:
        lock.release()


def _place() -> Path:
    place = cache_folder() / "fetched"
    make_private(place)
    return place


def _time_of(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
