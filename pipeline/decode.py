"""The first stage: decoded frames become upright RGB pixels; audio packets pass by."""

from collections.abc import Iterator

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from pipeline.color import EXACT, reading, swscale_matrix
from pipeline.errors import DecodeError
from pipeline.frames import Frame, Pixels, VideoInfo
from pipeline.reader import StreamPacket
from pipeline.source import Source


def decode(source: Source) -> Iterator[Frame | StreamPacket]:
    """Yield the frames of ``source`` in presentation order, and its audio packets as they come.

    As many frames come out as the decoder gives; all have the size of ``source.info``, exact pts in the source's
    time base, and their duration where the source tells it.

    Raises:
        DecodeError: a decoded frame cannot be turned into pixels.
    """
    upright = _Upright(source.info)
    index = 0
    for item in source.items():
        if not isinstance(item, VideoFrame):
            yield item
            continue
        try:
            pixels = upright(item)
        except (av.FFmpegError, ValueError) as error:
            raise DecodeError(source.info.path, f"no pixels can be made of it ({error})", frame_index=index) from error
        yield Frame(pixels, item.pts or 0, source.info.time_base, item.duration or None)
        index += 1


class _Upright:
    """Turns decoded frames into upright full-range RGB of one size; one instance a thread.

    One reformatter is kept, as PyAV otherwise sets swscale up anew for every frame.
    """

    def __init__(self, info: VideoInfo) -> None:
        self._reformatter = VideoReformatter()
        self._quarters = info.rotation // 90
        self._size = (info.width, info.height) if self._quarters % 2 == 0 else (info.height, info.width)

    def __call__(self, frame: VideoFrame) -> Pixels:
        color = reading(frame)
        width, height = self._size
        rgb = self._reformatter.reformat(
            frame,
            width,
            height,
            format="rgb24",
            src_colorspace=swscale_matrix(color.matrix),
            src_color_range=2 if color.full_range else 1,
            dst_color_range=2,
            interpolation=_interpolation(frame, width, height),
            threads=1,
        )
        pixels = np.asarray(rgb.to_ndarray(), dtype=np.uint8)
        return turned(pixels, self._quarters)


def _interpolation(frame: VideoFrame, width: int, height: int) -> Interpolation:
    if (frame.width, frame.height) == (width, height):
        return EXACT
    scaling = Interpolation.AREA if height < frame.height else Interpolation.LANCZOS
    return (EXACT & ~Interpolation.BILINEAR) | scaling


def turned(pixels: Pixels, quarters: int) -> Pixels:
    """Turn ``(height, width, 3)`` pixels counter-clockwise by ``quarters`` right angles, C-contiguous."""
    if quarters % 4 == 0:
        return np.ascontiguousarray(pixels)
    # One three-byte item a pixel: numpy moves these twice as fast as single bytes.
    whole = np.ascontiguousarray(pixels).view("V3")[..., 0]
    return np.ascontiguousarray(np.rot90(whole, quarters))[..., None].view(np.uint8)
