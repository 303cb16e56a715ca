"""Where a long clip is divided: at a scene cut, which ends all memory; else with frames to warm up on.

Only what lies around each wanted place is decoded, not the whole clip.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from pipeline.config import VideoConfig
from pipeline.decode.decoder import decode
from pipeline.decode.source import Source
from pipeline.frames import Frame, VideoInfo
from pipeline.resume.segments import frame_digest
from pipeline.stylize.opencv import opencv_available
from pipeline.stylize.scene_cuts import Thumbnail, is_cut, thumbnail
from pipeline.threads import prefetch
from pipeline.workers.protocol import SegmentStart

# Behind so many frames nothing is left of how memory began but roundings: so many are painted for the statistics, and
# before them others only seen, by the noise filter alone, whose memory is longer; see docs/decisions/workers.md.
WARM_UP_FRAMES = 150
SEEN_FRAMES = 150
# So many are decoded and filtered while one is painted, on one core.
SEEING_FRAMES = Fraction(10)
# Where workers would be idle otherwise, warming up may be a quarter of a part.
SHORTEST_PART_FRAMES = 4 * WARM_UP_FRAMES
# Where they have enough to do, it is to cost next to nothing; and longer ones only serve that all end together.
LONG_PART_FRAMES = 3000
MOST_PARTS_A_WORKER = 4
# Where a seam shows all the same, so many times as many.
LONGER = 3
# How far from where all workers would have the same to do a cut is looked for, in parts.
REACH = 0.05
# A decoder that begins at a key frame needs some more before that.
MARGIN_SECONDS = 2
# Where that was too little, as an index led too far or frames are few, so much before it.
LARGE_MARGIN_SECONDS = 30
# While frames are looked at, others are decoded.
DECODED_AHEAD = 4


@dataclass(frozen=True, slots=True)
class _Seen:
    """A frame near a seam."""

    pts: int
    seconds: Fraction
    is_cut: bool
    digest: str


def warm_up_frames(config: VideoConfig) -> tuple[int, int]:
    """How many frames must be seen, and then painted, before one that is to look as in an undivided render."""
    has_memory = config.stylize.stability != "none" and config.stylize.strength > 0 and opencv_available()
    return (SEEN_FRAMES, WARM_UP_FRAMES) if has_memory else (0, 0)


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


def find_boundaries(source: Source, config: VideoConfig, parts: int) -> list[SegmentStart]:
    """Where each part but the first begins; fewer than asked for where the clip is shorter than its header says.

    Args:
        source: of the clip; restarted, so that afterwards its frames are to be had by `Source.restart` alone.
        config: of the whole clip.
        parts: how many, at least 1.
    """
    info, (seen_only, warm) = source.info, warm_up_frames(config)
    seams: list[SegmentStart] = []
    if parts < 2 or not info.duration_seconds or not info.frame_count:
        return seams
    length, a_frame = Fraction(info.duration_seconds), Fraction(info.duration_seconds) / info.frame_count
    origin = source.first_frame_seconds
    warming = (warm + seen_only / SEEING_FRAMES) * a_frame
    share = (length + (parts - 1) * warming) / parts  # for all the same work, the first does not warm up
    reach, segments = Fraction(REACH) * share, _Segments(origin, config.segment_seconds)
    for number in range(1, parts):
        wanted = origin + number * share - (number - 1) * warming
        around = max(reach, config.segment_seconds * Fraction(3, 5))
        begin, end = wanted - around - (seen_only + warm) * a_frame, wanted + around
        seam = _choose(_seen(source, begin, end), wanted, reach, seen_only, warm, segments)
        if seam is None:
            before = begin - LARGE_MARGIN_SECONDS
            seam = _choose(_seen(source, before, end), wanted, reach, seen_only, warm, segments)
        if seam is not None and (not seams or seam.pts > seams[-1].pts):
            seams.append(seam)
    return seams


def lengthened(source: Source, begin: SegmentStart) -> SegmentStart:
    """The same seam with `LONGER` times as many frames before it; the same at a cut, which needs none.

    Args:
        source: of the clip; restarted.
        begin: of a part, of `find_boundaries`.
    """
    clock = source.info.time_base
    back = (begin.pts - begin.before_pts) * clock * LONGER
    seen = _seen(source, begin.pts * clock - back, begin.pts * clock)
    place = next((number for number, frame in enumerate(seen) if frame.pts == begin.pts), 0)
    warm, all_before = (
        sum(first <= frame.pts < begin.pts for frame in seen) for first in (begin.warm_pts, begin.seen_pts)
    )
    if not place or not all_before:
        return begin
    earliest = max(place - LONGER * all_before, 1)
    start = max((cut for cut in range(earliest + 1, place) if seen[cut].is_cut), default=earliest)
    return _begin(seen, place, max(start, place - LONGER * warm), start)


def _seen(source: Source, begin: Fraction, end: Fraction) -> list[_Seen]:
    """The frames between two times, and some before: they may be thicker there than on average."""
    source.restart(begin - MARGIN_SECONDS - (end - begin) / 4)
    with prefetch(decode(source), depth=DECODED_AHEAD, name="seams", stop=source.stop) as items:
        return list(_looked_at(items, end))


def _looked_at(frames: Iterable[Frame], end: Fraction) -> Iterator[_Seen]:
    before: Thumbnail | None = None
    for frame in frames:
        now = thumbnail(frame.pixels) if opencv_available() else None
        yield _Seen(frame.pts, frame.seconds, now is not None and is_cut(before, now), frame_digest(frame))
        before = now
        if frame.seconds > end:
            return


@dataclass(frozen=True, slots=True)
class _Segments:
    """Where an undivided render begins segments, as far as can be told without all frames before."""

    origin: Fraction
    length: Fraction

    def begins(self, before: _Seen, frame: _Seen) -> bool:
        """Whether one does with ``frame``."""
        return (frame.seconds - self.origin) // self.length > (before.seconds - self.origin) // self.length


def _choose(
    seen: list[_Seen], wanted: Fraction, reach: Fraction, seen_only: int, warm: int, segments: _Segments
) -> SegmentStart | None:
    """The nearest cut within reach; else the nearest end of a segment behind which enough frames are to warm up on."""

    def distance(place: int) -> Fraction:
        return abs(seen[place].seconds - wanted)

    cuts = [place for place in range(2, len(seen)) if seen[place].is_cut and distance(place) <= reach]
    if cuts and warm:
        place = min(cuts, key=distance)
        return _begin(seen, place, place, place)
    first = seen_only + warm + 2  # what is seen first looks like a cut, and one frame before it all must be known
    others = range(first, len(seen))
    ends = [place for place in others if segments.begins(seen[place - 1], seen[place])]
    place = min(ends or others, key=distance, default=0)
    if not place:
        return None
    earliest = place - warm - seen_only
    start = max((cut for cut in range(earliest, place) if seen[cut].is_cut), default=earliest)
    return _begin(seen, place, max(start, place - warm), start)


def _begin(seen: list[_Seen], place: int, warm: int, start: int) -> SegmentStart:
    before = seen[start - 1]
    return SegmentStart(seen[place].pts, seen[warm].pts, seen[start].pts, before.pts, before.digest)
