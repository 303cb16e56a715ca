"""Masks that are files: images, clips or image sequences.

White is stylized, black and transparent parts stay original, grey is blended.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from av.video.frame import VideoFrame

from pipeline.config import DecodeConfig, VideoConfig
from pipeline.config.mask_spec import parse_mask
from pipeline.decode.masks.frame_mask import Amount, DerivedMask, FrameMask
from pipeline.decode.masks.luma import mask_luma
from pipeline.decode.masks.tracked_mask import TrackedMask
from pipeline.decode.sequence import CONTAINER, as_frame
from pipeline.decode.source import Source, open_source
from pipeline.errors import InputError
from pipeline.frames import Pixels, VideoInfo
from pipeline.media.image_sequence import is_sequence
from pipeline.media.photo.reader import read_stored
from pipeline.media.pixels.orientation import rotate
from pipeline.media.stills import is_still_image


def open_mask(config: VideoConfig, info: VideoInfo) -> AbstractContextManager[FrameMask | None]:
    """Return a context with the mask for the part of the video of ``info``; with None if there is no mask.

    Args:
        config: of the clip; a mask that is tracked must be the file that `pipeline.tracking` made.
        info: of the video.

    Raises:
        InputError: the mask cannot be read.
    """
    if config.mask is None:
        return nullcontext()
    if config.mask_track:
        return TrackedMask(
            config.mask, width=info.width, height=info.height, feather_px=config.feather_px, inverted=config.invert_mask
        )
    part = config.decode
    if info.container != CONTAINER:
        part = replace(part, start_number=None)  # it numbers the output
    return make_mask(
        config.mask,
        width=info.width,
        height=info.height,
        part=part,
        rate=info.average_rate,
        feather_px=config.feather_px,
        inverted=config.invert_mask,
    )


def make_mask(
    mask: str,
    *,
    width: int,
    height: int,
    part: DecodeConfig | None = None,
    rate: Fraction | None = None,
    feather_px: float = 0.0,
    inverted: bool = False,
) -> FrameMask:
    """Return a mask that is a file, or one that is made from each frame; see `pipeline.config.mask_spec` and `Mask`.

    Raises:
        InputError: the file cannot be read.
        ValueError: it is neither a file, nor a key or range that can be read.
    """
    spec = parse_mask(mask)
    if spec is not None:
        return DerivedMask(spec, feather_px=feather_px, inverted=inverted)
    return Mask(mask, width=width, height=height, part=part, rate=rate, feather_px=feather_px, inverted=inverted)


class Mask(FrameMask):
    """A mask that is a file.

    A clip may be shorter than the video: its first frame is used before it starts, its last frame after it ends.

    Args:
        path: an image, or any video.
        width: of the video's frames in pixels; the mask is scaled to them.
        height: of the video's frames in pixels.
        part: the part of the video that is read; the same part of a clip is used.
        rate: frames per second of the video, for a mask that is an image sequence; None for the rate of those.
        feather_px: see `FrameMask`.
        inverted: see `FrameMask`.

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
        feather_px: float = 0.0,
        inverted: bool = False,
    ) -> None:
        super().__init__(feather_px=feather_px, inverted=inverted)
        self._size = (width, height)
        self._source: Source | None = None
        self._frames: Iterator[VideoFrame] = iter(())
        if not is_sequence(path) and is_still_image(Path(path)):
            self._current = self._scaled(as_frame(read_stored(Path(path))))
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

    def at(self, seconds: Fraction) -> Amount:
        """Return the mask at ``seconds``, ``(height, width, 1)`` in [0, 1]; times must not decrease between calls."""
        latest: VideoFrame | None = None
        while self._next is not None and self._seconds(self._next) <= seconds:
            latest, self._next = self._next, next(self._frames, None)
        if latest is not None:
            self._current = self._scaled(latest)
        return self._current

    def amount(self, pixels: Pixels, seconds: Fraction) -> Amount:
        """Return how much of each pixel is stylized; the frame does not count."""
        return self.at(seconds)

    def close(self) -> None:
        """Close the file."""
        if self._source is not None:
            self._source.close()

    def _seconds(self, frame: VideoFrame) -> Fraction:
        return (frame.pts or 0) * (self._source.info.time_base if self._source else Fraction(1))

    def _scaled(self, frame: VideoFrame) -> Amount:
        info = self._source.info if self._source else None
        quarters = info.rotation // 90 if info else 0
        width, height = self._size if quarters % 2 == 0 else self._size[::-1]
        luma = mask_luma(frame, width, height)
        return self._finished(rotate(luma, quarters, flipped=info is not None and info.flipped))


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
