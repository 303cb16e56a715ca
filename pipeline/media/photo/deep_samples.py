"""Pictures of 16 bits, which Pillow would reduce to 8: PNG and TIFF decoded, and PNG encoded, by FFmpeg."""

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from pipeline.frames import Pixels

# Channels of FFmpeg's packed pixel formats, and the byte order that follows their name.
_CHANNELS = {"gray16": 1, "ya16": 2, "rgb48": 3, "rgba64": 4}
_ORDERS = {"le": "<u2", "be": ">u2"}
# Bytes for each pixel: the frame, and the samples in one piece, of four channels.
DEEP_BYTES = 24


def decode_deep(content: bytes, codec: str) -> Pixels | None:
    """Return the samples of a picture, ``(height, width, channels)`` uint16; None if FFmpeg does not decode them.

    Args:
        content: of the file.
        codec: ``png`` or ``tiff``.
    """
    decoder = av.CodecContext.create(codec, "r")
    assert isinstance(decoder, VideoCodecContext)  # noqa: S101 - for the type checker
    try:
        frames = [*decoder.decode(av.Packet(content)), *decoder.decode(None)]
    except (av.FFmpegError, ValueError):
        return None
    kind, order = (frames[0].format.name[:-2], frames[0].format.name[-2:]) if frames else ("", "")
    if kind not in _CHANNELS or order not in _ORDERS:
        return None
    width, height = frames[0].width, frames[0].height
    stored = _rows(frames[0], _ORDERS[order])[:, : width * _CHANNELS[kind]]
    return stored.astype(np.uint16).reshape(height, width, -1)


def encode_deep_png(pixels: Pixels, alpha: Pixels | None) -> bytes:
    """Return a PNG of 16 bits, without any metadata.

    Args:
        pixels: ``(height, width, 3)`` uint16.
        alpha: ``(height, width)`` uint16, None if all is opaque.
    """
    samples = pixels if alpha is None else np.dstack((pixels, alpha))
    encoder = av.CodecContext.create("png", "w")
    assert isinstance(encoder, VideoCodecContext)  # noqa: S101 - for the type checker
    encoder.height, encoder.width, _ = samples.shape
    encoder.pix_fmt = "rgb48be" if alpha is None else "rgba64be"
    encoder.time_base = 1  # type: ignore[assignment]
    encoder.options = {"pred": "mixed"}
    frame = VideoFrame(encoder.width, encoder.height, encoder.pix_fmt)
    _rows(frame, ">u2")[:, : samples[0].size] = samples.reshape(encoder.height, -1)
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def _rows(frame: VideoFrame, order: str) -> NDArray[np.uint16]:
    """Return a view of the samples of a packed frame, ``(height, samples of a row with its padding)``."""
    return np.asarray(memoryview(frame.planes[0]).cast("B")).view(order).reshape(frame.height, -1)
