"""NVIDIA's decoders and encoders: whether they work here, found out by a few frames, as nothing else tells.

FFmpeg copies decoded frames to main memory: as NV12 instead of yuv420p, P010 with 10 bits, with the same samples.
"""

from fractions import Fraction
from functools import cache
from typing import cast

import av
import numpy as np
from av.codec.hwaccel import HWAccel
from av.video.frame import VideoFrame

from pipeline.errors import reason_of
from pipeline.media.packets import VideoPacket

# Formats of frames that come from NVDEC: 8 bits, 10, and more; without subsampling the names of software are kept.
_FROM_DEVICE = ("nv12", "p010le", "p016le", "nv16", "p210le", "p216le")
# Larger than the smallest frames of every decoder and encoder.
_WIDTH, _HEIGHT, _FRAMES = 320, 192, 3


def working_accelerator(device: str) -> HWAccel | None:
    """Return what makes decoders run on a GPU, each as far as the GPU supports its stream; None if it does not work.

    Args:
        device: ``cuda`` for the first GPU, ``cuda:N``, or ``none``.
    """
    if device == "none" or decoder_fault(device) is not None:
        return None
    return _accelerator(device, may_fall_back=True)


def software_reason(device: str, frame: VideoFrame, codec: str) -> str | None:
    """Return why ``frame`` was decoded in software though ``device`` was asked for; None if it was not.

    Args:
        device: that was asked for; see `working_accelerator`.
        frame: that was decoded.
        codec: its codec.
    """
    if device == "none" or frame.format.name in _FROM_DEVICE:
        return None
    return decoder_fault(device) or f"it does not support this {codec}, {frame.format.name}"


def _accelerator(device: str, *, may_fall_back: bool) -> HWAccel:
    number = device.partition(":")[2]
    return HWAccel("cuda", device=number or None, allow_software_fallback=may_fall_back)


@cache
def decoder_fault(device: str) -> str | None:
    """Return why the GPU ``device`` cannot decode a tiny H.264 clip; None if it can."""
    try:
        decoder = av.CodecContext.create("h264", "r", _accelerator(device, may_fall_back=False))
        packets = _encoded("libx264", {"preset": "ultrafast"})
        frames = [frame for packet in (*packets, None) for frame in decoder.decode(packet)]
    except (av.FFmpegError, OSError, ValueError, NotImplementedError) as error:
        return reason_of(error)
    if len(frames) != _FRAMES or any(frame.format.name not in _FROM_DEVICE for frame in frames):
        return f"{len(frames)} of {_FRAMES} frames came back"
    return None


@cache
def encoder_fault(name: str) -> str | None:
    """Return why the encoder ``name`` cannot encode a tiny clip here; None if it can."""
    try:
        packets = _encoded(name, {})
    except (av.FFmpegError, OSError, ValueError) as error:
        return reason_of(error)
    return None if len(packets) == _FRAMES else f"{len(packets)} of {_FRAMES} frames came back"


def _encoded(name: str, options: dict[str, str]) -> list[VideoPacket]:
    encoder = cast(av.VideoCodecContext, av.CodecContext.create(name, "w"))
    encoder.width, encoder.height, encoder.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
    encoder.framerate, encoder.options = Fraction(25), options
    packets: list[VideoPacket] = []
    for number in range(_FRAMES):
        frame = VideoFrame.from_ndarray(np.full((_HEIGHT * 3 // 2, _WIDTH), 60 * number, np.uint8), format="yuv420p")
        frame.pts = number
        packets += encoder.encode(frame)
    return packets + encoder.encode(None)
