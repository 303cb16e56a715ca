"""Notices: what the user should know about a run, one line each."""

import threading
from collections.abc import Callable, Iterable

Notify = Callable[[str], None]


class Notices:
    """Passes each notice on, one at a time, and collects them; may be called from any thread."""

    def __init__(self, notify: Notify) -> None:
        self._notify = notify
        self._lines: list[str] = []
        self._lock = threading.Lock()

    def __call__(self, line: str) -> None:
        """Pass on and collect ``line``."""
        with self._lock:
            self._lines.append(line)
            self._notify(line)

    def extend(self, lines: Iterable[str]) -> None:
        """Pass on and collect each of ``lines``."""
        for line in lines:
            self(line)

    @property
    def lines(self) -> tuple[str, ...]:
        """All notices so far."""
        with self._lock:
            return tuple(self._lines)
