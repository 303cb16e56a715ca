"""The folder of compiled code: keys by which it is found, and writes that other processes never see half done.

The only module of the models that writes files. The caller hands in a folder that only this user can write to.
"""

import contextlib
import hashlib
import inspect
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import models.frame_graph
import models.fused_kernels
import models.layers
import models.network
import models.pixels.color

_INDUCTOR = "TORCHINDUCTOR_CACHE_DIR"
SOURCES = (models.frame_graph, models.network, models.layers, models.fused_kernels, models.pixels.color)
"""Modules whose code becomes part of the compiled graph."""

_DIGEST = "sha256"
"""Name of the file with the hash of the file of `keep_file`."""
_MAKER = "compiler"
"""Name of the file with the version of the compiler that made it."""
_UNFINISHED = "unfinished-"
"""Start of the names of the folders in which `store` writes."""
_ABANDONED_SECONDS = 24 * 3600
"""Age from which such a folder is abandoned; compiling takes a minute, and clocks of machines differ."""


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
    target.parent.mkdir(0o700, parents=True, exist_ok=True)
    _delete_abandoned(target.parent)
    with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=target.parent, ignore_cleanup_errors=True) as temporary:
        complete = Path(temporary, "complete")
        complete.mkdir(0o700)
        write(complete)
        try:
            complete.rename(target)
        except OSError:
            if not (target / marker).exists():  # the rest of an interrupted deletion, not the work of another process
                shutil.rmtree(target, ignore_errors=True)
                complete.rename(target)


def _delete_abandoned(folder: Path) -> None:
    """Delete what processes left in ``folder`` that were killed while they wrote, be it on another machine."""
    for path in folder.glob(f"{_UNFINISHED}*"):
        with contextlib.suppress(OSError):  # another process was faster
            if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(path, ignore_errors=True)


def keep_file(path: Path, write: Callable[[Path], Path], maker: str) -> None:
    """Let ``write`` fill an empty folder; keep at ``path`` the file that it returns, with hash and maker beside it.

    Args:
        path: in a folder that `store` fills.
        write: called with the folder to fill; deleted with all else in it.
        maker: version of the compiler.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        write(Path(folder)).rename(path)
    path.with_name(_DIGEST).write_text(_digest(path))
    path.with_name(_MAKER).write_text(maker)


def origin(path: Path) -> tuple[str, str]:
    """Return the hash of a file of `keep_file`, and the version of the compiler that made it; empty if unknown."""
    found = []
    for name in (_DIGEST, _MAKER):
        try:
            found.append(path.with_name(name).read_text().strip())
        except OSError:  # nothing is compiled, or a version made it that did not record its compiler
            found.append("")
    return found[0], found[1]


def is_intact(path: Path) -> bool:
    """Return whether a file of `keep_file` is as it was written."""
    return _digest(path) == path.with_name(_DIGEST).read_text()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def delete(target: Path) -> None:
    """Delete a folder that `store` filled, as far as possible."""
    shutil.rmtree(target, ignore_errors=True)


def use_torch_cache(cache: Path) -> None:
    """Let torch keep and look for code below ``cache``; call it before anything imports ``torch._dynamo``.

    By default torch uses a folder in the system's temporary folder with a name that everybody knows: whoever makes it
    first puts code into this process. The user may choose another folder with ``TORCHINDUCTOR_CACHE_DIR``.

    Args:
        cache: a folder that only this user can write to.
    """
    os.environ[_INDUCTOR] = os.environ.get(_INDUCTOR) or str(cache / "inductor")
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    if os.path.abspath(os.environ[_INDUCTOR]) == default_cache_dir():  # torch itself has set it
        os.environ[_INDUCTOR] = str(cache / "inductor")


def use_compiler_cache(cache: Path) -> None:
    """Call `use_torch_cache`, and let torch's compiler keep its headers there too; call it before anything is compiled.

    Precompiled headers are in the system's temporary folder whatever ``TORCHINDUCTOR_CACHE_DIR`` says.
    """
    use_torch_cache(cache)
    from torch._inductor import codecache, config

    if hasattr(codecache, "_HEADER_DIR") and hasattr(codecache, "_HEADER_LOCK_DIR"):
        codecache._HEADER_DIR = str(cache / "headers")
        codecache._HEADER_LOCK_DIR = str(cache / "headers" / "locks")
    else:  # another version of torch: compiling takes longer
        config.cpp_cache_precompile_headers = False
