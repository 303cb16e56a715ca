"""A finished segment, and how the manifest describes it."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from typing import Any

from pipeline.resume.work_folder import manifest_check as check
from pipeline.resume.work_folder.durations import Durations


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
    pts: "array[int]"
    durations: Durations
    delay: int
    header: str
    digest: str
    sha256: str
    state: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the segment as JSON types, with pts steps and durations run-length encoded."""
        steps = [after - before for before, after in pairwise(self.pts)]
        return {
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


def parse_segments(segments: Sequence[dict[str, Any]]) -> list[Segment]:
    """Return the segments whose `Segment.as_json` these are.

    Raises:
        ValueError, TypeError, LookupError: a value is wrong.
    """
    check.whole(sum(check.whole(data["frames"], 1) for data in segments), 0, check.MOST_FRAMES)
    found = [_parse_segment(data) for data in segments]
    if len({segment.file for segment in found}) < len(found):
        raise ValueError("a segment is named twice")
    return found


def _parse_segment(data: dict[str, Any]) -> Segment:
    frames, (first, last) = data["frames"], data["pts"]
    steps = check.expand(data["steps"], frames - 1)
    pts = array("q", map(check.ticks, accumulate(map(check.ticks, steps), initial=check.ticks(first))))
    if pts[-1] != check.ticks(last):
        raise ValueError("timestamps are missing")
    durations = check.expand(data["durations"], frames)
    return Segment(
        file=check.segment_name(data["file"]),
        bytes=check.whole(data["bytes"]),
        pts=pts,
        durations=Durations(None if duration is None else check.ticks(duration) for duration in durations),
        delay=check.whole(data["delay"], 0, frames),
        header=check.hash_text(data["header"]),
        digest=check.hash_text(data["digest"]),
        sha256=check.hash_text(data["sha256"]),
        state=check.hash_text(data["state"]),
    )


def _run_lengths(values: Iterable[int | None]) -> list[list[int | None]]:
    return [[value, sum(1 for _ in run)] for value, run in groupby(values)]
