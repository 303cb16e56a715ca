"""Inputs and outputs of a batch, which are paths or URLs, and the state folder of an output folder at a URL."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pipeline.errors import InputError
from pipeline.resume.fingerprint import content_hash, source_signature
from pipeline.resume.work_folder.manifest import NAME, SUFFIX, ManifestError, read_manifest
from pipeline.resume.work_folder.manifest import is_placed as is_placed_here
from pipeline.resume.work_folder.work_dir import clear_remains as clear_remains_here
from pipeline.storage.mirror import Mirror
from pipeline.system.files.reading import file_signature
from pipeline.system.folders import scratch_folder
from pipeline.system.urls import Store, StoreError, is_url

T = TypeVar("T")


def signature(path: str) -> tuple[int, int] | None:
    """Return size in bytes and modification time in nanoseconds of a file, None if there is none.

    Raises:
        InputError: the store does not answer.
    """
    if not is_url(path):
        return file_signature(path)
    found = _ask(path, lambda: Store(path).signature())
    return None if found is None else found[:2]


def input_state(path: str) -> tuple[Any, ...] | None:
    """Return what differs if an input was changed meanwhile; None if it cannot be read.

    Raises:
        InputError: the store does not answer.
    """
    return _ask(path, lambda: Store(path).signature()) if is_url(path) else source_signature(path)


def content(path: str) -> dict[str, Any]:
    """Return size and hash of an input; of one at a URL size, time and version, as it would have to be downloaded.

    Raises:
        InputError: it cannot be read.
    """
    if not is_url(path):
        return content_hash(path)
    found = _ask(path, lambda: Store(path).signature())
    if found is None:
        raise InputError(path, "there is no such file")
    return {"bytes": found[0], "time_ns": found[1], "version": found[2]}


def exists(path: str) -> bool:
    """Return whether an output exists, be it as a link that leads nowhere.

    Raises:
        InputError: the store does not answer.
    """
    return signature(path) is not None if is_url(path) else os.path.lexists(path)


def is_placed(target: str) -> bool:
    """Return whether ``target`` is the output of a run that was killed before it could record it.

    Raises:
        InputError: the store does not answer.
        OutputError: it does not answer any more.
    """
    if not is_url(target):
        return is_placed_here(target)
    found = signature(target)
    with scratch_folder() as folder:
        Mirror(target + SUFFIX, str(folder)).pull_file(NAME)
        try:
            manifest = read_manifest(str(folder))
        except ManifestError:
            return False
    if found is None or manifest is None or manifest.output_signature is None:
        return False
    return manifest.output_signature[0] == found[0]  # the time is that of the store


def clear_remains(target: str) -> None:
    """Remove what a run leaves that was killed at its very end.

    Raises:
        OutputError: the store does not answer.
    """
    if is_url(target):
        Mirror(target + SUFFIX, "").clear()
    else:
        clear_remains_here(target)


def pull_folder(url: str, folder: Path) -> None:
    """Copy the files of a state folder at a URL, which is small.

    Raises:
        OutputError: the store does not answer, or the disk is full.
    """
    Mirror(url, str(folder)).pull(lambda name: name.endswith(".json"))


def push_file(path: Path, url: str) -> None:
    """Copy a file to a URL.

    Raises:
        OSError: the store does not answer.
    """
    if url:
        Store(url).upload(str(path), "")


def _ask(path: str, work: Callable[[], T]) -> T:
    try:
        return work()
    except StoreError as error:
        raise InputError(
            path, f"its store fails ({error.strerror}); check the address and your access to it"
        ) from error
