"""What the user is told while a session runs."""

import threading
from collections.abc import Callable


class Notices:
    """Called with a line, from any thread: says it, one at a time, and keeps it.

    Args:
        say: tells the user.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._lines: list[str] = []
        self._lock = threading.Lock()

    def __call__(self, line: str) -> None:
        """Say ``line``."""
        with self._lock:
            self._lines.append(line)
            self._say(line)

    @property
    def lines(self) -> tuple[str, ...]:
        """All that was said."""
        with self._lock:
            return tuple(self._lines)
