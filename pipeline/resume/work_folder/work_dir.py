"""The work folder of an output: its lock, its files, and nothing else that may be in the folder."""

import hashlib
import os
import re
from collections.abc import Sequence
from contextlib import suppress

from pipeline.errors import InUseError, OutputError
from pipeline.frames import State
from pipeline.resume.work_folder.manifest import (
    NAME,
    OLD_NAME,
    SUFFIX,
    Manifest,
    ManifestError,
    is_intact,
    read_manifest,
    work_dir_path,
)
from pipeline.resume.work_folder.segment_record import Segment
from pipeline.system.files.atomic import remove, remove_abandoned, write_atomically
from pipeline.system.files.reading import file_signature, own_digest, read_own
from pipeline.system.files.writing import remove_folder
from pipeline.system.folders import is_private, make_private
from pipeline.system.lock import HeldError, Lock, is_held_here

# Of frames with 100 million pixels, the largest that are decoded.
LARGEST_STATE_BYTES = 2**32
_LOCK = "lock"
# Nothing else is ever removed. The second of two names is that of earlier versions.
_OWN = re.compile(
    r"\d{8,}\.(mp4|mov|mkv|safetensors|png|jpe?g|tiff?|webp)|(first|next|behind|style\d+)\.safetensors|refine\.png"
    r"|mask\.npz|.+\.part"
)
_UNFINISHED = re.compile(r"(output|\d{8,}\..+|manifest\.jsonl?|\.flowbrush-.+)\.part")
_JOB = re.compile(r"(job|part)\d{4,}" + re.escape(SUFFIX))


class WorkDir:
    """A locked work folder, created if necessary; see `pipeline.resume.work_folder.manifest` for its content.

    Args:
        target: the output as the user named it.
        path: the folder; None for that of ``target``.

    Attributes:
        path: the folder.

    Raises:
        InUseError: another run has locked it.
        OutputError: it cannot be created, it is not private, or it is on another disk.
    """

    def __init__(self, target: str, path: str | None = None) -> None:
        self.path = work_dir_path(target) if path is None else path
        try:
            if path is not None:
                make_private(os.path.dirname(path))
            self._lock = Lock(os.path.join(self.path, _LOCK))
        except HeldError as error:
            raise InUseError(target, f"{error.holder('run')} is writing it; wait for it, or stop it") from error
        except OSError as error:
            what = "used" if os.path.lexists(self.path) else "created"
            raise OutputError(target, f"the folder {self.path} cannot be {what} ({error.strerror})") from error
        if os.stat(self.path).st_dev != os.stat(os.path.dirname(self.path)).st_dev:
            self._lock.release()
            reason = f"the folder {self.path} is on another disk than the output; unmount it"
            raise OutputError(target, reason)

    def file(self, name: str) -> str:
        """Return the path of a file in the folder."""
        return os.path.join(self.path, name)

    def count_intact(self, segments: Sequence[Segment]) -> int:
        """Return how many of ``segments``, from the first on, have the content that they should have."""
        for number, segment in enumerate(segments):
            if not is_intact(self.path, segment):
                return number
        return len(segments)

    def write_state(self, index: int, state: State) -> str:
        """Write the state of the stylizer before frame ``index``; return its hash.

        Raises:
            OSError: the disk is full.
        """
        from safetensors.numpy import save

        data = save(dict(state))
        write_atomically(self._state_file(index), data)
        return hashlib.sha256(data).hexdigest()

    def read_state(self, index: int, digest: str) -> State | None:
        """Return the state of the stylizer before frame ``index``, None unless it is there with its hash."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            data = read_own(self.path, os.path.basename(self._state_file(index)), most_bytes=LARGEST_STATE_BYTES)
            return dict(load(data)) if hashlib.sha256(data).hexdigest() == digest else None
        except (OSError, SafetensorError, ValueError):
            return None

    def write_style(self, number: int, content: bytes) -> str:
        """Write the weight file of a refined style; return its hash.

        Raises:
            OSError: the disk is full.
        """
        write_atomically(self.style_file(number), content)
        return hashlib.sha256(content).hexdigest()

    def style_file(self, number: int) -> str:
        """Return the path of the weight file of a refined style."""
        return self.file(f"style{number}.safetensors")

    def has_styles(self, digests: Sequence[str]) -> bool:
        """Return whether all refined styles have the content that they should have."""
        names = (os.path.basename(self.style_file(number)) for number in range(len(digests)))
        with suppress(OSError):
            return all(own_digest(self.path, name)[1] == digest for name, digest in zip(names, digests, strict=True))
        return False

    @property
    def mask_file(self) -> str:
        """Path of the tracked mask."""
        return self.file("mask.npz")

    def mask_digest(self) -> str | None:
        """Return the hash of the tracked mask, None if there is none."""
        with suppress(OSError):
            return own_digest(self.path, os.path.basename(self.mask_file))[1]
        return None

    def remove_state(self, index: int) -> None:
        """Remove the state before frame ``index``."""
        remove(self._state_file(index))

    @property
    def has_manifest(self) -> bool:
        """Whether there is a manifest, intact or not."""
        return any(os.path.lexists(self.file(name)) for name in (NAME, OLD_NAME))

    def remove_unfinished(self) -> None:
        """Remove the files that a killed run was writing."""
        for name in _names_in(self.path):
            if _UNFINISHED.fullmatch(name):
                remove(self.file(name))

    def clear(self) -> None:
        """Remove everything except the lock."""
        _remove_manifest(self.path)
        _remove_own(self.path)

    def close(self, *, is_kept: bool) -> None:
        """Unlock the folder; remove it unless it ``is_kept`` for a later run."""
        if is_kept:
            self._lock.release()
            return
        _remove_own(self.path)
        _remove_manifest(self.path)  # last: until then a later run finds that the output is in place
        self._lock.remove()
        remove_folder(self.path)  # unless another run has locked it, or it contains other files

    def _state_file(self, index: int) -> str:
        return self.file(f"{index:08}.safetensors")


def describe_partial_output(target: str, *, is_fresh: bool) -> str:
    """Return what is finished of ``target`` and how to resume, for users; if nothing is, remove the folder.

    For a process that is about to be ended. A folder that another process has locked, or cannot be read, stays.
    """
    path = work_dir_path(target)
    try:
        manifest = read_manifest(path)
    except ManifestError:
        return ""
    text = "" if manifest is None else partial_output_text(path, manifest, is_fresh=is_fresh)
    if not text and is_held_here(os.path.join(path, _LOCK)):
        _remove_all(path)
    return text


def partial_output_text(path: str, manifest: Manifest, *, is_fresh: bool) -> str:
    """Return how much of a clip is finished, where it is stored, and how to resume, for users; empty if nothing is.

    Args:
        path: the work folder.
        manifest: of the clip; its segment jobs are counted too.
        is_fresh: whether the run that is ending was started with ``--fresh``.
    """
    jobs = job_manifests(path) if manifest.split is not None and not manifest.is_complete else []
    finished = [each for each in (manifest, *jobs) if each.segments]
    if not finished:
        return ""
    seconds = sum(each.finished_seconds for each in finished)
    of = f" of {manifest.seconds:.3g} s" if manifest.seconds else ""
    command = "the same command without --fresh" if is_fresh else "the same command"
    return f"{min(seconds, manifest.seconds or seconds):.3g} s{of} are finished in {path}; {command} resumes"


def clear_remains(target: str) -> None:
    """Remove what a run leaves that was killed at its very end: an empty work folder, a second name of the output."""
    remove_abandoned(os.path.realpath(target))
    if os.path.isdir(work_dir_path(target)):
        with suppress(OutputError):  # another run has locked it
            work_dir = WorkDir(target)
            work_dir.close(is_kept=work_dir.has_manifest)


def remove_work_dir(target: str) -> None:
    """Remove the work folder of an output that is in place, unless another run has locked it."""
    with suppress(OutputError):
        WorkDir(target).close(is_kept=False)


def job_manifests(path: str) -> list[Manifest]:
    """Return the readable manifests of the segment jobs in a work folder."""
    found: list[Manifest] = []
    for name in sorted(_names_in(path)):
        if _JOB.fullmatch(name):
            with suppress(ManifestError):
                found += [manifest] if (manifest := read_manifest(os.path.join(path, name))) else []
    return found


def _remove_manifest(path: str) -> None:
    remove(os.path.join(path, NAME))
    remove(os.path.join(path, OLD_NAME))


def _remove_own(path: str) -> None:
    for name in _names_in(path):
        if _OWN.fullmatch(name):
            remove(os.path.join(path, name))
        elif _JOB.fullmatch(name):
            _remove_all(os.path.join(path, name))


def used_bytes(path: str) -> int:
    """Return how much disk space `WorkDir.clear` would free."""
    own = (os.path.join(path, name) for name in _names_in(path) if _OWN.fullmatch(name))
    jobs = (os.path.join(path, name) for name in _names_in(path) if _JOB.fullmatch(name))
    return sum(signature[0] for signature in map(file_signature, own) if signature) + sum(map(used_bytes, jobs))


def _remove_all(path: str) -> None:
    _remove_own(path)
    if is_private(path):
        remove(os.path.join(path, _LOCK))
        _remove_manifest(path)
        remove_folder(path)


def _names_in(folder: str) -> list[str]:
    """Return the names in a private folder; none if others have made it, or if it is a link."""
    with suppress(OSError):
        return os.listdir(folder) if is_private(folder) else []
    return []
