"""The first stage: decoded frames become upright RGB pixels; packets of other streams bypass the stages."""

from collections.abc import Iterator

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from pipeline.decode.source import Source
from pipeline.errors import DecodeError
from pipeline.frames import Frame, Pixels, VideoInfo
from pipeline.media.alpha import background_grey, composite, fill_transparent, may_be_transparent
from pipeline.media.bit_depth import HighDepthToRgb
from pipeline.media.colorspace import EXACT, hdr_transfer, source_color, swscale_matrix
from pipeline.media.deinterlace import deinterlace
from pipeline.media.orientation import rotate
from pipeline.media.packets import SidePackets

# They tell no durations: FFmpeg makes some up from the frame rate, but not for what it reads ahead on opening.
_WITHOUT_DURATIONS = ("flv", "asf")


def decode(source: Source, side_packets: SidePackets | None = None) -> Iterator[Frame]:
    """Yield the frames of ``source`` in presentation order.

    As many frames come out as the decoder gives; all have the size of ``source.info``, exact pts in the source's
    time base, and their duration where the source tells it.

    Args:
        source: what to decode.
        side_packets: receives the packets of the other streams; they are dropped if it is None.

    Raises:
        DecodeError: a decoded frame cannot be turned into pixels.
    """
    upright = _Upright(source.info)
    has_durations = source.info.container not in _WITHOUT_DURATIONS
    index = 0
    for item in deinterlace(source.items()):
        if not isinstance(item, VideoFrame):
            if side_packets is not None:
                side_packets.put(item, index)
            continue
        try:
            pixels, alpha = upright(item)
        except (av.FFmpegError, ValueError) as error:
            raise DecodeError(source.info.path, f"no pixels can be made of it ({error})", frame_index=index) from error
        duration = (item.duration or None) if has_durations else None
        yield Frame(pixels, item.pts or 0, source.info.time_base, duration, alpha)
        index += 1


class _Upright:
    """Turns decoded frames into upright full-range RGB of one size and depth; one instance a thread.

    One reformatter is kept, as PyAV otherwise sets swscale up anew for every frame. Each frame is read by its own
    size, format and colours, which may change in mid-stream.
    """

    def __init__(self, info: VideoInfo) -> None:
        self._reformatter = VideoReformatter()
        self._to_rgb = HighDepthToRgb(info)
        self._info = info
        self._quarters = info.rotation // 90
        self._size = (info.width, info.height) if self._quarters % 2 == 0 else (info.height, info.width)

    def __call__(self, frame: VideoFrame) -> tuple[Pixels, Pixels | None]:
        """Pixels, and the alpha where `VideoInfo.has_alpha` wants one."""
        if self._info.is_16_bit or hdr_transfer(source_color(frame)) is not None:
            pixels, alpha = self._to_rgb(frame, *self._size, _interpolation(frame, *self._size))
        else:
            pixels, alpha = self._shallow(frame)
        if self._info.has_alpha:
            alpha = np.full(pixels.shape[:2], np.iinfo(pixels.dtype).max, pixels.dtype) if alpha is None else alpha
            pixels = fill_transparent(pixels, alpha)
        elif alpha is not None:
            pixels, alpha = composite(pixels, alpha, background_grey(self._info.container)), None
        turned_alpha = None if alpha is None else rotate(alpha, self._quarters, flipped=self._info.flipped)
        return rotate(pixels, self._quarters, flipped=self._info.flipped), turned_alpha

    def _shallow(self, frame: VideoFrame) -> tuple[Pixels, Pixels | None]:
        """By swscale, which is exact within a level for 8 bits, and fast."""
        color = source_color(frame)
        width, height = self._size
        rgb = self._reformatter.reformat(
            frame,
            width,
            height,
            format="rgba" if may_be_transparent(frame) else "rgb24",
            src_colorspace=swscale_matrix(color.matrix),
            src_color_range=2 if color.full_range else 1,
            dst_color_range=2,
            interpolation=_interpolation(frame, width, height),
            threads=1,
        )
        pixels = np.asarray(rgb.to_ndarray(), dtype=np.uint8)
        return pixels[..., :3], pixels[..., 3] if pixels.shape[2] == 4 else None


def _interpolation(frame: VideoFrame, width: int, height: int) -> Interpolation:
    if (frame.width, frame.height) == (width, height):
        return EXACT
    scaling = Interpolation.AREA if height < frame.height else Interpolation.LANCZOS
    return (EXACT & ~Interpolation.BILINEAR) | scaling
