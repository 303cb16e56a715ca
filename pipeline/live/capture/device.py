"""The interfaces of a live source: `CaptureDevice` for frames, `AudioSource` for audio."""

from abc import ABC, abstractmethod
from typing import Protocol

from av.audio.frame import AudioFrame

from pipeline.live.frames import CapturedFrame


class CaptureDevice(ABC):
    """A camera, a network stream, a screen or a file. One thread calls all methods except `stop`.

    Attributes:
        name: shown in messages, ``camera 0`` for instance; never contains a password.
        reconnects: whether to open the device again after a failed `read`: True for a camera, False for a file.
        fps: nominal frame rate after `open`, None if unknown. `CaptureThread` measures the real one.
    """

    name: str
    reconnects: bool = True
    fps: float | None = None

    @abstractmethod
    def open(self) -> None:
        """Open the device; called again after `close` if ``reconnects``.

        Raises:
            InputError: the device is missing or cannot be opened.
        """

    @abstractmethod
    def read(self) -> CapturedFrame | None:
        """Wait for the next frame; return None at the end of a file, or after `stop`.

        Raises:
            InputError: the device delivers no more frames.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the device; does nothing if it is not open."""

    def stop(self) -> None:  # noqa: B027 - optional: not every driver can interrupt a read
        """Make a waiting `read` return soon, if the driver can. Never blocks; called from another thread."""


class AudioSource(Protocol):
    """A microphone, or the audio of a played file. One thread calls all methods.

    Attributes:
        name: shown in messages.
    """

    name: str

    def read(self) -> AudioFrame | None:
        """Wait up to half a second for the next audio frame; None if none arrived.

        ``frame.pts * frame.time_base`` is the time of the first sample in seconds of `time.monotonic`.

        Raises:
            PipelineError: no more audio can be read.
        """

    def close(self) -> None:
        """Close the device."""
