"""What tests that compile share: torch's precompiled headers and the C++ network take ten seconds and more to make."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from models.engines.cache import store
from models.engines.native import LIBRARY
from pipeline.system.folders import cache_folder


@contextmanager
def shared_precompiled_headers(cache: Path) -> Iterator[None]:
    """Let the cache of a test use the precompiled headers of this machine's cache, and keep there what it makes.

    Enter it before the cache is set. Hard links, since a cache refuses symbolic ones.
    """
    shared, own = cache_folder() / "headers", cache / "headers"
    _link_new_files(shared, own)
    yield
    _link_new_files(own, shared)


@contextmanager
def shared_native_code(cache: Path) -> Iterator[None]:
    """Let the cache of a test use the C++ network as it lies in this machine's cache, and keep there what it compiles.

    The names of the folders depend on the code, the compiler and its flags: what has changed is compiled.
    """
    shared, own = cache_folder() / "native", cache / "native"
    _link_new_libraries(shared, own)
    yield
    _link_new_libraries(own, shared)


def _link_new_libraries(source: Path, target: Path) -> None:
    for library in source.glob(f"*/{LIBRARY}"):
        folder = library.parent
        if not (target / folder.name).exists():
            store(target / folder.name, LIBRARY, partial(_link_new_files, folder))


def _link_new_files(source: Path, target: Path) -> None:
    for folder in (source, target):
        folder.mkdir(mode=0o700, exist_ok=True)
    for file in source.iterdir():
        if file.is_file() and not (target / file.name).exists():
            try:
                os.link(file, target / file.name)
            except OSError:  # another file system, or another process was faster
                shutil.copy2(file, target / file.name)
