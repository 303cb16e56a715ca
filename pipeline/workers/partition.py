"""Where to split a long clip: at scene cuts, which reset all temporal state; otherwise with warm-up frames.

Only the surroundings of each boundary are decoded, not the whole clip.
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


@dataclass(frozen=True, slots=True)
class WarmUp:
    """How many frames a segment job decodes before its first one, unless it starts at a scene cut.

    After so many frames nothing but rounding is left of how the temporal state started; see docs/decisions/workers.md.

    Attributes:
        observed: frames for the noise filter only, whose memory is the longest.
        stylized: frames after these that are stylized but not written.
        extension: factor by which both grow if the boundary is visible all the same.
    """

    observed: int = 150
    stylized: int = 150
    extension: int = 3


WARM_UP = WarmUp()
# Frames that one core decodes and filters while it stylizes one.
OBSERVED_PER_STYLIZED = Fraction(10)
# If workers would be idle otherwise, warming up may be a quarter of a job.
SHORTEST_JOB_FRAMES = 4 * WARM_UP.stylized
# If they are busy, it should cost next to nothing; several such jobs per worker only let all end together.
LONG_JOB_FRAMES = 3000
MOST_JOBS_PER_WORKER = 4
# Largest distance of a cut from the place where all jobs take equally long, as a share of a job.
CUT_REACH = 0.05
# A decoder that starts at a key frame needs some time before that.
MARGIN_SECONDS = 2
# The margin if that was too little, because the index is wrong or there are few frames.
LARGE_MARGIN_SECONDS = 30
# Frames decoded ahead while others are examined.
PREFETCH_DEPTH = 4


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A frame near a boundary."""

    pts: int
    seconds: Fraction
    is_cut: bool
    digest: str


def count_jobs(info: VideoInfo, workers: int, *, are_busy: bool = False) -> int:
    """Return into how many segment jobs to split a clip; 1 if it is too short or its length is unknown.

    Args:
        info: of the clip.
        workers: number of workers.
        are_busy: whether they have other clips to stylize.
    """
    frames, shortest = info.frame_count, LONG_JOB_FRAMES if are_busy else SHORTEST_JOB_FRAMES
    if frames is None or info.duration_seconds is None or workers < 2:
        return 1
    per_worker = min(max(frames // (workers * LONG_JOB_FRAMES), 1), MOST_JOBS_PER_WORKER)
    return max(min(workers * per_worker, frames // shortest), 1)


def find_boundaries(source: Source, config: VideoConfig, jobs: int, *, warm_up: WarmUp = WARM_UP) -> list[SegmentStart]:
    """Return the start of each segment job but the first; fewer if the clip is shorter than its header reports.

    Args:
        source: of the clip; afterwards its frames are available only after `Source.restart`.
        config: of the whole clip.
        jobs: number of jobs, at least 1.
        warm_up: the frames before a start.
    """
    info = source.info
    found: list[SegmentStart] = []
    if jobs < 2 or not info.duration_seconds or not info.frame_count:
        return found
    has_memory = config.stylize.stability != "none" and config.stylize.strength > 0 and opencv_available()
    warm_up = warm_up if has_memory else WarmUp(0, 0)
    duration = Fraction(info.duration_seconds)
    frame_seconds = duration / info.frame_count
    origin = source.first_frame_seconds
    warm_up_seconds = (warm_up.stylized + warm_up.observed / OBSERVED_PER_STYLIZED) * frame_seconds
    job_seconds = (duration + (jobs - 1) * warm_up_seconds) / jobs  # of work, the same for all
    choice = _Choice(warm_up, Fraction(CUT_REACH) * job_seconds, origin, config.segment_seconds)
    reach = max(choice.reach_seconds, config.segment_seconds * Fraction(3, 5))
    for number in range(1, jobs):
        wanted = origin + number * job_seconds - (number - 1) * warm_up_seconds
        end = wanted + reach
        start = wanted - reach - (warm_up.observed + warm_up.stylized) * frame_seconds
        boundary = choice.best(_candidates(source, start, end), wanted)
        if boundary is None:
            boundary = choice.best(_candidates(source, start - LARGE_MARGIN_SECONDS, end), wanted)
        if boundary is not None and (not found or boundary.pts > found[-1].pts):
            found.append(boundary)
    return found


def extend_warm_up(source: Source, start: SegmentStart, warm_up: WarmUp) -> SegmentStart:
    """Return the same start with more warm-up frames; unchanged at a cut, which needs none.

    Args:
        source: of the clip; it is restarted.
        start: found by `find_boundaries`.
        warm_up: says how many times more.
    """
    extension, time_base = warm_up.extension, source.info.time_base
    back = (start.pts - start.previous_pts) * time_base * extension
    frames = _candidates(source, start.pts * time_base - back, start.pts * time_base)
    place = next((number for number, frame in enumerate(frames) if frame.pts == start.pts), 0)
    stylized, all_before = (
        sum(first <= frame.pts < start.pts for frame in frames)
        for first in (start.stylized_from_pts, start.observed_from_pts)
    )
    if not place or not all_before:
        return start
    earliest = max(place - extension * all_before, 1)
    observed_from = max((cut for cut in range(earliest + 1, place) if frames[cut].is_cut), default=earliest)
    return _start_at(frames, place, max(observed_from, place - extension * stylized), observed_from)


def _candidates(source: Source, start: Fraction, end: Fraction) -> list[_Candidate]:
    """Return the frames between two times, and some before: the frame rate may be higher there than on average."""
    source.restart(start - MARGIN_SECONDS - (end - start) / 4)
    with prefetch(decode(source), depth=PREFETCH_DEPTH, name="boundaries", stop=source.stop) as frames:
        return list(_examine(frames, end))


def _examine(frames: Iterable[Frame], end: Fraction) -> Iterator[_Candidate]:
    before: Thumbnail | None = None
    for frame in frames:
        now = thumbnail(frame.pixels) if opencv_available() else None
        yield _Candidate(frame.pts, frame.seconds, now is not None and is_cut(before, now), frame_digest(frame))
        before = now
        if frame.seconds > end:
            return


@dataclass(frozen=True, slots=True)
class _Choice:
    """Chooses the best of several frames to start a segment job.

    Attributes:
        warm_up: frames that must precede it.
        reach_seconds: largest distance of a cut from the wanted time.
        origin_seconds: time of the first frame of the clip.
        segment_seconds: duration of a segment on disk.
    """

    warm_up: WarmUp
    reach_seconds: Fraction
    origin_seconds: Fraction
    segment_seconds: Fraction

    def best(self, frames: list[_Candidate], wanted: Fraction) -> SegmentStart | None:
        """Return the nearest cut within reach; else the nearest end of a segment that has enough frames before it."""

        def distance(place: int) -> Fraction:
            return abs(frames[place].seconds - wanted)

        cuts = [
            place for place in range(2, len(frames)) if frames[place].is_cut and distance(place) <= self.reach_seconds
        ]
        if cuts and self.warm_up.stylized:
            place = min(cuts, key=distance)
            return _start_at(frames, place, place, place)
        # The first frame looks like a cut, and one frame before all others must be known.
        possible = range(self.warm_up.observed + self.warm_up.stylized + 2, len(frames))
        segment_starts = [place for place in possible if self._starts_segment(frames[place - 1], frames[place])]
        place = min(segment_starts or possible, key=distance, default=0)
        if not place:
            return None
        earliest = place - self.warm_up.stylized - self.warm_up.observed
        observed_from = max((cut for cut in range(earliest, place) if frames[cut].is_cut), default=earliest)
        return _start_at(frames, place, max(observed_from, place - self.warm_up.stylized), observed_from)

    def _starts_segment(self, before: _Candidate, frame: _Candidate) -> bool:
        """Return whether one worker would start a segment with ``frame``, as far as can be known here."""
        number, number_before = (
            (each.seconds - self.origin_seconds) // self.segment_seconds for each in (frame, before)
        )
        return number > number_before


def _start_at(frames: list[_Candidate], place: int, stylized_from: int, observed_from: int) -> SegmentStart:
    previous = frames[observed_from - 1]
    return SegmentStart(
        pts=frames[place].pts,
        stylized_from_pts=frames[stylized_from].pts,
        observed_from_pts=frames[observed_from].pts,
        previous_pts=previous.pts,
        previous_digest=previous.digest,
    )
