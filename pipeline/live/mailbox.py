"""Hand the newest item from one thread to another; an item that is not taken in time is replaced."""

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Holds at most one item: nothing queues, however slow the reader is, and what it gets is never old.

    Attributes:
        replaced: number of items that were replaced before anyone took them.
    """

    def __init__(self) -> None:
        self.replaced = 0
        self._item: T | None = None
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: T) -> None:
        """Put ``item`` in, without waiting; a closed mailbox ignores it."""
        with self._changed:
            if self._closed:
                return
            self.replaced += self._item is not None
            self._item = item
            self._changed.notify()

    def get(self, timeout_seconds: float | None = None) -> T | None:
        """Take the item, or wait for one; return None after ``timeout_seconds``, or from a closed, empty mailbox."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._closed, timeout_seconds)
            item, self._item = self._item, None
            return item

    def close(self) -> None:
        """Accept no more items and wake the readers; the last item can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to take now."""
        return self._item is None

    @property
    def is_closed(self) -> bool:
        """Whether no more items come; one last item may be left."""
        return self._closed
