"""Stylized frames whose samples a GPU has computed for the encoder: half the bytes of RGB, and no work for swscale."""

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from pipeline.frames import Color, Pixels
from pipeline.media.pixels.bit_depth import bit_depth
from pipeline.media.pixels.colorspace import EXACT, swscale_matrix

if TYPE_CHECKING:
    from models.pixels.yuv_output import SampleFormat

# FFmpeg's names of planar formats, and whether two pixels beside and below each other share their chroma.
_SHARED = {"yuv420p": (True, True), "yuv422p": (True, False), "yuv444p": (False, False)}
_SHARED |= {f"{name}10le": shared for name, shared in _SHARED.items()}


@dataclass(frozen=True, slots=True)
class EncoderFormat:
    """What an encoder takes.

    Attributes:
        pixel_format: FFmpeg's name.
        color: how samples are written.
    """

    pixel_format: str
    color: Color

    @property
    def samples(self) -> "SampleFormat | None":
        """The same for `models.pixels.yuv_output.RgbToYuv`, with chroma where swscale writes it; None if it cannot."""
        from models.pixels.yuv_output import SampleFormat

        shared = _SHARED.get(self.pixel_format)
        if shared is None:
            return None
        bits = bit_depth(self.pixel_format)
        return SampleFormat(self.color.matrix, self.color.full_range, bits, *shared)


class EncoderSamples:
    """The samples of a stylized frame; see `pipeline.frames.Frame.image`.

    Args:
        packed: uint8, or uint16 for more than 8 bits: all rows of luma, then of Cb, then of Cr.
        height: of the frame, in pixels.
        width: of the frame, in pixels.
        format: of the samples.
        is_16_bit: whether the RGB of the frame has 16 bits.
    """

    def __init__(
        self, packed: NDArray[np.generic], height: int, width: int, format: EncoderFormat, *, is_16_bit: bool = False
    ) -> None:
        self.height, self.width, self.format = height, width, format
        self._packed, self._is_16_bit = packed, is_16_bit
        self._rgb: Pixels | None = None
        self._converting = threading.Lock()

    def video_frame(self) -> VideoFrame:
        """Return the frame for the encoder.

        Raises:
            ValueError: there are more or fewer samples than it has.
        """
        frame = VideoFrame(self.width, self.height, self.format.pixel_format)
        color, start = self.format.color, 0
        for plane in frame.planes:
            count = plane.width * plane.height
            rows = self._packed[start : start + count].reshape(plane.height, plane.width)
            start += count
            target = np.asarray(memoryview(plane)).view(self._packed.dtype).reshape(plane.height, -1)
            target[:, : plane.width] = rows
        if start != len(self._packed):
            raise ValueError(f"{len(self._packed)} samples are no frame of {self.width}x{self.height}")
        frame.colorspace, frame.color_range = color.matrix, 2 if color.full_range else 1
        return frame

    def rgb(self) -> Pixels:
        """Return ``(height, width, 3)`` full-range RGB, as a player shows it; computed at the first call."""
        with self._converting:
            if self._rgb is None:
                color = self.format.color
                rgb = VideoReformatter().reformat(
                    self.video_frame(),
                    format="rgb48le" if self._is_16_bit else "rgb24",
                    src_colorspace=swscale_matrix(color.matrix),
                    src_color_range=2 if color.full_range else 1,
                    dst_color_range=2,
                    interpolation=EXACT,
                    threads=1,
                )
                self._rgb = np.asarray(rgb.to_ndarray())
            return self._rgb
