"""The pictures that travel through a live session."""

from dataclasses import dataclass

from pipeline.frames import Pixels


@dataclass(frozen=True, slots=True)
class Captured:
    """A picture as it came from the device.

    Attributes:
        pixels: ``(H, W, 3)`` uint8 RGB, C-contiguous.
        captured_at: seconds on `time.monotonic`, when the device handed it out.
        index: counts the pictures of the session from 0; those that nobody painted are missing further on.
    """

    pixels: Pixels
    captured_at: float
    index: int


@dataclass(frozen=True, slots=True)
class LiveFrame:
    """A painted picture; it belongs to all sinks at once, so that none of them writes into it.

    Attributes:
        pixels: ``(H, W, 3)`` uint8 RGB at output size, painted.
        original: the same size, unpainted; mirrored where ``pixels`` is.
        captured_at: seconds on `time.monotonic`, when the device handed out the picture.
        index: of the picture among those that were captured; grows, with gaps.
    """

    pixels: Pixels
    original: Pixels
    captured_at: float
    index: int
