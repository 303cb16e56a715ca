"""Where a long clip is divided: at a scene cut, which ends all memory; else with frames to warm up on.

Only what lies around each wanted place is decoded, not the whole clip.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from pipeline.batch.engine import Begin
from pipeline.config import VideoConfig
from pipeline.decode import decode
from pipeline.frames import Frame, VideoInfo
from pipeline.segments import digest_of
from pipeline.source import Source
from pipeline.stability import CutDetector, opencv_is_there

# Behind so many frames nothing is left of how memory began but roundings: see docs/decisions.md.
WARM_UP_FRAMES = 90
# Where workers would be idle otherwise, warming up may be a fifth of a part.
SHORTEST_PART_FRAMES = 5 * WARM_UP_FRAMES
# Where they have enough to do, it is to cost next to nothing; and longer ones only serve that all end together.
LONG_PART_FRAMES = 3000
MOST_PARTS_A_WORKER = 4
# How far from where all workers would have the same to do a cut is looked for, in parts.
REACH = 0.05
# A decoder that begins at a key frame needs some more before that.
MARGIN_SECONDS = 2


@dataclass(frozen=True, slots=True)
class _Seen:
    """A frame near a seam."""

    pts: int
    seconds: Fraction
    is_cut: bool
    digest: str


def warm_up_frames(config: VideoConfig) -> int:
    """How many frames must have been seen before one that is to look as in an undivided render, within 4 levels."""
    has_memory = config.stylize.stability != "none" and config.stylize.strength > 0 and opencv_is_there()
    return WARM_UP_FRAMES if has_memory else 0


def count_parts(info: VideoInfo, workers: int, *, are_busy: bool = False) -> int:
    """Into how many parts a clip is divided for ``workers``; 1 where it is too short, or nobody knows how long.

    Args:
        info: of the clip.
        workers: how many there are.
        are_busy: whether they have other clips to paint.
    """
    frames, shortest = info.frame_count, LONG_PART_FRAMES if are_busy else SHORTEST_PART_FRAMES
    if frames is None or info.duration_seconds is None or workers < 2:
        return 1
    each = min(max(frames // (workers * LONG_PART_FRAMES), 1), MOST_PARTS_A_WORKER)
    return max(min(workers * each, frames // shortest), 1)


def find_seams(source: Source, config: VideoConfig, parts: int) -> list[Begin]:
    """Where each part but the first begins; fewer than asked for where the clip is shorter than its header says.

    Args:
        source: of the clip; restarted, so that afterwards its frames are to be had by `Source.restart` alone.
        config: of the whole clip.
        parts: how many, at least 1.
    """
    info, warm = source.info, warm_up_frames(config)
    seams: list[Begin] = []
    if parts < 2 or not info.duration_seconds or not info.frame_count:
        return seams
    length, a_frame = Fraction(info.duration_seconds), Fraction(info.duration_seconds) / info.frame_count
    origin = _first_seconds(source)
    share = (length + (parts - 1) * warm * a_frame) / parts  # for all the same work, the first does not warm up
    reach = Fraction(REACH) * share
    for number in range(1, parts):
        wanted = origin + number * share - (number - 1) * warm * a_frame
        around = max(reach, config.segment_seconds * Fraction(3, 5))
        seen = _around(source, wanted, around, warm * a_frame)
        seam = _choose(seen, wanted, reach, warm, origin, config.segment_seconds)
        if seam is not None and (not seams or seam.pts > seams[-1].pts):
            seams.append(seam)
    return seams


def _first_seconds(source: Source) -> Fraction:
    source.restart(None)
    return next(item.seconds for item in decode(source) if isinstance(item, Frame))


def _around(source: Source, wanted: Fraction, reach: Fraction, warm_seconds: Fraction) -> list[_Seen]:
    """The frames around a place; where they come thicker than on average, still enough of those before it."""
    source.restart(wanted - reach - 2 * warm_seconds - MARGIN_SECONDS)
    return list(_looked_at(source, wanted + reach))


def _looked_at(source: Source, end: Fraction) -> Iterator[_Seen]:
    is_cut = CutDetector() if opencv_is_there() else None
    for item in decode(source):
        if isinstance(item, Frame):
            yield _Seen(item.pts, item.seconds, is_cut is not None and is_cut(item.pixels), digest_of(item))
            if item.seconds > end:
                return


def _choose(
    seen: list[_Seen], wanted: Fraction, reach: Fraction, warm: int, origin: Fraction, segment: Fraction
) -> Begin | None:
    """The nearest cut within reach; else the nearest end of a segment behind which enough frames are to warm up on."""
    first = warm + 2  # the first frame that was seen looks like a cut, and one before the warm-up must be known

    def distance(place: int) -> Fraction:
        return abs(seen[place].seconds - wanted)

    cuts = [place for place in range(2, len(seen)) if seen[place].is_cut and distance(place) <= reach]
    if cuts and warm:
        place = min(cuts, key=distance)
        return _begin(seen, place, place)
    others = range(first, len(seen))
    ends = [place for place in others if _ends_segment(seen, place, origin, segment)]
    place = min(ends or others, key=distance, default=0)
    if not place:
        return None
    start = max((cut for cut in range(place - warm, place) if seen[cut].is_cut), default=place - warm)
    return _begin(seen, place, start)


def _ends_segment(seen: list[_Seen], place: int, origin: Fraction, segment: Fraction) -> bool:
    """Whether an undivided render begins a segment here, as far as can be told without all frames before."""
    return (seen[place].seconds - origin) // segment > (seen[place - 1].seconds - origin) // segment


def _begin(seen: list[_Seen], place: int, start: int) -> Begin:
    before = seen[start - 1]
    return Begin(seen[place].pts, seen[start].pts, before.pts, before.digest)
