"""Hand the newest thing from one thread to another; what was not fetched in time is gone."""

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Holds one thing at most: a new one takes the place of one that nobody has fetched.

    So nothing queues, whoever is slow, and what is fetched is never older than the time between two `put`.

    Attributes:
        put_count: how many things were put in.
        replaced: how many of them nobody fetched before the next came.
    """

    def __init__(self) -> None:
        self.put_count = 0
        self.replaced = 0
        self._item: T | None = None
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: T) -> None:
        """Leave ``item``, never waiting; in a closed mailbox it is lost, and not counted."""
        with self._changed:
            if self._closed:
                return
            self.put_count += 1
            self.replaced += self._item is not None
            self._item = item
            self._changed.notify()

    def get(self, timeout_seconds: float | None = None) -> T | None:
        """Fetch what is there, or wait for it; None after ``timeout_seconds``, and once the mailbox is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._closed, timeout_seconds)
            item, self._item = self._item, None
            return item

    def close(self) -> None:
        """Let whoever waits go; what is in there can still be fetched."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def is_closed(self) -> bool:
        """Whether nothing more will come; one last thing may still be there."""
        return self._closed
