"""What tests that compile share: torch's precompiled headers take ten seconds and more to make."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


def _link_new_files(source: Path, target: Path) -> None:
    for folder in (source, target):
        folder.mkdir(mode=0o700, exist_ok=True)
    for file in source.iterdir():
        if file.is_file() and not (target / file.name).exists():
            try:
                os.link(file, target / file.name)
            except OSError:  # another file system, or another process was faster
                shutil.copy2(file, target / file.name)
