"""Frames that are shown longer than a container can store."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import chain, islice, repeat
from math import lcm

from pipeline.media.containers import Container

# mp4 and mov count in 31 bits: the time to the next frame, and from decoding a frame to showing it.
QUICKTIME_TICKS = 2**31 - 1
# Encoders store a frame so many steps before it is shown, at most: x264 five, x265 six.
REORDERED_STEPS = 8
# GIF counts in 16 bits, WebP in 24; libwebp refuses more, and FFmpeg's GIF muxer writes less.
_ANIMATION_TICKS = {"gif": 2**16 - 1, "webp": 2**24 - 1}
# FFmpeg doubles the ticks per second of a video in mp4 and mov until they are as many, unless it is told not to.
_LEAST_RATE = 10_000


def longest_step(container: Container, tick: Fraction) -> Fraction | None:
    """Return the longest time from one frame to the next, in seconds, that can always be stored; None for no limit.

    Args:
        container: of the output.
        tick: seconds per tick of its clock.
    """
    quicktime = QUICKTIME_TICKS // REORDERED_STEPS
    ticks = quicktime if container.is_quicktime else _ANIMATION_TICKS.get(container.name)
    return None if ticks is None else ticks * tick


def coarser_time_base(
    times: Sequence[int], tick: Fraction, container: Container, time_base: Fraction
) -> Fraction | None:
    """Return a time base in which the longest step fits into an mp4 or mov; None if it fits in ``time_base``.

    It is exact for all times if such a one is coarse enough.

    Args:
        times: of the frames and of the end of the last, in ticks, increasing.
        tick: seconds per tick.
        container: of the output.
        time_base: as planned.
    """
    if not container.is_quicktime:
        return None
    rate = time_base.denominator
    while rate < _LEAST_RATE:
        rate *= 2
    later = chain(islice(times, REORDERED_STEPS, None), repeat(times[-1], REORDERED_STEPS))
    longest = max(after - before for before, after in zip(times, later, strict=False)) * tick
    if longest * rate <= QUICKTIME_TICKS:
        return None
    exact = lcm(*{((time - times[0]) * tick).denominator for time in times})
    return Fraction(1, min(exact, int(QUICKTIME_TICKS / longest)))
