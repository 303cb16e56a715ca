"""The video frames that travel through a live session."""

from dataclasses import dataclass

from pipeline.frames import Pixels


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """A frame as the capture device delivered it.

    Attributes:
        pixels: ``(H, W, 3)`` uint8 RGB, C-contiguous; nobody else writes into it.
        captured_at: when the device delivered it, before decoding or conversion, in seconds of `time.monotonic`.
        index: number of the frame in this session, from 0; set by the capture thread.
    """

    pixels: Pixels
    captured_at: float
    index: int = 0


@dataclass(frozen=True, slots=True)
class LiveFrame:
    """A stylized frame. All sinks share it, so none of them may write into its arrays.

    Attributes:
        pixels: ``(H, W, 3)`` uint8 RGB at output size, stylized.
        original: the captured frame at output size, not stylized; mirrored if ``pixels`` is.
        captured_at: when the device delivered the frame, in seconds of `time.monotonic`.
        index: number of the captured frame; increases, with gaps where frames were dropped.
    """

    pixels: Pixels
    original: Pixels
    captured_at: float
    index: int
