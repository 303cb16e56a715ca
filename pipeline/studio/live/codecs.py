"""Pictures on the wire: JPEG for the WebSocket, and the settings of aiortc's video codecs."""

import io
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import numpy as np
from PIL import Image

from pipeline.frames import Pixels
from pipeline.media.stills import PILLOW_ERRORS, open_image

if TYPE_CHECKING:
    from av import VideoFrame

CLOCK_RATE = 90_000
"""Ticks per second of video in RTP."""
JPEG_QUALITY = 85
MOST_JPEG_BYTES = 4 * 2**20
# No camera of a browser is larger; the page scales down before it sends.
MOST_FRAME_PIXELS = 3840 * 2160


def check_frame_size(height: int, width: int) -> None:
    """Raise ValueError if a frame is too large to be scaled down, or empty."""
    if not (height > 0 and width > 0 and height * width <= MOST_FRAME_PIXELS):
        raise ValueError(f"frames of {width}x{height} are too large; send 1280x720 or less")


def jpeg_size(content: bytes) -> tuple[int, int]:
    """Return height and width in the header of a JPEG; no pixel is decoded.

    Raises:
        ValueError: it is no JPEG of a camera, or too large.
    """
    if len(content) > MOST_JPEG_BYTES:
        raise ValueError(f"the frame has {len(content)} bytes; {MOST_JPEG_BYTES} are accepted")
    try:
        with open_image(io.BytesIO(content), ("JPEG",)) as image:
            width, height = image.size
            is_progressive = "progressive" in image.info
    except PILLOW_ERRORS:
        raise ValueError("the frame is not a JPEG; send one") from None
    if is_progressive:  # many scans of few bytes each take seconds
        raise ValueError("the frame is a progressive JPEG; send a baseline one")
    check_frame_size(height, width)
    return height, width


def decode_jpeg(content: bytes) -> Pixels:
    """Return ``(H, W, 3)`` uint8 RGB of a JPEG whose size is checked.

    Raises:
        ValueError: it is damaged.
    """
    try:
        with open_image(io.BytesIO(content), ("JPEG",)) as image:
            image.load()
            return np.array(image.convert("RGB"))
    except PILLOW_ERRORS:
        raise ValueError("the frame is a damaged JPEG; send another one") from None


def encode_jpeg(pixels: Pixels) -> bytes:
    """Return ``(H, W, 3)`` uint8 RGB as a JPEG."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=JPEG_QUALITY)
    return content.getvalue()


def read_video_frame(frame: "VideoFrame", size: tuple[int, int]) -> Pixels:
    """Return a frame of WebRTC as ``(H, W, 3)`` uint8 RGB at this height and width."""
    height, width = size
    return np.asarray(frame.reformat(width=width, height=height, format="rgb24").to_ndarray(), np.uint8)


def new_video_frame(pixels: Pixels, pts: int) -> "VideoFrame":
    """Return ``(H, W, 3)`` uint8 RGB as a frame for an encoder of aiortc; ``pts`` counts by `CLOCK_RATE`."""
    from av import VideoFrame

    frame = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24").reformat(format="yuv420p")
    frame.pts, frame.time_base = pts, Fraction(1, CLOCK_RATE)
    return frame


def codec_work() -> Callable[[Pixels], None]:
    """Return what a frame ``(H, W, 3)`` costs besides the network: it is encoded and decoded, on one core."""
    from aiortc.codecs.vpx import Vp8Decoder, Vp8Encoder, vp8_depayload
    from aiortc.jitterbuffer import JitterFrame

    encoder, decoder, count = Vp8Encoder(), Vp8Decoder(), 0

    def work(pixels: Pixels) -> None:
        nonlocal count
        count += 1
        frame = new_video_frame(np.roll(pixels, count, axis=1), count * CLOCK_RATE // 30)
        payloads, timestamp = encoder.encode(frame)
        data = b"".join(vp8_depayload(payload) for payload in payloads)
        for decoded in decoder.decode(JitterFrame(data, timestamp)):
            read_video_frame(cast("VideoFrame", decoded), pixels.shape[:2])

    return work
