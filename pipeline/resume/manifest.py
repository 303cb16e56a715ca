"""What a render has done so far, as it stands on disk: the manifest of a work folder and the segments it names.

film.mp4.flowbrush/
    lock                     held by the run that paints
    manifest.json            this
    00000000.mp4 ...         finished segments, named after their first frame
    00000120.safetensors     what the frames before that one left to those after; of the newest segments alone
    part0000.flowbrush/ ...  where several workers paint: the same for a part of the clip
    *.part                   in the making

Everything is written under another name and renamed, the manifest last: what it names is there and whole.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate, groupby
from typing import Any

from pipeline.atomic import write_in_place

FORMAT = 1
SUFFIX = ".flowbrush"
NAME = "manifest.json"
LONGEST_NAME_BYTES = 255


class ManifestError(ValueError):
    """There is a manifest, but it cannot be read."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A finished piece of the picture.

    Attributes:
        file: its name in the work folder.
        bytes: its size.
        pts: of each frame, in units of the source's time base.
        durations: of each frame, likewise; None where the source does not say.
        delay: by how many places at most a frame comes before its turn in the file, as B-frames need it.
        header: a hash of the codec's header; all segments that are joined must have the same.
        digest: of the last frame as it was decoded, by which it is found again.
    """

    file: str
    bytes: int
    pts: tuple[int, ...]
    durations: tuple[int | None, ...]
    delay: int
    header: str
    digest: str

    def line(self) -> str:
        """As JSON; steps and durations that repeat are counted."""
        steps = [b - a for a, b in zip(self.pts, self.pts[1:], strict=False)]
        return json.dumps(
            {
                "file": self.file,
                "bytes": self.bytes,
                "frames": len(self.pts),
                "pts": [self.pts[0], self.pts[-1]],
                "steps": _runs(steps),
                "durations": _runs(self.durations),
                "delay": self.delay,
                "header": self.header,
                "digest": self.digest,
            }
        )


def _segment(data: dict[str, Any]) -> Segment:
    """The inverse of `Segment.line`."""
    pts = tuple(accumulate(_spread(data["steps"]), initial=data["pts"][0]))
    durations = tuple(_spread(data["durations"]))
    if not len(pts) == len(durations) == data["frames"] or pts[-1] != data["pts"][1]:
        raise ValueError("times of frames are missing")
    return Segment(data["file"], data["bytes"], pts, durations, data["delay"], data["header"], data["digest"])


def _runs(values: Iterable[int | None]) -> list[list[int | None]]:
    return [[value, sum(1 for _ in run)] for value, run in groupby(values)]


def _spread(runs: Sequence[Sequence[int]]) -> list[int]:
    return [value for value, count in runs for _ in range(count)]


@dataclass
class Manifest:
    """Everything about a render but its pixels.

    Attributes:
        identity: what it is made from and with; another one is another render. See `pipeline.resume.fingerprint`.
        engine: what paints; it never changes within a render.
        time_base: of the source, in which segments count.
        seconds: how long the clip is, as far as its header tells.
        segments: that are finished.
        damage: places of the input that could not be read, up to the last segment; see `pipeline.media.damage`.
        is_whole: whether the segments are all of the picture.
        placed: size and time of the finished output, written just before it is renamed into place.
        split: how the clip is divided among several workers, whose parts lie in folders of their own; None where it is
            painted from its beginning to its end. See `pipeline.workers.long_clip`.
    """

    identity: dict[str, Any]
    engine: dict[str, Any] = field(default_factory=dict)
    time_base: Fraction = Fraction(1)
    seconds: float | None = None
    segments: list[Segment] = field(default_factory=list)
    damage: list[dict[str, Any]] = field(default_factory=list)
    is_whole: bool = False
    placed: tuple[int, int] | None = None
    split: dict[str, Any] | None = None
    _lines: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def frames(self) -> int:
        """In the finished segments."""
        return sum(len(segment.pts) for segment in self.segments)

    @property
    def kept_seconds(self) -> float:
        """How much of the clip the finished segments show."""
        if not self.segments:
            return 0.0
        last = self.segments[-1]
        return float((last.pts[-1] + (last.durations[-1] or 0) - self.segments[0].pts[0]) * self.time_base)

    def what_is_kept(self, folder: str, *, is_fresh: bool) -> str:
        """For people: how much there is, where it lies, and how to go on; empty where there is nothing.

        Args:
            folder: in which the segments lie.
            is_fresh: whether the command that made them threw away what was kept before.
        """
        command = "the same command without --fresh" if is_fresh else "the same command"
        if not self.segments:
            return f"what several workers began is kept in {folder}; {command} goes on" if self.split else ""
        of = f" of {self.seconds:.3g} s" if self.seconds else ""
        kept = min(self.kept_seconds, self.seconds or self.kept_seconds)
        return f"{kept:.3g} s{of} are kept in {folder}; {command} goes on"

    def write(self, folder: str) -> None:
        """Write it into the work folder, whole or not at all.

        Raises:
            OSError: the disk is full.
        """
        for segment in self.segments:  # a long film has thousands: each is put into words once
            self._lines.setdefault(segment.file, segment.line())
        lines = ",\n".join(self._lines[segment.file] for segment in self.segments)
        head = {
            "format": FORMAT,
            "identity": self.identity,
            "engine": self.engine,
            "time_base": str(self.time_base),
            "seconds": self.seconds,
            "damage": self.damage,
            "is_whole": self.is_whole,
            "placed": self.placed,
            "split": self.split,
        }
        text = f'{json.dumps(head, indent=1)[:-2]},\n "segments": [\n{lines}\n]}}\n'
        write_in_place(os.path.join(folder, NAME), text.encode())


def read_manifest(folder: str) -> Manifest | None:
    """The manifest of a work folder; None where there is none.

    Raises:
        ManifestError: it is damaged, or of another version.
    """
    try:
        with open(os.path.join(folder, NAME), encoding="utf-8") as file:
            data = json.load(file)
        if data["format"] != FORMAT:
            raise ValueError("it is of another version")
        return Manifest(
            identity=dict(data["identity"]),
            engine=dict(data["engine"]),
            time_base=Fraction(data["time_base"]),
            seconds=data["seconds"],
            segments=[_segment(segment) for segment in data["segments"]],
            damage=[dict(place) for place in data["damage"]],
            is_whole=bool(data["is_whole"]),
            placed=tuple(data["placed"]) if data["placed"] else None,
            split=data.get("split"),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise ManifestError(str(error)) from error


def work_dir(target: str) -> str:
    """The folder beside the output ``target`` in which its segments are kept."""
    path = os.path.realpath(target)
    folder, name = os.path.split(path)
    if len(os.fsencode(name + SUFFIX)) > LONGEST_NAME_BYTES:
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
        name = os.fsencode(name)[:200].decode("utf-8", "ignore") + digest
    return os.path.join(folder, name + SUFFIX)


def is_placed(target: str) -> bool:
    """Whether ``target`` is the result of a render that was killed before it could clear up after itself."""
    try:
        manifest = read_manifest(work_dir(target))
        found = os.stat(os.path.realpath(target))
    except (ManifestError, OSError):
        return False
    return manifest is not None and manifest.placed == (found.st_size, found.st_mtime_ns)
