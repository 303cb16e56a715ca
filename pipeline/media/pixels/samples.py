"""Decoded frames whose RGB may be computed on a GPU, which takes half the bytes of RGB and is spared swscale.

Where chroma lies is known to FFmpeg, and PyAV does not tell: `find_siting` compares with what swscale makes of a frame.
"""

import threading
from typing import TYPE_CHECKING, get_args

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from pipeline.frames import Pixels
from pipeline.media.pixels.colorspace import hdr_transfer, source_color, to_8_bit_rgb

if TYPE_CHECKING:
    from models.pixels.yuv import Siting

# FFmpeg's name of a format, and whether its chroma is Cb and Cr in turn.
_FORMATS = {"nv12": True, "yuv420p": False, "yuvj420p": False}
# More than another rounding: what a GPU makes of a frame would be seen beside what swscale makes of it.
_MOST_LEVELS = 1


class SampledFrame:
    """A decoded frame of `is_sampled`; see `pipeline.frames.Samples`.

    Args:
        frame: as decoded; nobody changes it.
        siting: where its chroma lies.
    """

    def __init__(self, frame: VideoFrame, siting: str) -> None:
        self.height, self.width, self.siting = frame.height, frame.width, siting
        self.is_interleaved = _FORMATS[frame.format.name]
        self.packed, self.color = packed(frame), source_color(frame)
        self._frame = frame
        self._rgb: Pixels | None = None
        self._converting = threading.Lock()

    def rgb(self) -> Pixels:
        """See `pipeline.frames.Samples.rgb`; swscale computes it."""
        with self._converting:
            if self._rgb is None:
                self._rgb = to_8_bit_rgb(self._frame, VideoReformatter())
            return self._rgb


def is_sampled(frame: VideoFrame) -> bool:
    """Return whether the samples of ``frame`` can be packed: 4:2:0 of 8 bits, SDR, with even sides."""
    from models.pixels.yuv import Yuv420ToRgb

    is_even = frame.height % 2 == 0 and frame.width % 2 == 0
    is_large = min(frame.height, frame.width) >= Yuv420ToRgb.SMALLEST_PX
    return frame.format.name in _FORMATS and is_even and is_large and hdr_transfer(source_color(frame)) is None


def packed(frame: VideoFrame) -> NDArray[np.uint8]:
    """Return the samples of a frame of `is_sampled`, without what pads its rows; see `pipeline.frames.Samples`."""
    planes = []
    for plane in frame.planes:
        bytes_of_row = plane.width * (2 if plane.width < frame.width and _FORMATS[frame.format.name] else 1)
        rows = np.asarray(memoryview(plane), np.uint8).reshape(plane.height, -1)
        planes.append(rows[:, :bytes_of_row].ravel())
    return np.concatenate(planes)


def find_siting(frame: VideoFrame) -> "Siting | None":
    """Return where the chroma of ``frame`` lies; None if the frame has too few colors to tell, or is not sampled."""
    import torch

    from models.pixels.yuv import Siting, converter, rgb_of_packed

    if not is_sampled(frame):
        return None
    color, samples = source_color(frame), torch.from_numpy(packed(frame))
    expected = torch.from_numpy(to_8_bit_rgb(frame, VideoReformatter())).int()
    size, interleaved = (frame.height, frame.width), _FORMATS[frame.format.name]
    fitting: list[Siting] = []
    for siting in get_args(Siting):
        convert = converter(color.matrix, siting, full_range=color.full_range)
        found = rgb_of_packed(samples, *size, convert, is_interleaved=interleaved)
        if int((found.int() - expected).abs().max()) <= _MOST_LEVELS:
            fitting.append(siting)
    return fitting[0] if len(fitting) == 1 else None
