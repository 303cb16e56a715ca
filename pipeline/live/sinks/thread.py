"""What stands between the painter and one sink: a mailbox, a thread, and the news when something is wrong there."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from fractions import Fraction

from av.audio.frame import AudioFrame

from pipeline.errors import PipelineError, first_line
from pipeline.live.frames import LiveFrame
from pipeline.live.mailbox import Mailbox
from pipeline.live.sinks.sink import AudioSink, Sink
from pipeline.live.statistics import Deliveries, SinkSummary

logger = logging.getLogger(__name__)

IDLE_SECONDS = 0.1
# A sink that has held a picture for so long is said to block.
BLOCKED_SECONDS = 2.0
# What was killed, and sound at a sink's end, take no longer.
LET_GO_SECONDS = 2.0
# Pieces of sound that wait for a sink: about two seconds; the oldest go first.
SOUND_PIECES = 100


class SinkThread:
    """Drives one sink. What goes wrong there is said in one line, and concerns no other.

    Args:
        sink: where pictures go.
        notify: called with what the user should know, from any thread.
        lose: called with the line that says why the sink has failed, once, from its thread; None for `notify`.

    Attributes:
        sink: where pictures go.
        deliveries: what it has taken.
        failure: why it was taken out; None while it works.
    """

    def __init__(
        self, sink: Sink, notify: Callable[[str], None], lose: Callable[["SinkThread", str], None] | None = None
    ) -> None:
        self.sink = sink
        self.deliveries = Deliveries()
        self.failure: PipelineError | Exception | None = None
        self._notify = notify
        self._lose = lose or (lambda _, line: notify(line))
        self._mailbox: Mailbox[LiveFrame] = Mailbox()
        self._thread: threading.Thread | None = None
        self._busy_since: float | None = None
        self._is_told = False
        self._ended = False
        self._sounds: queue.Queue[AudioFrame | None] = queue.Queue(SOUND_PIECES)
        self._sound_thread: threading.Thread | None = None

    @property
    def works(self) -> bool:
        """Whether pictures are still taken."""
        return not self._ended

    @property
    def is_wanted(self) -> bool:
        """Whether its pictures are for someone; a recording that nobody began is not."""
        return not self.sink.is_idle

    @property
    def takes(self) -> bool:
        """Whether pictures arrive, rather than being let go."""
        return self.works and self.is_wanted and self.sink.is_connected

    def start(self, width: int, height: int, fps: Fraction) -> None:
        """Open the sink and go on in a thread of its own."""
        self._thread = threading.Thread(
            target=self._run, args=(width, height, fps), name=f"sink {self.sink.name}", daemon=True
        )
        self._thread.start()

    def put(self, frame: LiveFrame) -> None:
        """Offer a picture, and notice when the sink has been holding on to one for too long; never blocks."""
        if self._ended:
            return
        self._mailbox.put(frame)
        since = self._busy_since
        if since is None:
            self._is_told = False
        elif not self._is_told and self.takes and time.monotonic() - since > BLOCKED_SECONDS:
            self._is_told = True
            self._notify(f"{self.sink.name}: blocks; pictures are dropped there until it takes them again")

    def put_audio(self, frame: AudioFrame) -> None:
        """Offer a piece of sound, where the sink takes any; never blocks."""
        if self._sound_thread is None or self._ended:
            return
        while True:
            try:
                self._sounds.put_nowait(frame)
                return
            except queue.Full:
                _drop_one(self._sounds)

    def _step(self) -> bool:
        """Give the sink what has come, or its time to be idle; False when it has ended."""
        frame = self._mailbox.get(IDLE_SECONDS)
        if frame is None and self._mailbox.is_closed:
            self._close()
            return False
        self._busy_since = time.monotonic()
        try:
            if frame is None:
                self.sink.idle()
            else:
                self.sink.write(frame)
                if self.takes:
                    self.deliveries.add(frame.captured_at, time.monotonic())
        except Exception as error:  # noqa: BLE001 - whatever a sink dies of, the others go on
            self._fail(error)
            return False
        finally:
            self._busy_since = None
        return True

    def finish(self) -> None:
        """No more pictures come; what is waiting is still delivered."""
        self._mailbox.close()

    def join(self) -> None:
        """Wait until the sink has finished; one that hangs is killed, or where it cannot be, left alone and named."""
        if self._thread is None:
            self._close()
            return
        try:
            self._thread.join(self.sink.finish_seconds)
        except KeyboardInterrupt:  # after which Python 3.12 takes the thread for one that has ended
            self.sink.kill()
            raise
        if self._thread.is_alive():
            self.sink.kill()
            self._thread.join(LET_GO_SECONDS)
        if self._thread.is_alive():
            self._notify(f"{self.sink.name}: does not come to its end, and is left as it is")

    def summary(self) -> SinkSummary:
        """What came to the sink."""
        failure = None if self.failure is None else str(self.failure)
        return self.deliveries.summary(self.sink.name, self._mailbox.replaced, failure)

    def _run(self, width: int, height: int, fps: Fraction) -> None:
        if self._open(width, height, fps):
            while self._step():
                pass

    def _open(self, width: int, height: int, fps: Fraction) -> bool:
        try:
            self.sink.open(width, height, fps)
        except Exception as error:  # noqa: BLE001 - see `_step`
            self._fail(error)
            return False
        if isinstance(self.sink, AudioSink):
            self._sound_thread = threading.Thread(target=self._hear, name=f"sound for {self.sink.name}", daemon=True)
            self._sound_thread.start()
        return True

    def _hear(self) -> None:
        assert isinstance(self.sink, AudioSink)
        while (frame := self._sounds.get()) is not None:
            try:
                self.sink.audio(frame)
            except Exception as error:
                logger.debug("sound for %s", self.sink.name, exc_info=True)
                self._notify(f"{self.sink.name}: goes on without sound ({first_line(error)})")
                self._sound_thread = None
                return

    def _fail(self, error: Exception) -> None:
        """Take the sink out, saying so once."""
        self.failure = error
        logger.debug("sink %s", self.sink.name, exc_info=error)
        line = str(error) if isinstance(error, PipelineError) else f"{self.sink.name}: {first_line(error)}"
        self._close()
        self._lose(self, line)

    def _close(self) -> None:
        self._ended = True
        self._mailbox.close()
        hearing = self._sound_thread  # it takes itself out when sound fails
        if hearing is not None:
            while self._sounds.full():
                _drop_one(self._sounds)
            self._sounds.put(None)
            hearing.join(LET_GO_SECONDS)
        try:
            self.sink.close()
        except Exception as error:
            logger.debug("closing %s", self.sink.name, exc_info=True)
            if self.failure is None:
                self.failure = error
                self._lose(self, f"{self.sink.name}: could not be finished ({first_line(error)})")


def _drop_one(audios: "queue.Queue[AudioFrame | None]") -> None:
    try:
        audios.get_nowait()
    except queue.Empty:
        return
