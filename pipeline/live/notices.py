"""Messages to the user while a session runs."""

import threading
from collections.abc import Callable


class Notices:
    """Passes each message on, one at a time, and stores it; called from any thread.

    Args:
        notify: called with each message.
    """

    def __init__(self, notify: Callable[[str], None]) -> None:
        self._notify = notify
        self._lines: list[str] = []
        self._lock = threading.Lock()

    def __call__(self, line: str) -> None:
        """Pass ``line`` on."""
        with self._lock:
            self._lines.append(line)
            self._notify(line)

    @property
    def lines(self) -> tuple[str, ...]:
        """All messages so far."""
        with self._lock:
            return tuple(self._lines)
