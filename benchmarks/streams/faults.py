"""What differs between a clip and its stylized one though the plan did not say so."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from av.stream import Disposition

from benchmarks.streams.contents import MILLISECOND, Contents, Track
from pipeline.summary import Summary


def faults(source: Contents, result: Contents, summary: Summary, seconds: Fraction | None) -> Iterator[str]:
    """What is not as it should be, a few words each."""
    yield from _picture_faults(source, result, seconds)
    left = {kind: result.of(kind) for kind in ("audio", "subtitle", "video", "cover", "attachment", "data")}
    right = {kind: source.of(kind) for kind in left}
    for entry in summary.streams:
        kind = str(entry["type"])
        before = right[kind].pop(0)
        if entry["action"] == "drop" or (entry["to"] == "timecode" and not left[kind]):
            continue
        if not left[kind]:
            yield f"{kind} {entry['index']} is not there"
            continue
        for fault in _track_faults(before, left[kind].pop(0), entry, source, result, seconds):
            yield f"{kind} {entry['index']}: {fault}"
    yield from (f"an unplanned {kind}" for kind, tracks in left.items() for _ in tracks)
    if seconds is None:
        yield from _chapter_faults(source, result)
    said = " ".join(summary.notices)
    for key, text in source.metadata.items():
        if result.metadata.get(key) != text and key not in said and not _is_same(key, text, result.metadata):
            yield f"metadata {key!r}: {text!r} became {result.metadata.get(key)!r}"


def _is_same(key: str, text: str, metadata: dict[str, str]) -> bool:
    """Containers write places and dates with more or fewer digits."""
    return key.startswith(("creation", "location", "date", "timecode")) and any(key[:8] in other for other in metadata)


def frame_faults(source: Contents, result: Contents, seconds: Fraction | None = None) -> Iterator[str]:
    """What is wrong with the number and the times of the frames; times may differ by a tick of the coarser clock."""
    expected = source.times if seconds is None else source.times[: len(result.times)]
    if len(expected) != len(result.times):
        yield f"{len(expected)} frames became {len(result.times)}"
        return
    error = max((abs(a - b) for a, b in zip(expected, result.times, strict=True)), default=Fraction(0))
    tick = max(source.clock, result.clock)
    if error > (tick if source.clock != result.clock else 0):
        yield f"frames up to {float(error) * 1000:.3f} ms off"


def _picture_faults(source: Contents, result: Contents, seconds: Fraction | None) -> Iterator[str]:
    yield from frame_faults(source, result, seconds)
    tick = max(source.clock, result.clock)
    last = result.last_length if result.last_shown is None else result.last_shown
    told = [each for each in (source.last_length, source.last_shown) if each]  # its header may contradict its packets
    is_whole = seconds is None and len(source.times) == len(result.times)
    if is_whole and told and min(abs(each - last) for each in told) > tick:
        lengths = [f"{float(each) * 1000:.3f}" for each in (told[0], last)]
        yield f"the last frame's {lengths[0]} ms became {lengths[1]} ms"


def _track_faults(
    before: Track, after: Track, entry: Any, source: Contents, result: Contents, seconds: Fraction | None
) -> Iterator[str]:
    if (before.language, before.title) != (after.language, after.title) and not _is_apple(before, after):
        yield f"{before.language}, {before.title!r} became {after.language}, {after.title!r}"
    is_default = before.disposition | Disposition.default == after.disposition  # of the first track, where none was
    if before.disposition != after.disposition and not (is_default and not any(t.disposition for t in source.tracks)):
        yield f"{before.disposition!s} became {after.disposition!s}"
    tick = max(before.clock, after.clock, source.clock, result.clock)
    if entry["action"] == "copy":
        shared = len(after.digests) if seconds is not None else max(len(before.digests), len(after.digests))
        if not _is_adts(before, after) and before.digests[:shared] != after.digests[:shared]:
            yield f"{len(before.digests)} packets became {len(after.digests)}, not the same bytes"
        if before.kind in ("cover", "attachment"):
            return
        pairs = list(zip(before.times, after.times, strict=False))
        error = max((abs(a - b) for a, b in pairs), default=Fraction(0))
        if error > max(tick, MILLISECOND if result.clock == MILLISECOND else tick):
            yield f"packets up to {float(error) * 1000:.3f} ms off"
    elif before.kind == "audio" and before.heard_from is not None and after.heard_from is not None:
        allowed = max(before.lengths[:1] + after.lengths[:1] + [Fraction(25, 1000)])
        if abs(before.heard_from - after.heard_from) > allowed:
            yield f"moved by {float(after.heard_from - before.heard_from) * 1000:.1f} ms"
    elif before.kind == "subtitle" and seconds is None:
        yield from _text_faults(before, after)


def _is_adts(before: Track, after: Track) -> bool:
    """A transport stream has a head before each AAC packet, for which other containers have no place."""
    return before.codec == after.codec == "aac" and len(before.digests) == len(after.digests)


def _is_apple(before: Track, after: Track) -> bool:
    """Whether only the language's name is another; mov knows few."""
    return before.title == after.title and after.language in (None, "ger", "dut", "sve", "gre", "ice", "chi")


def _text_faults(before: Track, after: Track) -> Iterator[str]:
    old, new = ([each for each in track.texts if each[2]] for track in (before, after))
    if [text for *_, text in old] != [text for *_, text in new]:
        yield f"{len(old)} texts became {len(new)} others"
        return
    error = max(
        (abs(a - b) for x, y in zip(old, new, strict=True) for a, b in zip(x[:2], y[:2], strict=True)), default=0
    )
    if error > 2 * MILLISECOND:
        yield f"texts up to {float(error) * 1000:.3f} ms off"


def _chapter_faults(source: Contents, result: Contents) -> Iterator[str]:
    same = [title for *_, title in source.chapters] == [title for *_, title in result.chapters] and all(
        abs(a - b) <= 2 * MILLISECOND
        for x, y in zip(source.chapters, result.chapters, strict=False)
        for a, b in zip(x[:2], y[:2], strict=True)
    )
    if not same:
        yield f"{len(source.chapters)} chapters became {len(result.chapters)}, not the same"
