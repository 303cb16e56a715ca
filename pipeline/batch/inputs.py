"""Which clips are meant: files, folders, patterns, or a list on standard input."""

import codecs
import errno
import glob
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from pipeline.errors import InputError
from pipeline.resume.manifest import SUFFIX

JOB_FILES = (".toml", ".csv")

# Broken files with such an ending are reported; others in a folder that do not open are no video.
_VIDEO = re.compile(
    r"\.(3g2|3gp|asf|avi|divx|dv|f4v|flv|gif|h26[345]|hevc|ivf|m2ts|m4v|mkv|mov|mp4|mpe?g|mts|mxf|nut|ogv|rmvb|ts|vob|"
    r"webm|wmv|y4m)",
    re.IGNORECASE,
)


Note = Callable[[str], None]
"""Called with each thing that is left out, and that the user may not expect to be; one line."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file that may be a clip; or a folder below an input that cannot be read, and fails as such a clip does.

    Attributes:
        path: of it.
        folder: in which its output is to lie, relative to that of the batch.
        is_named: whether it was asked for by its name, so that it is an error where it is no video.
    """

    path: str
    folder: PurePath = field(default_factory=PurePath)
    is_named: bool = True


def find_clips(
    inputs: Iterable[str], output: Path | None = None, *, beside: str = "", note: Note = lambda line: None
) -> list[Found]:
    """The files that ``inputs`` mean, each once, in their order; those of a folder by name.

    Args:
        inputs: files, folders (with all below), patterns (``*``, ``**``, ``?``), or ``-`` for one of these a line of
            standard input.
        output: folder of the batch: what lies in it is no input of a folder or pattern.
        beside: folder that ``inputs`` are relative to, which may have any name; then ``-`` is a file.
        note: called with each folder that is left out.

    Raises:
        InputError: one of them is not there, or a pattern meets nothing.
    """
    own = None if output is None else os.path.realpath(output)
    found: dict[str, Found] = {}
    for text in inputs if beside else _lines(inputs):
        for clip in _meant(text, beside, own, note):
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
        lines = sys.stdin.buffer.read().removeprefix(codecs.BOM_UTF8).split(b"\n")
        yield from (_named(os.fsdecode(line.rstrip(b"\r"))) for line in lines if line.strip())


def _named(line: str) -> str:
    """A name in a list, without the blanks around it that are not its own."""
    return line if os.path.lexists(line) else line.strip()


def _meant(text: str, beside: str, own: str | None, note: Note) -> Iterator[Found]:
    path = os.path.join(beside, text)
    if os.path.isdir(path):
        yield from _below(path, own, note)
    elif os.path.lexists(path) or not glob.has_magic(text):
        if not os.path.exists(path):
            raise InputError(path, "there is no such file or folder; check the path")
        yield Found(path)
    else:
        yield from _matching(text, beside, own)


def _below(folder: str, own: str | None, note: Note) -> Iterator[Found]:
    """All files of a folder that are not hidden and not ours; behind them the folders that cannot be read."""
    failures: list[OSError] = []
    for place, folders, files in os.walk(folder, onerror=failures.append):
        if not os.access(place, os.X_OK):  # its files are listed, but cannot be opened
            failures.append(PermissionError(errno.EACCES, os.strerror(errno.EACCES), place))
            files, folders[:] = [], []
        folders[:] = sorted(name for name in folders if not _is_ours(os.path.join(place, name), own))
        relative = PurePath(os.path.relpath(place, folder))
        for path in (os.path.join(place, name) for name in folders):
            if os.path.islink(path) and not _is_within(path, folder):
                note(f"{path} is a link to a folder, and not followed; give it as an input of its own")
        for name in sorted(files):
            path = os.path.join(place, name)
            if not name.startswith(".") and (os.path.isfile(path) or os.path.islink(path)):
                yield Found(path, relative, is_named=False)
    for failure in failures:
        if failure.filename == folder:
            raise InputError(folder, f"the folder cannot be read ({failure.strerror})")
        yield Found(failure.filename, PurePath(os.path.relpath(failure.filename, folder)))


def _matching(pattern: str, beside: str, own: str | None) -> Iterator[Found]:
    root = Path(*_fixed(PurePath(pattern).parts))
    names = glob.glob(pattern, root_dir=beside or None, recursive=True)
    names = [name for name in sorted(names) if os.path.isfile(os.path.join(beside, name))]
    if not names:
        reason = "no file matches; check the pattern, and quote it if the shell should leave it alone"
        raise InputError(os.path.join(beside, pattern), reason)
    for name in names:
        folder = PurePath(name).relative_to(root).parent
        between = (Path(beside, root, part) for part in (folder, *folder.parents) if part.name)
        if not any(_is_ours(str(part), own) for part in between):
            yield Found(os.path.join(beside, name), folder, is_named=False)


def _fixed(parts: tuple[str, ...]) -> Iterator[str]:
    """The folders that a pattern begins with, without the brackets that take the meaning of a sign."""
    for part in parts[:-1]:
        name = re.sub(r"\[([*?[])\]", r"\1", part)
        if glob.has_magic(part) and part != glob.escape(name):
            return
        yield name


def _is_within(path: str, folder: str) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _is_ours(folder: str, own: str | None) -> bool:
    name = os.path.basename(folder)
    return name.startswith(".") or name.endswith(SUFFIX) or os.path.realpath(folder) == own
