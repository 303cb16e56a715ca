"""What a manifest may contain, whoever wrote it: names must be ours, counts are bounded, types are right."""

import math
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

from pipeline.media.damage import Damage

LARGEST_BYTES = 2**26
MOST_FRAMES = 2**24
"""Frames of a clip: three days at 60 frames per second."""
MOST_TICKS = 2**62
MOST_JOBS, MOST_THREADS, MOST_STYLES = 10_000, 4096, 64
LONGEST_CODE = 500

# A segment in the work folder, or in that of a segment job; see `pipeline.resume.work_folder.manifest`.
_SEGMENT = re.compile(r"(job\d{4,5}\.flowbrush/)?\d{8,12}\.(mp4|mov|mkv)", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{0,128}", re.ASCII)
_TIME_BASE = re.compile(r"\d{1,10}(/\d{1,10})?", re.ASCII)
_ENGINE = {"engine": str, "precision": str, "device": str, "workers": int, "strip_rows": int | None}
_START = {"pts", "stylized_from_pts", "observed_from_pts", "previous_pts"}


def whole(value: object, lowest: int = 0, highest: int = MOST_TICKS) -> int:
    """Return a whole number within bounds."""
    if type(value) is not int or not lowest <= value <= highest:
        raise ValueError("a number is out of range")
    return value


def ticks(value: object) -> int:
    """Return a time in ticks."""
    return whole(value, -MOST_TICKS)


def hash_text(value: object) -> str:
    """Return a hash in hexadecimal digits."""
    if not isinstance(value, str) or _HASH.fullmatch(value) is None:
        raise ValueError("a hash is none")
    return value


def segment_name(value: object) -> str:
    """Return the name of a segment."""
    if not isinstance(value, str) or _SEGMENT.fullmatch(value) is None:
        raise ValueError("a file has a name that is not ours")
    return value


def expand(runs: Sequence[Sequence[Any]], count: int) -> list[Any]:
    """Return the ``count`` values of run-length encoded ones."""
    if sum(whole(length, 1) for _, length in runs) != count:
        raise ValueError("timestamps are missing")
    return [value for value, length in runs for _ in range(length)]


def seconds(value: object) -> float | None:
    """Return a duration in seconds."""
    if value is None:
        return None
    if not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError("a duration is out of range")
    return float(value)


def time_base(value: object) -> Fraction:
    """Return a time base."""
    if not isinstance(value, str) or _TIME_BASE.fullmatch(value) is None:
        raise ValueError("the time base is none")
    found = Fraction(value)
    if found <= 0 or max(found.numerator, found.denominator) >= 2**31:
        raise ValueError("the time base is out of range")
    return found


def identity(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return an identity; its parts are only compared."""
    found = dict(value)
    if not isinstance(found.get("settings", {}), dict):
        raise ValueError("the settings are none")
    return found


def engine(value: Mapping[str, Any], *, is_used: bool) -> dict[str, Any]:
    """Return an engine; one that was used has all parts."""
    found = dict(value)
    if is_used and not all(isinstance(found[name], kind) for name, kind in _ENGINE.items()):
        raise ValueError("the engine is none")
    code = found.get("code", "")
    if not isinstance(code, str) or len(code) > LONGEST_CODE or not code.isprintable():
        raise ValueError("the code of the engine is none")
    return found


def changes(values: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the changes of the engine within a clip."""
    frames = [whole(value["frame"], 1, MOST_FRAMES) for value in values]
    if any(one >= other for one, other in pairwise(frames)):
        raise ValueError("the changes of the engine are not in order")
    engines = [engine(value["engine"], is_used=True) for value in values]
    return [{"frame": frame, "engine": engine} for frame, engine in zip(frames, engines, strict=True)]


def damage(places: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return damaged places of the input."""
    for place in places:
        if not isinstance(place["reason"], str) or not isinstance(place["stream"], str):
            raise ValueError("a damaged place has no reason")
        if place["packet"] is not None:
            whole(place["packet"], -1)
        if place["seconds"] is not None and not isinstance(place["seconds"], int | float):
            raise ValueError("a damaged place has no time")
        Damage.from_json(place)
    return [dict(place) for place in places]


def split(value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return how a clip is split into segment jobs, see `pipeline.workers.merge`."""
    if value is None:
        return None
    whole(value["threads"], 0, MOST_THREADS)
    whole(value["sharers"], 1, MOST_THREADS)
    whole(len(value["starts"]), 0, MOST_JOBS)
    starts = [dict(start) for start in value["starts"]]
    for start in starts:
        if start.keys() != {*_START, "previous_digest"}:
            raise ValueError("a segment job has no start")
        hash_text(start["previous_digest"])
        for name in _START:
            ticks(start[name])
    if any(one["pts"] >= other["pts"] for one, other in pairwise(starts)):
        raise ValueError("the starts of segment jobs are not in order")
    extended = [whole(number, 1, len(starts)) for number in value["extended"]]
    return {"threads": value["threads"], "sharers": value["sharers"], "starts": starts, "extended": extended}
