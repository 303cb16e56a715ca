"""The clips of a batch: files, folders, patterns, or a list on standard input."""

import codecs
import errno
import fnmatch
import glob
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from pipeline.errors import InputError
from pipeline.media.image_sequence import is_sequence
from pipeline.notices import Notify
from pipeline.resume.work_folder.manifest import SUFFIX
from pipeline.system.files.names import describe_links, is_inside
from pipeline.system.urls import Store, StoreError, is_url, join_url

JOB_FILES = (".toml", ".csv")

# A broken file with one of these endings is an error; any other file in a folder that does not open is no video.
_VIDEO = re.compile(
    r"\.(3g2|3gp|asf|avi|divx|dv|f4v|flv|gif|h26[345]|hevc|ivf|m2ts|m4v|mkv|mov|mp4|mpe?g|mts|mxf|nut|ogv|rmvb|ts|vob|"
    r"webm|wmv|y4m)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file that may be a clip, or an unreadable subfolder, which fails as an unreadable clip does.

    Attributes:
        path: path of the file.
        folder: folder of its output, relative to the output folder.
        root: folder that the user named and that no link may lead out of; None for a file that the user named.
    """

    path: str
    folder: PurePath = field(default_factory=PurePath)
    root: str | None = None

    @property
    def is_named(self) -> bool:
        """Whether the user named the file."""
        return self.root is None


def find_clips(
    inputs: Iterable[str], output: Path | None = None, *, base: str = "", notify: Notify = lambda line: None
) -> list[InputFile]:
    """Return the files that ``inputs`` name, each once, in their order; those of a folder by name.

    Args:
        inputs: files, image sequences, folders with all their subfolders, patterns (``*``, ``**``, ``?``), or ``-`` for
            a list on standard input, one a line.
        output: output folder of the batch; folders and patterns do not include what lies in it.
        base: folder that ``inputs`` are relative to; with one, ``-`` is the name of a file.
        notify: called with a line for each folder that is skipped, and with one on the links to files that are.

    Raises:
        InputError: an input does not exist, or a pattern matches nothing.
    """
    own = None if output is None else os.path.realpath(output)
    found: dict[str, InputFile] = {}
    for text in inputs if base else _expand_stdin(inputs):
        for file in _files(text, base, own, notify, str(output)):
            name = file.path if is_url(file.path) else os.path.realpath(file.path)
            known = found.get(name)
            if known is None or (file.is_named and not known.is_named):
                found[name] = file
    return list(found.values())


def looks_like_video(path: str) -> bool:
    """Return whether the ending of a file that cannot be opened is that of a video."""
    return _VIDEO.fullmatch(PurePath(path).suffix) is not None


def _expand_stdin(inputs: Iterable[str]) -> Iterator[str]:
    for text in inputs:
        if text != "-":
            yield text
            continue
        if sys.stdin is None:  # closed by the shell, as by <&-
            raise InputError("-", "standard input is closed; pipe in a list of files, one a line")
        lines = sys.stdin.buffer.read().removeprefix(codecs.BOM_UTF8).split(b"\n")
        yield from (_without_blanks(os.fsdecode(line.rstrip(b"\r"))) for line in lines if line.strip())


def _without_blanks(line: str) -> str:
    """Strip the blanks around a name, unless a file has that name."""
    return line if os.path.lexists(line) else line.strip()


def _files(text: str, base: str, own: str | None, notify: Notify, output: str) -> Iterator[InputFile]:
    path = os.path.join(base, text)
    if is_url(text):
        yield from _at_url(text, output)
    elif os.path.isdir(path):
        yield from _walk(path, own, notify)
    elif is_sequence(path):
        yield InputFile(path)
    elif os.path.lexists(path) or not glob.has_magic(text):
        if not os.path.exists(path):
            raise InputError(path, "there is no such file or folder; check the path")
        yield InputFile(path)
    else:
        yield from _match(text, base, own, notify)


def _at_url(url: str, output: str) -> Iterator[InputFile]:
    """Yield a file at a URL, those that a pattern matches, or the videos in a folder that are not ours."""
    try:
        if glob.has_magic(url):
            found = [InputFile(each) for each in Store(url).match()]
        elif Store(url).signature() is not None:
            found = [InputFile(url)]
        else:
            names = [name for name, _ in Store(url).find() if looks_like_video(name) and not _is_inside_ours(name)]
            found = [InputFile(join_url(url, name), PurePath(name).parent) for name in names]
            own = Path(output).as_posix()
            found = [file for file in found if not Path(file.path).as_posix().startswith(f"{own}/")]
    except StoreError as error:
        raise InputError(url, f"its store fails ({error.strerror}); check the address and your access to it") from error
    if not found:
        raise InputError(url, "there is no such file, and no video below; check the address")
    yield from found


def _is_inside_ours(name: str) -> bool:
    return any(part.startswith(".") or part.endswith(SUFFIX) for part in PurePath(name).parts)


def _walk(folder: str, own: str | None, notify: Notify) -> Iterator[InputFile]:
    """Yield all files of a folder that are not hidden and not ours, then its unreadable subfolders."""
    failures: list[OSError] = []
    outside: list[str] = []
    for place, folders, files in os.walk(folder, onerror=failures.append):
        if not os.access(place, os.X_OK):  # its files can be listed, but not opened
            failures.append(PermissionError(errno.EACCES, os.strerror(errno.EACCES), place))
            files, folders[:] = [], []
        folders[:] = sorted(name for name in folders if not _is_ours(os.path.join(place, name), own))
        relative = PurePath(os.path.relpath(place, folder))
        _note_links((os.path.join(place, name) for name in folders), folder, notify)
        for name in sorted(files):
            path = os.path.join(place, name)
            if name.startswith(".") or (os.path.exists(path) and not os.path.isfile(path)):
                continue
            if os.path.islink(path) and not is_inside(path, folder):
                outside.append(path)
            else:  # a file, or a broken link
                yield InputFile(path, relative, folder)
    if outside:
        notify(describe_links(outside, folder))
    for failure in failures:
        if failure.filename == folder:
            raise InputError(folder, f"the folder cannot be read ({failure.strerror})")
        yield InputFile(failure.filename, PurePath(os.path.relpath(failure.filename, folder)))


def _match(pattern: str, base: str, own: str | None, notify: Notify) -> Iterator[InputFile]:
    root = Path(*_literal_folders(PurePath(pattern).parts))
    names = [name for name in sorted(_expand(pattern, base, notify)) if os.path.isfile(os.path.join(base, name))]
    if not names:
        reason = "no file matches; check the pattern, and quote it to keep the shell from expanding it"
        raise InputError(os.path.join(base, pattern), reason)
    place = os.path.join(base, root)
    outside = [name for name in names if not is_inside(os.path.join(base, name), place)]
    if outside:
        notify(describe_links([os.path.join(base, name) for name in outside], place))
    for name in sorted({*names} - {*outside}):
        folder = PurePath(name).relative_to(root).parent
        subfolders = (Path(base, root, each) for each in (folder, *folder.parents) if each.name)
        if not any(_is_ours(str(subfolder), own) for subfolder in subfolders):
            yield InputFile(os.path.join(base, name), folder, place)


def _expand(pattern: str, base: str, notify: Notify, *, for_files: bool = True) -> set[str]:
    """Return the files that match a pattern, as `glob.glob` does with ``recursive``; but ``**`` follows no links.

    Those may lead in circles, through which there are more ways than anybody can count.
    """
    folder, part = os.path.split(pattern)
    if not part:  # ends in a slash
        return {pattern} if folder == pattern else _expand(folder, base, notify, for_files=for_files)
    parents = _expand(folder, base, notify, for_files=False) if glob.has_magic(folder) else {folder}
    found: set[str] = set()
    for parent in parents:
        place = os.path.join(base, parent) or "."
        names = _below(place, notify, with_files=for_files) if part == "**" else _matching(place, part)
        found.update(os.path.join(parent, name) for name in names)
    return found


def _matching(place: str, part: str) -> list[str]:
    """Return the names in a folder that match one part of a pattern; ``*`` does not match hidden ones."""
    if not glob.has_magic(part):
        return [part] if os.path.lexists(os.path.join(place, part)) else []
    try:
        names = fnmatch.filter(os.listdir(place), part)
    except OSError:
        return []
    return [name for name in names if part.startswith(".") or not name.startswith(".")]


def _below(place: str, notify: Notify, *, with_files: bool) -> Iterator[str]:
    """Yield an empty name for the folder itself, and the names of what is below it and not hidden."""
    yield ""
    for folder, folders, files in os.walk(place):
        folders[:] = [name for name in folders if not name.startswith(".")]
        _note_links((os.path.join(folder, name) for name in folders), place, notify)
        inside = [name for name in folders if not os.path.islink(os.path.join(folder, name))]
        inside += [name for name in files if with_files and not name.startswith(".")]
        yield from (os.path.relpath(os.path.join(folder, name), place) for name in inside)


def _note_links(folders: Iterable[str], root: str, notify: Notify) -> None:
    for path in folders:
        if os.path.islink(path) and not is_inside(path, root):
            notify(f"{path} is a link to a folder and is skipped; to include it, name it as an input")


def _literal_folders(parts: tuple[str, ...]) -> Iterator[str]:
    """Yield the folders before the first wildcard of a pattern, without the brackets that escape a character."""
    for part in parts[:-1]:
        name = re.sub(r"\[([*?[])\]", r"\1", part)
        if glob.has_magic(part) and part != glob.escape(name):
            return
        yield name


def _is_ours(folder: str, own: str | None) -> bool:
    name = os.path.basename(folder)
    return name.startswith(".") or name.endswith(SUFFIX) or os.path.realpath(folder) == own
