"""The folder of compiled code: keys by which it is found, and writes that other processes never see half done."""

import hashlib
import inspect
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import models.color
import models.frame_graph
import models.fused_kernels
import models.layers
import models.network

SOURCES = (models.frame_graph, models.network, models.layers, models.fused_kernels, models.color)
"""Modules whose code becomes part of the compiled graph."""


def cache_key(facts: str, *more: bytes) -> str:
    """Return a file name that depends on ``facts``, on ``more``, and on the source code of the graph."""
    digest = hashlib.sha256(facts.encode())
    for module in SOURCES:
        digest.update(Path(inspect.getfile(module)).read_bytes())
    for content in more:
        digest.update(content)
    return digest.hexdigest()[:32]


def store(target: Path, marker: str, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill the folder ``target``, all or nothing; another process may load or store the same.

    Args:
        target: the folder.
        marker: name of a file that a complete folder has.
        write: called with the folder to fill.

    Raises:
        OSError: the cache cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, ignore_cleanup_errors=True) as temporary:
        complete = Path(temporary, "complete")
        complete.mkdir()
        write(complete)
        try:
            complete.rename(target)
        except OSError:
            if not (target / marker).exists():  # the rest of an interrupted deletion, not the work of another process
                shutil.rmtree(target, ignore_errors=True)
                complete.rename(target)


def use_inductor_cache(cache: Path) -> None:
    """Let torch's compiler keep its code below ``cache``, unless the user has chosen a folder."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache / "inductor"))
