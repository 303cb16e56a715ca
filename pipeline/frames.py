"""The values that travel through the pipeline: frames, and the description of a video."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.unsignedinteger[Any]]
"""uint8, or uint16 for a video with more than 8 bits."""

State = Mapping[str, NDArray[Any]]
"""What the stylizer remembers of the frames so far, by name; numbers are arrays without an axis."""


@dataclass(frozen=True, slots=True)
class SegmentBoundary:
    """The end of a segment of the output; carried by the segment's last frame.

    Attributes:
        next_index: number of the next frame, counted from 0 at the first frame of the clip.
        state: what the stylizer remembers after this frame; empty until the frame is stylized.
        engine: name and code of the engine that stylized the segment; None if the stylizer started with it.
    """

    next_index: int
    state: State = field(default_factory=dict)
    engine: Mapping[str, str] | None = None


class Samples(Protocol):
    """A decoded frame in 4:2:0, of 8 bits, whose RGB is computed where it is needed: on a GPU, or here.

    Attributes:
        height: in pixels, even.
        width: in pixels, even.
        packed: ``(1.5 * height * width,)`` uint8: luma, then chroma.
        is_interleaved: whether chroma is Cb and Cr in turn, or all Cb and then all Cr.
        color: of the samples.
        siting: where chroma lies; see `models.pixels.yuv.Siting`.
    """

    height: int
    width: int
    packed: NDArray[np.uint8]
    is_interleaved: bool
    color: "Color"
    siting: str

    def rgb(self) -> Pixels:
        """Return what `Frame.pixels` is; computed at the first call, in any thread."""


class Encodable(Protocol):
    """A stylized frame whose samples are ready for the encoder.

    Attributes:
        height: in pixels.
        width: in pixels.
    """

    height: int
    width: int

    def rgb(self) -> Pixels:
        """Return what `Frame.pixels` is, as a player shows it; computed at the first call, in any thread."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A video frame with its exact timestamp.

    Attributes:
        image: `pixels`, samples that become them, or, of a stylized frame, samples for the encoder.
        pts: presentation timestamp in units of ``time_base``.
        time_base: seconds per unit of ``pts``, exact.
        duration: duration in units of ``time_base``, None if unknown.
        alpha: ``(height, width)`` of the same dtype, 0 where transparent, None if all is opaque; ``pixels`` are not
            premultiplied.
        digest: hash of the frame as it was decoded; None except at the ends of segments and of segment jobs.
        boundary: set on the last frame of a segment.
        is_observed_only: True if only the noise filter needs the frame: it is neither stylized nor written.
    """

    image: Pixels | Samples | Encodable
    pts: int
    time_base: Fraction
    duration: int | None = None
    alpha: Pixels | None = None
    digest: str | None = None
    boundary: SegmentBoundary | None = None
    is_observed_only: bool = False

    @property
    def pixels(self) -> Pixels:
        """``(height, width, 3)`` RGB, full range, upright, C-contiguous.

        uint8, or uint16 from 0 to 65535 if `VideoInfo.is_16_bit`.
        """
        return self.image if isinstance(self.image, np.ndarray) else self.image.rgb()

    @property
    def seconds(self) -> Fraction:
        """Presentation time in seconds, exact."""
        return self.pts * self.time_base

    def with_pixels(self, pixels: Pixels) -> "Frame":
        """Return the same frame with other pixels."""
        return replace(self, image=pixels)

    def with_state(self, state: State, engine: Mapping[str, str] | None = None) -> "Frame":
        """Return the same frame, which must have a boundary, with ``state`` added to its state, and ``engine``."""
        if self.boundary is None:
            raise ValueError("only a frame with a boundary has a state")
        return replace(self, boundary=replace(self.boundary, state={**self.boundary.state, **state}, engine=engine))


def in_8_bits(pixels: Pixels) -> NDArray[np.uint8]:
    """Return ``pixels`` of any shape as uint8; 16 bits are rounded."""
    if pixels.dtype == np.uint8:
        return np.asarray(pixels, np.uint8)
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Color:
    """How the samples of a video encode colors, in the numbers of FFmpeg and ITU-T H.273; 2 is "unspecified".

    Attributes:
        matrix: the YUV matrix (1 BT.709, 5 and 6 BT.601, 9 BT.2020).
        full_range: True if luma spans 0 to 255, False if it spans 16 to 235.
        primaries: color primaries.
        transfer: transfer characteristic.
    """

    matrix: int
    full_range: bool
    primaries: int
    transfer: int


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """The description of a video by its header and its first frame.

    Attributes:
        path: the file as the user named it.
        container: FFmpeg's name of the demuxer, for instance ``mov,mp4,m4a,3gp,3g2,mj2``.
        codec: FFmpeg's name of the decoder.
        width: of the upright frames, in pixels.
        height: of the upright frames, in pixels.
        rotation: degrees counter-clockwise by which stored frames are rotated: 0, 90, 180 or 270.
        sample_aspect_ratio: width of an upright pixel over its height.
        time_base: seconds per unit of pts, exact.
        average_rate: average frames per second, None if unknown; a hint, never a clock.
        frame_count: estimated number of frames, None if unknown; headers may be wrong.
        duration_seconds: estimated duration in seconds, None if unknown.
        color: of the frames as they are yielded, BT.709 after tone mapping.
        flipped: whether stored frames are mirrored top to bottom before they are rotated.
        is_16_bit: whether pixels are uint16, as the source has more than 8 bits; uint8 otherwise.
        has_alpha: whether frames have alpha.
        interlaced: whether the header says that frames are interlaced; they are yielded deinterlaced.
        tone_mapped_from: ``PQ`` or ``HLG`` if frames are tone-mapped from HDR, None otherwise.
        peak_nits: peak luminance of a PQ source in cd/m2, None if unknown.
        hwaccel: kind of device that decodes, ``cuda``; None for software.
        hwaccel_fault: why frames are decoded in software though a device was asked for; None if none was.
        siting: where chroma lies in frames whose RGB a GPU may compute; None if it may not.
            See `models.pixels.yuv.Siting`.
    """

    path: str
    container: str
    codec: str
    width: int
    height: int
    rotation: int
    sample_aspect_ratio: Fraction
    time_base: Fraction
    average_rate: Fraction | None
    frame_count: int | None
    duration_seconds: float | None
    color: Color
    flipped: bool = False
    is_16_bit: bool = False
    has_alpha: bool = False
    interlaced: bool = False
    tone_mapped_from: str | None = None
    peak_nits: float | None = None
    hwaccel: str | None = None
    hwaccel_fault: str | None = None
    siting: str | None = None
