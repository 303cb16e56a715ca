"""The first stage: decoded frames become upright RGB; packets of the other streams bypass the stages."""

from collections.abc import Iterator

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from pipeline.decode.source import Source
from pipeline.errors import DecodeError
from pipeline.frames import Frame, Pixels, Samples, VideoInfo
from pipeline.media.packets import SidePackets
from pipeline.media.pixels.alpha import background_grey, composite, fill_transparent, may_be_transparent
from pipeline.media.pixels.bit_depth import HighDepthToRgb
from pipeline.media.pixels.colorspace import hdr_transfer, scaling, source_color, to_8_bit_rgb
from pipeline.media.pixels.deinterlace import deinterlace
from pipeline.media.pixels.orientation import rotate
from pipeline.media.pixels.samples import SampledFrame, is_sampled

# Containers without durations: FFmpeg estimates them from the frame rate, except for frames it probes while opening.
_WITHOUT_DURATIONS = ("flv", "asf")


def decode(source: Source, side_packets: SidePackets | None = None) -> Iterator[Frame]:
    """Yield every frame of ``source`` in presentation order, with exact pts in the source's time base.

    All frames have the size of ``source.info``; durations are those of the source, None if it has none.

    Args:
        source: the source; its frames can be decoded once.
        side_packets: receives the packets of the other streams; they are dropped if it is None.

    Raises:
        DecodeError: a decoded frame cannot be converted to RGB.
    """
    to_rgb = _UprightRgb(source.info)
    has_durations = source.info.container not in _WITHOUT_DURATIONS
    index = 0
    for item in deinterlace(source.items()):
        if not isinstance(item, VideoFrame):
            if side_packets is not None:
                side_packets.put(item, index)
            continue
        try:
            image, alpha = to_rgb(item)
        except (av.FFmpegError, ValueError) as error:
            raise DecodeError(source.info.path, f"cannot be converted to RGB ({error})", frame_index=index) from error
        duration = (item.duration or None) if has_durations else None
        yield Frame(image, item.pts or 0, source.info.time_base, duration, alpha)
        index += 1


class _UprightRgb:
    """Converts decoded frames to upright full-range RGB of the size and depth of ``info``; one instance per thread.

    Each frame is converted by its own size, format and colors, which may change in mid-stream.
    """

    def __init__(self, info: VideoInfo) -> None:
        self._reformatter = VideoReformatter()  # PyAV otherwise sets swscale up for every frame
        self._high_depth_to_rgb = HighDepthToRgb(info)
        self._info = info
        self._quarters = info.rotation // 90
        self._size = (info.width, info.height) if self._quarters % 2 == 0 else (info.height, info.width)

    def __call__(self, frame: VideoFrame) -> tuple[Pixels | Samples, Pixels | None]:
        """Return the pixels of ``frame``, or samples that become them, and its alpha if `VideoInfo.has_alpha`."""
        if self._info.siting is not None and self._is_like_the_first(frame):
            return SampledFrame(frame, self._info.siting), None
        pixels, alpha = self._stored_rgb(frame)
        if self._info.has_alpha:
            alpha = np.full(pixels.shape[:2], np.iinfo(pixels.dtype).max, pixels.dtype) if alpha is None else alpha
            pixels = fill_transparent(pixels, alpha)
        elif alpha is not None:
            pixels, alpha = composite(pixels, alpha, background_grey(self._info.container)), None
        upright_alpha = None if alpha is None else rotate(alpha, self._quarters, flipped=self._info.flipped)
        return rotate(pixels, self._quarters, flipped=self._info.flipped), upright_alpha

    def _is_like_the_first(self, frame: VideoFrame) -> bool:
        """Return whether the RGB of ``frame`` may be computed later, as that of the first frame may."""
        is_whole = (frame.width, frame.height) == self._size
        return is_whole and is_sampled(frame) and source_color(frame) == self._info.color

    def _stored_rgb(self, frame: VideoFrame) -> tuple[Pixels, Pixels | None]:
        """Return pixels and alpha, not yet rotated."""
        interpolation = scaling(frame, *self._size)
        if self._info.is_16_bit or hdr_transfer(source_color(frame)) is not None:
            return self._high_depth_to_rgb(frame, *self._size, interpolation)
        format_ = "rgba" if may_be_transparent(frame) else "rgb24"
        pixels = to_8_bit_rgb(frame, self._reformatter, *self._size, format=format_, interpolation=interpolation)
        return pixels[..., :3], pixels[..., 3] if format_ == "rgba" else None
