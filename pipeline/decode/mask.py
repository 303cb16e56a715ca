"""Where to paint: a picture, or a clip that runs along; white is painted, black stays as it was, grey is between."""

from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from pipeline.config import DecodeConfig
from pipeline.decode.source import Source, open_source
from pipeline.errors import InputError
from pipeline.frames import Pixels, VideoInfo
from pipeline.media.colorspace import EXACT, source_color
from pipeline.media.orientation import rotate
from pipeline.media.stills import is_still_image, read_image

# Rec. 709 weights of red, green and blue, for a picture that is not grey.
_LUMA = (0.2126, 0.7152, 0.0722)


def open_mask(path: str | None, info: VideoInfo, part: DecodeConfig) -> AbstractContextManager["Mask | None"]:
    """The mask for the video of ``info``, of which ``part`` is painted; a context with None where there is none."""
    if path is None:
        return nullcontext()
    return Mask(path, width=info.width, height=info.height, part=part)


class Mask:
    """How much of each pixel is painted, from 0 to 1, at each moment.

    Before its first frame a clip shows that one, behind its last the last one, so that a mask may be shorter.

    Args:
        path: a picture, or any video.
        width: of the frames that it is laid on, in pixels; a mask of another size is scaled.
        height: of the frames, in pixels.
        part: what is read of the video that is painted; of a clip the same part is read.

    Raises:
        InputError: it cannot be read.
    """

    def __init__(self, path: str | Path, *, width: int, height: int, part: DecodeConfig | None = None) -> None:
        self._size = (width, height)
        self._source: Source | None = None
        self._frames: Iterator[VideoFrame] = iter(())
        if is_still_image(Path(path)):
            self._shown = self._scaled(VideoFrame.from_ndarray(read_image(Path(path)), format="rgb24"))
            self._next: VideoFrame | None = None
        else:
            self._source, self._frames = _opened(path, part or DecodeConfig())
            self._shown = self._scaled(next(self._frames))
            self._next = next(self._frames, None)

    def at(self, seconds: Fraction) -> NDArray[np.float32]:
        """``(height, width, 1)`` float32 in [0, 1] at ``seconds``; asked for in order, as a clip is read once."""
        latest: VideoFrame | None = None
        while self._next is not None and self._seconds(self._next) <= seconds:
            latest, self._next = self._next, next(self._frames, None)
        if latest is not None:
            self._shown = self._scaled(latest)
        return self._shown

    def __call__(self, original: Pixels, stylized: Pixels, seconds: Fraction) -> Pixels:
        """``painted`` where the mask is white, ``original`` where it is black; both ``(height, width, 3)``."""
        amount = self.at(seconds)
        mixed = original + amount * (stylized.astype(np.float32) - original)
        return np.asarray(np.rint(mixed), stylized.dtype)

    def close(self) -> None:
        """Let go of the file."""
        if self._source is not None:
            self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _seconds(self, frame: VideoFrame) -> Fraction:
        return (frame.pts or 0) * (self._source.info.time_base if self._source else Fraction(1))

    def _scaled(self, frame: VideoFrame) -> NDArray[np.float32]:
        quarters = self._source.info.rotation // 90 if self._source else 0
        width, height = self._size if quarters % 2 == 0 else self._size[::-1]
        rgb = frame.reformat(
            width,
            height,
            format="rgb24",
            src_color_range=2 if source_color(frame).full_range else 1,
            interpolation=EXACT,
        )
        is_flipped = self._source is not None and self._source.info.flipped
        upright = rotate(np.asarray(rgb.to_ndarray(), np.uint8), quarters, flipped=is_flipped)
        light = upright @ np.asarray(_LUMA, np.float32) / 255
        return np.asarray(light, np.float32)[..., None].clip(0, 1)


def _opened(path: str | Path, part: DecodeConfig) -> tuple[Source, Iterator[VideoFrame]]:
    """The clip, and its frames in ``part``; where it has ended before that, its last one."""
    cut = DecodeConfig(start_seconds=part.start_seconds, duration_seconds=part.duration_seconds, threads=part.threads)
    try:
        source = open_source(path, cut)
    except InputError:
        if not part.start_seconds:
            raise
    else:
        return source, _pictures(source)
    source = open_source(path, DecodeConfig(threads=part.threads))
    try:
        return source, iter(deque(_pictures(source), maxlen=1))
    except BaseException:
        source.close()
        raise


def _pictures(source: Source) -> Iterator[VideoFrame]:
    return (item for item in source.items() if isinstance(item, VideoFrame))
