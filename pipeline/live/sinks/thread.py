"""The thread that drives one sink, so that a slow or failing sink delays no other."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from fractions import Fraction

from av.audio.frame import AudioFrame

from pipeline.errors import PipelineError, first_line
from pipeline.live.frames import LiveFrame
from pipeline.live.mailbox import Mailbox
from pipeline.live.sinks.sink import Sink
from pipeline.live.statistics import Deliveries, SinkSummary

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.1
# Audio that waits for a blocked sink: about five seconds, then the oldest is dropped.
MAX_AUDIO_FRAMES = 250
# Most time that a killed sink gets to return.
KILL_SECONDS = 2.0


class SinkThread:
    """Drives one sink. A failure is reported in one line and ends this sink only.

    Args:
        sink: the sink.
        notify: called with messages for the user, from any thread.
        on_failure: called once with this object and a message if the sink fails, in its thread; None reports the
            message to ``notify``.

    Attributes:
        sink: the sink.
        deliveries: statistics of the frames it has taken.
        failure: why the sink failed, None otherwise.
    """

    def __init__(
        self, sink: Sink, notify: Callable[[str], None], on_failure: Callable[["SinkThread", str], None] | None = None
    ) -> None:
        self.sink = sink
        self.deliveries = Deliveries()
        self.failure: Exception | None = None
        self._notify = notify
        self._on_failure = on_failure or (lambda _, message: notify(message))
        self._frames: Mailbox[LiveFrame] = Mailbox()
        self._audio: deque[AudioFrame] = deque(maxlen=MAX_AUDIO_FRAMES)
        self._thread: threading.Thread | None = None
        self._busy_since: float | None = None
        self._block_reported = self._has_written = False
        self._is_closed = False

    @property
    def is_running(self) -> bool:
        """Whether the sink has neither failed nor ended."""
        return not self._is_closed

    @property
    def delivers(self) -> bool:
        """Whether frames reach someone, rather than being discarded."""
        return self.is_running and self.sink.is_active and self.sink.is_connected

    def start(self, width: int, height: int, fps: Fraction) -> None:
        """Start the thread, which opens the sink."""
        self._thread = threading.Thread(
            target=self._run, args=(width, height, fps), name=f"sink {self.sink.name}", daemon=True
        )
        self._thread.start()

    def put(self, frame: LiveFrame) -> None:
        """Hand over a frame, and report a sink that blocks; never waits."""
        if self._is_closed:
            return
        self._frames.put(frame)
        since = self._busy_since
        if since is None:
            self._block_reported = False
        elif not self._block_reported and self.delivers and time.monotonic() - since > self.sink.blocked_seconds:
            self._block_reported = True
            self._notify(f"{self.sink.name}: blocked; frames are dropped until it continues")

    def put_audio(self, frame: AudioFrame) -> None:
        """Hand over audio; never waits."""
        if not self._is_closed:
            self._audio.append(frame)

    def finish(self) -> None:
        """Accept no more frames; the waiting one is still written."""
        self._frames.close()

    def join(self) -> None:
        """Wait until the sink has finished; a hanging sink is killed, or abandoned with a message."""
        if self._thread is None:
            self._close()
            return
        try:
            self._thread.join(self.sink.finish_seconds)
        except KeyboardInterrupt:  # Python 3.12 then takes the thread for one that has ended
            self.sink.kill()
            raise
        if self._thread.is_alive():
            self.sink.kill()
            self._thread.join(min(self.sink.finish_seconds, KILL_SECONDS))
        if self._thread.is_alive():
            self._notify(f"{self.sink.name}: does not finish, abandoned")

    def summary(self) -> SinkSummary:
        """Return the statistics of this sink."""
        failure = None if self.failure is None else str(self.failure)
        return self.deliveries.summary(self.sink.name, self._frames.replaced, failure)

    def _run(self, width: int, height: int, fps: Fraction) -> None:
        try:
            self.sink.open(width, height, fps)
            while self._step():
                pass
            self._write_audio()
        except Exception as error:  # noqa: BLE001 - whatever ends one sink, the others continue
            self._fail(error)
        else:
            self._close()

    def _step(self) -> bool:
        """Write the next frame, or let the sink handle its events; return False once no more frames come."""
        frame = self._frames.get(POLL_SECONDS)
        if frame is None and self._frames.is_closed:
            return False
        self._busy_since = time.monotonic()
        try:
            if frame is None:
                self.sink.poll()
            else:
                self.sink.write(frame)
                self._has_written = True
                if self.delivers:
                    self.deliveries.add(frame.captured_at, time.monotonic())
            if self._has_written:  # the first frame may be older than audio that has arrived before it
                self._write_audio()
        finally:
            self._busy_since = None
        return True

    def _write_audio(self) -> None:
        while self._audio:
            self.sink.write_audio(self._audio.popleft())

    def _fail(self, error: Exception) -> None:
        self.failure = error
        logger.debug("sink %s", self.sink.name, exc_info=error)
        self._close()
        message = str(error) if isinstance(error, PipelineError) else f"{self.sink.name}: {first_line(error)}"
        self._on_failure(self, message)

    def _close(self) -> None:
        self._is_closed = True
        self._frames.close()
        try:
            self.sink.close()
        except Exception as error:
            logger.debug("closing sink %s", self.sink.name, exc_info=True)
            if self.failure is None:
                self.failure = error
                self._on_failure(self, f"{self.sink.name}: cannot be finished ({first_line(error)})")
