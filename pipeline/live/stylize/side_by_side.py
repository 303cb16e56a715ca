"""Run several items at once in threads, and finish them in the order in which they began."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class SideBySide(Generic[T]):
    """Runs items in threads; all methods are called in one other thread.

    An item is finished as soon as it has run and all items before it are finished, whether or not new ones come: unlike
    in `pipeline.threads.ordered_map`, no finished item waits for the next one.

    Args:
        run: called for several items at once.
        finish: called for one item at a time, in the order of `start`; not after one has failed.
        workers: number of threads.
        initializer: called first in each thread.
    """

    def __init__(
        self,
        run: Callable[[T], object],
        finish: Callable[[T], object],
        *,
        workers: int,
        initializer: Callable[[], object],
    ) -> None:
        self._run, self._finish = run, finish
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="stylize", initializer=initializer)
        self._started = self._finished = 0
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    def start(self, item: T) -> None:
        """Run ``item`` in the next free thread, and finish it in its turn."""
        place, self._started = self._started, self._started + 1
        self._executor.submit(self._work, item, place)

    def wait(self, busy: int) -> None:
        """Wait until at most ``busy`` items are in progress.

        Raises:
            BaseException: the first item that failed did so with this error.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._started - self._finished <= busy)
            error, self._error = self._error, None
        if error is not None:
            raise error

    def close(self) -> None:
        """Wait for all items, and end the threads."""
        self._executor.shutdown(wait=True)

    def _work(self, item: T, place: int) -> None:
        error: BaseException | None = None
        try:
            self._run(item)
        except BaseException as caught:  # noqa: BLE001 - raised again by `wait`
            error = caught
        with self._changed:
            self._changed.wait_for(lambda: self._finished == place)
        if error is None and self._error is None:
            try:
                self._finish(item)
            except BaseException as caught:  # noqa: BLE001 - raised again by `wait`
                error = caught
        with self._changed:
            self._error = self._error or error
            self._finished += 1
            self._changed.notify_all()
