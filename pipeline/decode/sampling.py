"""Samples of a clip: pairs of frames, spread evenly over it, without reading all of a long clip."""

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
"""Frames between two samples from which on seeking is faster than decoding them."""

UNKNOWN_STRIDE = 12
"""Frames between two samples of a clip of unknown length."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Two consecutive frames.

    Attributes:
        first: ``(height, width, 3)`` uint8 RGB.
        second: the next frame, of the same size; None after the last.
    """

    first: Pixels
    second: Pixels | None


def moments(path: Path, count: int, *, smallest_px: int, largest_px: int) -> Iterator[Moment]:
    """Yield at least one and at most ``count`` moments of the clip at ``path``.

    Args:
        path: the clip.
        count: number of moments.
        smallest_px: a clip with a shorter short side is enlarged to it.
        largest_px: a clip with a longer short side is scaled down to it.

    Raises:
        InputError: no frame of the clip can be read; damage after the first moment only ends the sampling.
    """
    with open_source(path) as source:
        info = source.info
    short = min(info.height, info.width)
    target = min(max(short, smallest_px), largest_px)
    height = None if target == short else -(-info.height * target // short)
    is_long = bool(info.duration_seconds) and (info.frame_count or 0) > WORTH_SEEKING * count
    is_first = True
    try:
        for moment in (_by_seeking if is_long else _by_decoding)(path, count, info, height):
            yield moment
            is_first = False
    except InputError:
        if is_first:
            raise


def _by_seeking(path: Path, count: int, info: VideoInfo, height: int | None) -> Iterator[Moment]:
    """Seek to each moment; skip those that cannot be read."""
    first_error: InputError | None = None
    for index in range(count):
        start = Fraction((info.duration_seconds or 0.0) * (index + 0.5) / count).limit_denominator(1000)
        try:
            with open_source(path, DecodeConfig(start_seconds=start, height=height)) as source:
                yield from _moments(source, 1, 2)
        except InputError as error:
            first_error = first_error or error
    if first_error is not None:
        raise first_error


def _by_decoding(path: Path, count: int, info: VideoInfo, height: int | None) -> Iterator[Moment]:
    """Decode the clip once, from its start."""
    stride = max(info.frame_count // count, 2) if info.frame_count else UNKNOWN_STRIDE
    with open_source(path, DecodeConfig(height=height)) as source:
        yield from _moments(source, count, stride)


def _moments(source: Source, count: int, stride: int) -> Iterator[Moment]:
    frames = (frame.pixels for frame in decode(source))
    for _ in range(count):
        pair = list(islice(frames, 2))
        if not pair:
            return
        yield Moment(pair[0], pair[1] if len(pair) == 2 else None)
        for _ in islice(frames, stride - 2):
            pass
