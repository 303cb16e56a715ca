"""The manifest of a work folder: everything about a render except its pixels.

film.mp4.flowbrush/
    lock                     locked by the run that works here
    manifest.json            this
    00000000.mp4 ...         finished segments, named after their first frame
    00000120.safetensors     state of the stylizer before that frame; of the newest segments only
    style0.safetensors ...   the refined styles of pictures, if there are any
    refine.png               what the refinement has reached so far
    job0000.flowbrush/ ...   with several workers: the same for each segment job
    *.part                   unfinished files

Every file is written under another name and renamed, the manifest last, so that all files it names are complete.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from fractions import Fraction
from itertools import accumulate, groupby
from typing import Any

from pipeline.errors import first_line
from pipeline.resume import manifest_check as check
from pipeline.system.files import file_signature, own_digest, read_own, write_atomically

FORMAT = 4
SUFFIX = ".flowbrush"
NAME = "manifest.json"
LONGEST_NAME_BYTES = 255


class ManifestError(ValueError):
    """There is a manifest, but it cannot be read."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A finished segment of the video stream.

    Attributes:
        file: its name in the work folder.
        bytes: its size.
        pts: of each frame, in units of the source's time base.
        durations: of each frame in units of the source's time base, None if unknown.
        delay: largest number of places by which a packet precedes its place in presentation order; 0 without B-frames.
        header: hash of the codec's extradata, the same in all segments of a clip.
        digest: hash of the last frame as it was decoded, by which a resumed run finds it.
        sha256: hash of the file.
        state: hash of the file with the stylizer's state after it; empty if there is none.
    """

    file: str
    bytes: int
    pts: tuple[int, ...]
    durations: tuple[int | None, ...]
    delay: int
    header: str
    digest: str
    sha256: str
    state: str = ""

    def to_json(self) -> str:
        """Return the segment as one line of JSON, with pts steps and durations run-length encoded."""
        steps = [b - a for a, b in zip(self.pts, self.pts[1:], strict=False)]
        return json.dumps(
            {
                "file": self.file,
                "bytes": self.bytes,
                "frames": len(self.pts),
                "pts": [self.pts[0], self.pts[-1]],
                "steps": _run_lengths(steps),
                "durations": _run_lengths(self.durations),
                "delay": self.delay,
                "header": self.header,
                "digest": self.digest,
                "sha256": self.sha256,
                "state": self.state,
            }
        )


def _parse_segments(segments: Sequence[dict[str, Any]]) -> list[Segment]:
    check.whole(sum(check.whole(data["frames"], 1) for data in segments), 0, check.MOST_FRAMES)
    found = [_parse_segment(data) for data in segments]
    if len({segment.file for segment in found}) < len(found):
        raise ValueError("a segment is named twice")
    return found


def _parse_segment(data: dict[str, Any]) -> Segment:
    frames, (first, last) = data["frames"], data["pts"]
    steps = check.expand(data["steps"], frames - 1)
    pts = tuple(accumulate(map(check.ticks, steps), initial=check.ticks(first)))
    if pts[-1] != check.ticks(last):
        raise ValueError("timestamps are missing")
    durations = check.expand(data["durations"], frames)
    return Segment(
        file=check.segment_name(data["file"]),
        bytes=check.whole(data["bytes"]),
        pts=pts,
        durations=tuple(None if duration is None else check.ticks(duration) for duration in durations),
        delay=check.whole(data["delay"], 0, frames),
        header=check.hash_text(data["header"]),
        digest=check.hash_text(data["digest"]),
        sha256=check.hash_text(data["sha256"]),
        state=check.hash_text(data["state"]),
    )


def _run_lengths(values: Iterable[int | None]) -> list[list[int | None]]:
    return [[value, sum(1 for _ in run)] for value, run in groupby(values)]


@dataclass
class Manifest:
    """Everything about a render except its pixels.

    Attributes:
        identity: what the frames depend on; a run with another identity starts from scratch. See
            `pipeline.resume.fingerprint`.
        engine: the engine that stylizes; it never changes within a render. See `pipeline.resume.engine`.
        time_base: of the source, in which segments count.
        seconds: duration of the clip, None if its header reports none.
        segments: the finished segments.
        damage: unreadable places of the input up to the last segment; see `pipeline.media.damage`.
        is_complete: True if the segments cover the whole clip.
        output_signature: `file_signature` of the output, recorded just before it is renamed into place.
        styles: hashes of the refined styles, in the order of their files; see `SegmentStore.refined`.
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
    split: dict[str, Any] | None = None
    _lines: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def frames(self) -> int:
        """Number of frames in the finished segments."""
        return sum(len(segment.pts) for segment in self.segments)

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
        """Write the manifest into a work folder, atomically.

        Raises:
            OSError: the disk is full.
        """
        for segment in self.segments:  # thousands in a long film: each is serialized once
            self._lines.setdefault(segment.file, segment.to_json())
        lines = ",\n".join(self._lines[segment.file] for segment in self.segments)
        names = [each.name for each in fields(self) if each.name not in ("segments", "is_complete", "_lines")]
        head = {"format": FORMAT} | {name: getattr(self, name) for name in names}
        head["time_base"] = str(self.time_base)
        head["complete_frames"] = self.frames if self.is_complete else None
        text = f'{json.dumps(head, indent=1)[:-2]},\n "segments": [\n{lines}\n]}}\n'
        write_atomically(os.path.join(folder, NAME), text.encode())


def read_manifest(folder: str) -> Manifest | None:
    """Return the manifest of a work folder, None if there is none.

    Raises:
        ManifestError: it is damaged, or has the format of another version.
    """
    try:
        data = json.loads(read_own(folder, NAME, most_bytes=check.LARGEST_BYTES))
        if data["format"] != FORMAT:
            raise ValueError("written by another version")
        signature = data["output_signature"]
        segments = _parse_segments(data["segments"])
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
            styles=[check.hash_text(digest) for digest in data.get("styles", ())[: check.MOST_STYLES]],
            split=check.split(data["split"]),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ManifestError(first_line(error)) from error


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
