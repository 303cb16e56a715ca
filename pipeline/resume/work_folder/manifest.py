"""The manifest of a work folder: everything about a render except its pixels.

film.mp4.flowbrush/
    lock                     locked by the run that works here
    manifest.jsonl           this
    00000000.mp4 ...         finished segments, named after their first frame
    00000120.safetensors     state of the stylizer before that frame; of the newest segments only
    style0.safetensors ...   the refined styles of pictures, if there are any
    refine.png               what the refinement has reached so far
    mask.npz                 the mask of each frame, if it is tracked between key frames
    job0000.flowbrush/ ...   with several workers: the same for each segment job
    *.part                   unfinished files

Every other file is written under another name and renamed before the manifest names it, so that all files it names are
complete. The manifest has one JSON object in each line: first what the render is, then what became of it, in the order
in which it happened. A finished segment is one more line, so a long film costs no more per segment than a short one.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from pipeline.errors import first_line
from pipeline.resume.work_folder import manifest_check as check
from pipeline.resume.work_folder.segment_record import Segment, parse_segments
from pipeline.system.files.atomic import write_atomically
from pipeline.system.files.reading import file_signature, own_digest, read_own
from pipeline.system.files.writing import append

FORMAT = 5
SUFFIX = ".flowbrush"
NAME = "manifest.jsonl"
OLD_NAME = "manifest.json"
"""Of earlier versions, which cannot be resumed."""
LONGEST_NAME_BYTES = 255
_OTHER_VERSION = "written by another version"
# Parts of a manifest of which the last line counts, with their values if there is no line.
_LAST_COUNTS: dict[str, Any] = {
    "engine": {},
    "styles": [],
    "mask": None,
    "split": None,
    "complete_frames": None,
    "output_signature": None,
}


class ManifestError(ValueError):
    """There is a manifest, but it cannot be read."""


@dataclass(frozen=True, slots=True)
class _Written:
    """What the file of a manifest contains.

    Attributes:
        file: its path.
        size_bytes: its size.
        parts: see `Manifest._parts`.
    """

    file: str
    size_bytes: int
    parts: "dict[object, Segment | bytes]"


@dataclass
class Manifest:
    """Everything about a render except its pixels.

    Attributes:
        identity: what the frames depend on; a run with another identity starts from scratch. See
            `pipeline.resume.fingerprint`.
        engine: the engine that stylizes from the first frame on. See `pipeline.resume.engine`.
        changes: other engines that take over, each with the number of its first frame, the first of a segment.
        time_base: of the source, in which segments count.
        seconds: duration of the clip, None if its header reports none.
        segments: the finished segments.
        damage: unreadable places of the input up to the last segment; see `pipeline.media.damage`.
        is_complete: True if the segments cover the whole clip.
        output_signature: `file_signature` of the output, recorded just before it is renamed into place.
        styles: hashes of the refined styles, in the order of their files; see `SegmentStore.refined`.
        mask: hash of the tracked mask; None without one. See `SegmentStore.tracked_mask`.
        split: how the clip is split into segment jobs; None if one process stylizes it. See `pipeline.workers.merge`.
    """

    identity: dict[str, Any]
    engine: dict[str, Any] = field(default_factory=dict)
    time_base: Fraction = Fraction(1)
    seconds: float | None = None
    segments: list[Segment] = field(default_factory=list)
    damage: list[dict[str, Any]] = field(default_factory=list)
    is_complete: bool = False
    output_signature: tuple[int, int] | None = None
    styles: list[str] = field(default_factory=list)
    mask: str | None = None
    split: dict[str, Any] | None = None
    changes: list[dict[str, Any]] = field(default_factory=list)
    _written: _Written | None = field(default=None, repr=False, compare=False)

    @property
    def frames(self) -> int:
        """Number of frames in the finished segments."""
        return sum(len(segment.pts) for segment in self.segments)

    def engine_at(self, frame: int) -> dict[str, Any]:
        """Return the engine that stylizes the frame of this number."""
        engines = [self.engine, *(change["engine"] for change in self.changes if change["frame"] <= frame)]
        return dict(engines[-1])

    @property
    def finished_seconds(self) -> float:
        """Duration of the finished segments in seconds."""
        if not self.segments:
            return 0.0
        last = self.segments[-1]
        return float((last.pts[-1] + (last.durations[-1] or 0) - self.segments[0].pts[0]) * self.time_base)

    def is_placed(self, target: str) -> bool:
        """Return whether the output is in place: the run was killed while it removed the work folder."""
        signature = self.output_signature
        return signature is not None and signature == file_signature(os.path.realpath(target))

    def write(self, folder: str) -> None:
        """Write the manifest into a work folder, and sync it to disk.

        What is new is appended. The first time, and where lines would have to change, the file is replaced atomically.

        Raises:
            OSError: the disk is full.
        """
        file, parts, written = os.path.join(folder, NAME), dict(self._parts()), self._written
        new = None if written is None or written.file != file else _added(written.parts, parts)
        if written is not None and new is not None:
            lines = b"".join(map(_line, new))
            with suppress(OSError):  # it was replaced or removed; if the disk is full, so does the next attempt fail
                append(file, lines, after_bytes=written.size_bytes)
                self._written = _Written(file, written.size_bytes + len(lines), parts)
                return
        content = b"".join(map(_line, parts.values()))
        self._written = None
        write_atomically(file, content)
        self._written = _Written(file, len(content), parts)

    def _parts(self) -> Iterator[tuple[object, Segment | bytes]]:
        """Yield the lines by their keys; a segment as it is, since it is serialized only once."""
        head = {"format": FORMAT, "identity": self.identity, "time_base": str(self.time_base), "seconds": self.seconds}
        yield "head", _json_line(head)
        complete_frames = self.frames if self.is_complete else None
        changing = {
            "engine": self.engine,
            "styles": self.styles,
            "mask": self.mask,
            "split": self.split,
            "complete_frames": complete_frames,
            "output_signature": self.output_signature,
        }
        for name, value in changing.items():
            if value != _LAST_COUNTS[name]:
                yield name, _json_line({name: value})
        for number, change in enumerate(self.changes):
            yield ("change", number), _json_line({"change": change})
        for number, place in enumerate(self.damage):
            yield ("damage", number), _json_line({"damage": place})
        for segment in self.segments:
            yield segment.file, segment


def _added(
    before: "dict[object, Segment | bytes]", now: "dict[object, Segment | bytes]"
) -> "list[Segment | bytes] | None":
    """Return the lines that turn ``before`` into ``now``; None if they do not suffice."""
    changed = {key: part for key, part in now.items() if before.get(key) != part}
    is_enough = before.keys() <= now.keys() and all(key in _LAST_COUNTS for key in changed if key in before)
    return list(changed.values()) if is_enough else None


def _line(part: Segment | bytes) -> bytes:
    return part if isinstance(part, bytes) else _json_line({"segment": part.as_json()})


def _json_line(value: dict[str, Any]) -> bytes:
    return f"{json.dumps(value)}\n".encode()


def read_manifest(folder: str) -> Manifest | None:
    """Return the manifest of a work folder, None if there is none.

    Raises:
        ManifestError: it is damaged, or has the format of another version.
    """
    try:
        data = _read_lines(read_own(folder, NAME, most_bytes=check.LARGEST_BYTES))
        signature = data["output_signature"]
        segments = parse_segments(data["segments"])
        complete_frames = data["complete_frames"]
        frames = sum(len(segment.pts) for segment in segments)
        if complete_frames is not None and check.whole(complete_frames) != frames:
            raise ValueError("segments are missing")
        return Manifest(
            identity=check.identity(data["identity"]),
            engine=check.engine(data["engine"], is_used=bool(segments)),
            time_base=check.time_base(data["time_base"]),
            seconds=check.seconds(data["seconds"]),
            segments=segments,
            damage=check.damage(data["damage"]),
            is_complete=complete_frames is not None,
            output_signature=tuple(signature) if signature else None,
            styles=[check.hash_text(digest) for digest in data["styles"][: check.MOST_STYLES]],
            mask=None if data["mask"] is None else check.hash_text(data["mask"]),
            split=check.split(data["split"]),
            changes=check.changes(data["changes"]),
        )
    except FileNotFoundError:
        if os.path.lexists(os.path.join(folder, OLD_NAME)):
            raise ManifestError(_OTHER_VERSION) from None
        return None
    except (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ManifestError(first_line(error)) from error


def _read_lines(content: bytes) -> dict[str, Any]:
    """Return the parts of a manifest by name, as far as its lines can be read and are complete.

    A run was killed, or the machine lost its power, while it wrote the rest. Of lines across two blocks of a disk, the
    second may be there without the first, which is zeros then.
    """
    head, *lines = content.split(b"\n")[:-1] or [b""]
    data = json.loads(head)
    if data["format"] != FORMAT:
        raise ValueError(_OTHER_VERSION)
    lists = {"segment": "segments", "damage": "damage", "change": "changes"}
    data |= _LAST_COUNTS | {name: [] for name in lists.values()}
    for line in lines:
        try:
            part = json.loads(line)
        except ValueError:
            break
        ((name, value),) = part.items()
        if name in lists:
            data[lists[name]].append(value)
        elif name in _LAST_COUNTS:
            data[name] = value
        else:
            raise ValueError(_OTHER_VERSION)
    return dict(data)


def is_intact(folder: str, segment: Segment) -> bool:
    """Return whether the file of ``segment`` in a work folder has the content with which it was finished."""
    try:
        return own_digest(folder, segment.file) == (segment.bytes, segment.sha256)
    except OSError:
        return False


def work_dir_path(target: str) -> str:
    """Return the path of the work folder of the output ``target``, in the same folder."""
    folder, name = os.path.split(os.path.realpath(target))
    if len(os.fsencode(name + SUFFIX)) > LONGEST_NAME_BYTES:
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
        name = os.fsencode(name)[:200].decode("utf-8", "ignore") + digest
    return os.path.join(folder, name + SUFFIX)


def job_dir_path(target: str, number: int) -> str:
    """Return the path of the work folder of segment job ``number`` of the output ``target``."""
    return os.path.join(work_dir_path(target), f"job{number:04}{SUFFIX}")


def is_placed(target: str) -> bool:
    """Return whether ``target`` is the output of a run that was killed while it removed its work folder."""
    try:
        manifest = read_manifest(work_dir_path(target))
    except ManifestError:
        return False
    return manifest is not None and manifest.is_placed(target)
