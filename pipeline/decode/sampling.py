"""A few moments of a clip, spread evenly over it, without reading all of a long one."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

from pipeline.config import DecodeConfig
from pipeline.decode.decoder import decode
from pipeline.decode.source import Source, open_source
from pipeline.errors import InputError
from pipeline.frames import Pixels, VideoInfo

WORTH_SEEKING = 120
"""Frames from one moment to the next from which on seeking is faster than decoding what lies between."""

UNKNOWN_STRIDE = 12
"""Frames from one moment to the next where the clip does not say how long it is."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Two frames that follow each other.

    Attributes:
        first: ``(height, width, 3)`` uint8 RGB.
        second: the next one, of the same size; None where there is none.
    """

    first: Pixels
    second: Pixels | None


def moments(path: Path, count: int, *, smallest_px: int, largest_px: int) -> Iterator[Moment]:
    """At most ``count`` moments of the clip at ``path``, at least one.

    Args:
        path: of the clip.
        count: how many.
        smallest_px: a clip whose short side is smaller is enlarged to it.
        largest_px: a clip whose short side is larger is scaled down to it.

    Raises:
        InputError: no frame of the clip can be read; damage behind the first moment only ends the moments.
    """
    with open_source(path) as source:
        info = source.info
    short = min(info.height, info.width)
    target = min(max(short, smallest_px), largest_px)
    height = None if target == short else -(-info.height * target // short)
    found = _sought(path, count, info, height) if _is_long(info, count) else _passed(path, count, info, height)
    is_first = True
    try:
        for moment in found:
            yield moment
            is_first = False
    except InputError:
        if is_first:
            raise


def _is_long(info: VideoInfo, count: int) -> bool:
    return bool(info.duration_seconds) and (info.frame_count or 0) > WORTH_SEEKING * count


def _sought(path: Path, count: int, info: VideoInfo, height: int | None) -> Iterator[Moment]:
    """Look up each moment; one that cannot be read is left out."""
    problem: InputError | None = None
    for index in range(count):
        begin = Fraction((info.duration_seconds or 0.0) * (index + 0.5) / count).limit_denominator(1000)
        try:
            with open_source(path, DecodeConfig(start_seconds=begin, height=height)) as source:
                yield from _pairs(source, 1, 2)
        except InputError as error:
            problem = problem or error
    if problem is not None:
        raise problem


def _passed(path: Path, count: int, info: VideoInfo, height: int | None) -> Iterator[Moment]:
    """Read the clip once, from its beginning."""
    stride = max(info.frame_count // count, 2) if info.frame_count else UNKNOWN_STRIDE
    with open_source(path, DecodeConfig(height=height)) as source:
        yield from _pairs(source, count, stride)


def _pairs(source: Source, count: int, stride: int) -> Iterator[Moment]:
    frames = (frame.pixels for frame in decode(source))
    for _ in range(count):
        pair = list(islice(frames, 2))
        if not pair:
            return
        yield Moment(pair[0], pair[1] if len(pair) == 2 else None)
        for _ in islice(frames, stride - 2):
            pass
