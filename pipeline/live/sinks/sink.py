"""What a sink of a live session is."""

from fractions import Fraction
from typing import Protocol, runtime_checkable

from av.audio.frame import AudioFrame

from pipeline.errors import PipelineError
from pipeline.live.frames import LiveFrame


class SinkError(PipelineError):
    """A sink cannot be had, or broke; the others of the session go on without it.

    Attributes:
        name: of the sink, as the user knows it.
    """

    exit_code = 4

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name


class Sink(Protocol):
    """A place where painted pictures go. All methods but `kill` are called in one thread, which is the sink's own.

    Sinks are subclasses: what is not said otherwise here, they may leave as it is.

    Attributes:
        name: as the user knows it: ``window``, ``record out.mkv``; unique in a session.
        finish_seconds: how long its end may take; then it is killed.
    """

    name: str
    finish_seconds: float = 10.0

    @property
    def is_idle(self) -> bool:
        """Whether pictures are let go because nobody asked for them. Such a sink keeps no session."""
        return False

    @property
    def is_connected(self) -> bool:
        """Whether someone is reached, rather than pictures let go."""
        return True

    def open(self, width: int, height: int, fps: Fraction) -> None:
        """Get ready for pictures of one size, in pixels, that come about ``fps`` times a second; called once.

        Raises:
            SinkError: it cannot be had.
        """

    def write(self, frame: LiveFrame) -> None:
        """Take a picture. It may block: the newest picture waits meanwhile, those between are dropped.

        Raises:
            SinkError: the sink is broken for good.
        """

    def idle(self) -> None:
        """Called ten times a second while there is no new picture: for windows that want their events handled.

        Raises:
            SinkError: the sink is broken for good.
        """
        return

    def close(self) -> None:
        """Finish what was written and let go of it; called once, also after a failure, or where it was never opened."""

    def kill(self) -> None:
        """Make a call that hangs return, where that can be done; called in another thread, maybe after `close`."""
        return


@runtime_checkable
class AudioSink(Protocol):
    """A sink that takes sound as well."""

    def audio(self, frame: AudioFrame) -> None:
        """Take sound, in a thread of its own; may be called before `open` has returned and until `close` is called.

        ``frame.pts * frame.time_base`` is the moment on `time.monotonic` at which its first sample was heard, the clock
        of `LiveFrame.captured_at`. It may block: a bounded queue waits before it, and loses its oldest when full.

        Raises:
            SinkError: the sink is broken for good.
        """


class AudioSource(Protocol):
    """Where sound comes from, other than from a file that is painted: a microphone."""

    name: str

    def read(self) -> AudioFrame | None:
        """Wait for the next piece of sound, at most half a second; None for nothing yet. Times as in `AudioSink`.

        Raises:
            PipelineError: it is broken for good, or cannot be had; called in a thread of its own, opened at the first.
        """

    def close(self) -> None:
        """Let go of the device; called in the same thread."""
