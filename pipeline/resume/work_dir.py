"""The folder beside an output in which its finished segments are kept; one run at a time works in it."""

import os
import re
from collections.abc import Sequence
from contextlib import suppress

from pipeline.atomic import write_in_place
from pipeline.errors import OutputError
from pipeline.frames import State
from pipeline.resume.lock import HeldError, Lock, is_held_here
from pipeline.resume.manifest import NAME, SUFFIX, ManifestError, Segment, read_manifest, work_dir

_LOCK = "lock"
# Nothing else is ever removed, should the folder be used for more.
_OWN = re.compile(r"\d{8,}\.(mp4|mov|mkv|safetensors)|(first|behind)\.safetensors|.+\.part")
_UNFINISHED = re.compile(r"(output|\d{8,}\..+|manifest\.json)\.part")
_PART = re.compile(r"part\d{4,}" + re.escape(SUFFIX))


class WorkDir:
    """Made, and locked, where it is opened; see `pipeline.resume.manifest` for what lies in it.

    Args:
        target: the output as the user named it.
        path: of the folder; None for the one beside ``target``.

    Attributes:
        path: of the folder.

    Raises:
        OutputError: another run works in it, or it cannot be made.
    """

    def __init__(self, target: str, path: str | None = None) -> None:
        self.path = work_dir(target) if path is None else path
        try:
            self._lock = Lock(os.path.join(self.path, _LOCK))
        except HeldError as error:
            process = f" (process {error.process})" if error.process is not None else ""
            raise OutputError(target, f"another run{process} is painting it; wait for it, or end it") from error
        except OSError as error:
            raise OutputError(target, f"the folder {self.path} cannot be made ({error.strerror})") from error

    def file(self, name: str) -> str:
        """The path of a file in it."""
        return os.path.join(self.path, name)

    def count_whole(self, segments: Sequence[Segment]) -> int:
        """How many of ``segments``, from the first on, are there in their full size."""
        for number, segment in enumerate(segments):
            found = file_signature(self.file(segment.file))
            if found is None or found[0] != segment.bytes:
                return number
        return len(segments)

    def write_state(self, index: int, state: State) -> None:
        """Keep what the frames before ``index`` leave to those after.

        Raises:
            OSError: the disk is full.
        """
        from safetensors.numpy import save

        write_in_place(self._state_file(index), save(dict(state)))

    def read_state(self, index: int) -> State | None:
        """What `write_state` kept; None where it is lost or damaged."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            with open(self._state_file(index), "rb") as file:
                return dict(load(file.read()))
        except (OSError, SafetensorError, ValueError):
            return None

    def forget_state(self, index: int) -> None:
        """Remove what `write_state` kept."""
        remove(self._state_file(index))

    @property
    def holds_work(self) -> bool:
        """Whether there is a manifest in it, be it damaged."""
        return os.path.lexists(self.file(NAME))

    def own_bytes(self) -> int:
        """How much room `clear` would make."""
        return _own_bytes(self.path)

    def forget_unfinished(self) -> None:
        """Remove what a killed run was about to write."""
        for name in _names_in(self.path):
            if _UNFINISHED.fullmatch(name):
                remove(self.file(name))

    def clear(self) -> None:
        """Remove all work."""
        remove(self.file(NAME))
        self._remove_own()

    def leave(self, *, is_kept: bool) -> None:
        """Let go of the folder; without work in it that is kept, it is removed."""
        if is_kept:
            self._lock.release()
            return
        self._remove_own()
        remove(self.file(NAME))  # behind all else: until then a later run knows that the output is finished
        if os.name == "posix":  # held until its file is gone, which might be another run's a moment later
            remove(self.file(_LOCK))
            self._lock.release()
        else:  # where an open file cannot be removed, nor one that another run has opened
            self._lock.release()
            remove(self.file(_LOCK))
        with suppress(OSError):  # another run was faster to come, or the user keeps something here
            os.rmdir(self.path)

    def _remove_own(self) -> None:
        _remove_own(self.path)

    def _state_file(self, index: int) -> str:
        return self.file(f"{index:08}.safetensors")


def describe_partial_output(target: str, *, is_fresh: bool) -> str:
    """What the work on ``target`` leaves when it ends at once, for people; without any its folder is removed.

    For a process that has no time left to do so itself. What another one works in, or what cannot be read, stays.
    """
    path = work_dir(target)
    try:
        manifest = read_manifest(path)
    except ManifestError:
        return ""
    kept = "" if manifest is None else manifest.what_is_kept(path, is_fresh=is_fresh)
    if not kept and is_held_here(os.path.join(path, _LOCK)):
        _remove_all(path)
    return kept


def file_signature(path: str) -> tuple[int, int] | None:
    """Size in bytes and time in nanoseconds by which a file is known again; None where it is not there."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def clear_remains(target: str) -> None:
    """Remove the folder of the finished output ``target``, should its run have been killed in its very last steps."""
    if os.path.isdir(work_dir(target)):
        with suppress(OutputError):  # another run works in it
            folder = WorkDir(target)
            folder.leave(is_kept=folder.holds_work)


def remove(path: str) -> None:
    """Remove a file, if it is there and can be."""
    with suppress(OSError):
        os.unlink(path)


def _remove_own(path: str) -> None:
    for name in _names_in(path):
        if _OWN.fullmatch(name):
            remove(os.path.join(path, name))
        elif _PART.fullmatch(name):
            _remove_all(os.path.join(path, name))


def _own_bytes(path: str) -> int:
    own = (name for name in _names_in(path) if _OWN.fullmatch(name))
    parts = (name for name in _names_in(path) if _PART.fullmatch(name))
    sizes = (file_signature(os.path.join(path, name)) for name in own)
    return sum(size[0] for size in sizes if size) + sum(_own_bytes(os.path.join(path, name)) for name in parts)


def _remove_all(path: str) -> None:
    _remove_own(path)
    remove(os.path.join(path, _LOCK))
    remove(os.path.join(path, NAME))
    with suppress(OSError):
        os.rmdir(path)


def _names_in(folder: str) -> list[str]:
    with suppress(OSError):
        return os.listdir(folder)
    return []
