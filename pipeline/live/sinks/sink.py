"""The interface of a sink: a place that a live session sends stylized frames to."""

from abc import ABC, abstractmethod
from datetime import datetime
from fractions import Fraction
from pathlib import Path

from av.audio.frame import AudioFrame

from pipeline.errors import PipelineError
from pipeline.live.frames import LiveFrame
from pipeline.system.files.names import why_taken


class SinkError(PipelineError):
    """A sink cannot be opened, or failed; the other sinks of the session continue.

    Attributes:
        name: name of the sink.
    """

    exit_code = 4

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name


class Sink(ABC):
    """A place that frames are sent to. Its own thread calls all methods except `kill`.

    Attributes:
        name: shown in messages, unique in a session: ``window``, ``record out.mkv``.
        blocked_seconds: how long a call may take before the user is told that the sink is blocked.
        finish_seconds: how long `close` may take before `kill` is called.
    """

    name: str
    blocked_seconds: float = 2.0
    finish_seconds: float = 10.0

    @property
    def is_active(self) -> bool:
        """Whether frames are wanted; False for a recording that is paused. An inactive sink keeps no session alive."""
        return True

    @property
    def is_connected(self) -> bool:
        """Whether frames reach someone; False while a stream has no connection."""
        return True

    @abstractmethod
    def open(self, width: int, height: int, fps: Fraction) -> None:
        """Prepare for frames of this size in pixels, about ``fps`` per second; called once.

        Raises:
            SinkError: the sink cannot be opened.
        """

    @abstractmethod
    def write(self, frame: LiveFrame) -> None:
        """Write a frame. May block: meanwhile the newest frame waits and older ones are dropped.

        Raises:
            SinkError: the sink has failed for good.
        """

    @abstractmethod
    def close(self) -> None:
        """Finish what was written and release everything; called once, also after a failed or missing `open`."""

    def write_audio(self, frame: AudioFrame) -> None:  # noqa: B027 - optional
        """Write audio; called after `write`, and after `poll` once a frame has been written.

        ``frame.pts * frame.time_base`` is the time of the first sample in seconds of `time.monotonic`, the clock of
        `LiveFrame.captured_at`.

        Raises:
            SinkError: the sink has failed for good.
        """

    def poll(self) -> None:  # noqa: B027 - optional
        """Handle events; called ten times a second while no frame arrives.

        Raises:
            SinkError: the sink has failed for good.
        """

    def kill(self) -> None:  # noqa: B027 - optional
        """Make a hanging call return, if possible; called from another thread, perhaps after `close`."""


class NullSink(Sink):
    """Discards every frame, for measurements."""

    name = "null"

    def open(self, width: int, height: int, fps: Fraction) -> None:
        """Do nothing."""

    def write(self, frame: LiveFrame) -> None:
        """Discard the frame."""

    def close(self) -> None:
        """Do nothing."""


def unused_path(folder: Path, suffix: str) -> Path:
    """Return a path in ``folder`` that does not exist yet: ``flowbrush-20261120-190000.png``, numbered if needed."""
    stem = f"flowbrush-{datetime.now():%Y%m%d-%H%M%S}"
    path, number = folder / f"{stem}{suffix}", 1
    while why_taken(path):
        number += 1
        path = folder / f"{stem}-{number}{suffix}"
    return path
