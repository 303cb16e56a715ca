"""Masks: images or clips. White pixels are stylized, black ones stay original, grey ones are blended."""

from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Self

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from pipeline.config import DecodeConfig
from pipeline.decode.sequence import CONTAINER
from pipeline.decode.source import Source, open_source
from pipeline.errors import InputError
from pipeline.frames import Pixels, VideoInfo
from pipeline.media.colorspace import EXACT, source_color
from pipeline.media.image_sequence import is_sequence
from pipeline.media.orientation import rotate
from pipeline.media.stills import is_still_image, read_image

# Rec. 709 weights of red, green and blue, for masks that are not grey.
_LUMA = (0.2126, 0.7152, 0.0722)


def open_mask(path: str | None, info: VideoInfo, part: DecodeConfig) -> AbstractContextManager["Mask | None"]:
    """Return a context with the mask for the part of the video of ``info``; with None if ``path`` is None."""
    if path is None:
        return nullcontext()
    if info.container != CONTAINER:
        part = replace(part, start_number=None)  # it numbers the output
    return Mask(path, width=info.width, height=info.height, part=part, rate=info.average_rate)


class Mask:
    """How much of each pixel is stylized, from 0 to 1, at each time of a video; a context manager.

    A clip may be shorter than the video: its first frame is used before it starts, its last frame after it ends.

    Args:
        path: an image, or any video.
        width: of the video's frames in pixels; the mask is scaled to them.
        height: of the video's frames in pixels.
        part: the part of the video that is read; the same part of a clip is used.
        rate: frames per second of the video, for a mask that is an image sequence; None for the rate of those.

    Raises:
        InputError: the mask cannot be read.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        width: int,
        height: int,
        part: DecodeConfig | None = None,
        rate: Fraction | None = None,
    ) -> None:
        self._size = (width, height)
        self._source: Source | None = None
        self._frames: Iterator[VideoFrame] = iter(())
        if not is_sequence(path) and is_still_image(Path(path)):
            self._current = self._scaled(VideoFrame.from_ndarray(read_image(Path(path)), format="rgb24"))
            self._next: VideoFrame | None = None
        else:
            part = part or DecodeConfig()
            is_numbered = is_sequence(path)
            numbering = replace(
                part, fps=rate if is_numbered else None, start_number=part.start_number if is_numbered else None
            )
            self._source, self._frames = _open_clip(path, numbering)
            self._current = self._scaled(next(self._frames))
            self._next = next(self._frames, None)

    def at(self, seconds: Fraction) -> NDArray[np.float32]:
        """Return the mask at ``seconds``, ``(height, width, 1)`` in [0, 1]; times must not decrease between calls."""
        latest: VideoFrame | None = None
        while self._next is not None and self._seconds(self._next) <= seconds:
            latest, self._next = self._next, next(self._frames, None)
        if latest is not None:
            self._current = self._scaled(latest)
        return self._current

    def __call__(self, original: Pixels, stylized: Pixels, seconds: Fraction) -> Pixels:
        """Return ``stylized`` where the mask is white, ``original`` where it is black; all ``(height, width, 3)``."""
        amount = self.at(seconds)
        mixed = original + amount * (stylized.astype(np.float32) - original)
        return np.asarray(np.rint(mixed), stylized.dtype)

    def close(self) -> None:
        """Close the file."""
        if self._source is not None:
            self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _seconds(self, frame: VideoFrame) -> Fraction:
        return (frame.pts or 0) * (self._source.info.time_base if self._source else Fraction(1))

    def _scaled(self, frame: VideoFrame) -> NDArray[np.float32]:
        info = self._source.info if self._source else None
        quarters = info.rotation // 90 if info else 0
        width, height = self._size if quarters % 2 == 0 else self._size[::-1]
        full_range = 2 if source_color(frame).full_range else 1
        rgb = frame.reformat(width, height, format="rgb24", src_color_range=full_range, interpolation=EXACT)
        upright = rotate(np.asarray(rgb.to_ndarray(), np.uint8), quarters, flipped=info is not None and info.flipped)
        luma = upright @ np.asarray(_LUMA, np.float32) / 255
        return np.asarray(luma, np.float32)[..., None].clip(0, 1)


def _open_clip(path: str | Path, part: DecodeConfig) -> tuple[Source, Iterator[VideoFrame]]:
    """Return the clip and its frames in ``part``; its last frame if it ends before that."""
    try:
        source = open_source(path, replace(part, height=None, strict=False))
    except InputError:
        if not part.start_seconds:
            raise
    else:
        return source, _frames(source)
    source = open_source(path, replace(part, start_seconds=None, duration_seconds=None, height=None, strict=False))
    try:
        return source, iter(deque(_frames(source), maxlen=1))
    except BaseException:
        source.close()
        raise


def _frames(source: Source) -> Iterator[VideoFrame]:
    return (item for item in source.items() if isinstance(item, VideoFrame))
