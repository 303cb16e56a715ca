"""What gives pictures to a live session, whatever it is."""

from dataclasses import dataclass
from typing import Protocol

from pipeline.frames import Pixels


@dataclass(frozen=True, slots=True)
class Taken:
    """A picture, and when it came.

    Attributes:
        pixels: ``(H, W, 3)`` uint8 RGB, C-contiguous; nobody else writes into it.
        at: seconds on `time.monotonic` when the device handed it out, before it was decoded or converted.
    """

    pixels: Pixels
    at: float


class Device(Protocol):
    """A camera, a stream, a screen or a file. All methods but ``stop`` are called in one thread.

    Attributes:
        name: as the user knows it.
        returns: whether it is worth opening again when it has gone: a camera is, a file is not.
        fps: pictures a second, as far as the device tells once it is open; a hint, None where it does not.
    """

    name: str
    returns: bool
    fps: float | None

    def open(self) -> None:
        """Get ready to read; called again after a `close`.

        Raises:
            InputError: it is not there, or not to be opened.
        """

    def read(self) -> Taken | None:
        """Wait for the next picture; None at the end of a file.

        Raises:
            InputError: no more pictures come.
        """

    def stop(self) -> None:
        """End a `read` that waits, as soon as the device allows; called in another thread, never blocks."""

    def close(self) -> None:
        """Let go of it; may be called when it is not open."""
