"""Which clips are meant: files, folders, patterns, or a list on standard input."""

import glob
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from pipeline.errors import InputError
from pipeline.manifest import SUFFIX

JOB_FILES = (".toml", ".csv")
STATE_FOLDER = ".flowbrush-batch"

# Broken files with such an ending are reported; others in a folder that do not open are no video.
_VIDEO = re.compile(
    r"\.(3g2|3gp|asf|avi|divx|dv|f4v|flv|gif|h26[345]|hevc|ivf|m2ts|m4v|mkv|mov|mp4|mpe?g|mts|mxf|nut|ogv|rmvb|ts|vob|"
    r"webm|wmv|y4m)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Found:
    """A file that may be a clip.

    Attributes:
        path: of it.
        folder: in which its output is to lie, relative to that of the batch.
        is_named: whether it was asked for by its name, so that it is an error where it is no video.
    """

    path: str
    folder: PurePath = field(default_factory=PurePath)
    is_named: bool = True


def find_clips(inputs: Iterable[str], output: Path | None = None) -> list[Found]:
    """The files that ``inputs`` mean, each once, in their order; those of a folder by name.

    Args:
        inputs: files, folders (with all below), patterns (``*``, ``**``, ``?``), or ``-`` for one of these a line of
            standard input.
        output: folder of the batch: what lies in it is no input of a folder or pattern.

    Raises:
        InputError: one of them is not there, or a pattern meets nothing.
    """
    own = None if output is None else os.path.realpath(output)
    found: dict[str, Found] = {}
    for text in _lines(inputs):
        for clip in _meant(text, own):
            known = found.get(os.path.realpath(clip.path))
            if known is None or (clip.is_named and not known.is_named):
                found[os.path.realpath(clip.path)] = clip
    return list(found.values())


def looks_like_video(path: str) -> bool:
    """Whether a file that cannot be opened seems to be a clip all the same."""
    return _VIDEO.fullmatch(PurePath(path).suffix) is not None


def _lines(inputs: Iterable[str]) -> Iterator[str]:
    for text in inputs:
        if text != "-":
            yield text
            continue
        if sys.stdin is None:  # closed by the shell, as by <&-
            raise InputError("-", "standard input is closed; pipe a list of files in, one a line")
        yield from (line for line in sys.stdin.read().splitlines() if line.strip())


def _meant(text: str, own: str | None) -> Iterator[Found]:
    if os.path.isdir(text):
        yield from _below(text, own)
    elif os.path.lexists(text) or not glob.has_magic(text):
        if not os.path.exists(text):
            raise InputError(text, "there is no such file or folder; check the path")
        yield Found(text)
    else:
        yield from _matching(text, own)


def _below(folder: str, own: str | None) -> Iterator[Found]:
    """All files of a folder that are not hidden and not ours."""
    failures: list[OSError] = []
    for place, folders, files in os.walk(folder, onerror=failures.append):
        folders[:] = sorted(name for name in folders if not _is_ours(os.path.join(place, name), own))
        relative = PurePath(os.path.relpath(place, folder))
        for name in sorted(files):
            if not name.startswith(".") and os.path.isfile(os.path.join(place, name)):
                yield Found(os.path.join(place, name), relative, is_named=False)
        if failures and place == folder:
            break
    if failures and failures[0].filename == folder:
        raise InputError(folder, f"the folder cannot be read ({failures[0].strerror})")


def _matching(pattern: str, own: str | None) -> Iterator[Found]:
    root = Path(*_fixed(PurePath(pattern).parts))
    paths = [path for path in sorted(glob.glob(pattern, recursive=True)) if os.path.isfile(path)]
    if not paths:
        raise InputError(pattern, "no file matches; check the pattern, and quote it if the shell should leave it alone")
    for path in paths:
        if not any(_is_ours(str(parent), own) for parent in Path(path).parents if parent != root):
            yield Found(path, PurePath(os.path.relpath(os.path.dirname(path) or ".", root)), is_named=False)


def _fixed(parts: tuple[str, ...]) -> Iterator[str]:
    for part in parts[:-1]:
        if glob.has_magic(part):
            return
        yield part


def _is_ours(folder: str, own: str | None) -> bool:
    name = os.path.basename(folder)
    return name.startswith(".") or name.endswith(SUFFIX) or os.path.realpath(folder) == own
