"""Who may paint: one clip at a time, in the order in which they became ready."""

import threading
from collections import deque
from types import TracebackType

# How long an end may go unnoticed by one who waits.
LOOK_SECONDS = 0.1


class FairLock:
    """A lock that is given in the order of asking, and for which nobody waits once all is to end.

    Args:
        stopped: set from outside when all is to end.
    """

    def __init__(self, stopped: threading.Event) -> None:
        self._stopped = stopped
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()

    def take(self) -> None:
        """Wait for it.

        Raises:
            KeyboardInterrupt: all is to end.
        """
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            while self._queue[0] is not ticket:
                self._changed.wait(LOOK_SECONDS)
                if self._stopped.is_set():
                    self._queue.remove(ticket)
                    self._changed.notify_all()
                    raise KeyboardInterrupt

    def release(self) -> None:
        """Let the next one have it."""
        with self._changed:
            self._queue.popleft()
            self._changed.notify_all()

    def __enter__(self) -> None:
        self.take()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()
