"""Iterators that work ahead in threads, a bounded number of items. Knows nothing of video."""

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Prefetch(Iterator[T], Generic[T]):
    """Yield what ``source`` yields while a thread works up to ``depth`` items ahead.

    Items, their order and the exceptions are those of iterating ``source`` directly. At most ``depth`` finished
    items wait at any time. However the iteration ends (exhausted, failed, closed early), ``source`` has been closed
    and the thread has ended when ``close`` returns, unless ``source`` itself blocks for ever.

    Leave it by ``close()`` or use it as a context manager. One consumer thread only.

    Args:
        source: any iterable; iterated, and closed, in the new thread alone.
        depth: how many finished items may wait, at least 1.
        name: of the thread, for debuggers and for error reports.
        stop: called by ``close`` before it waits for the thread; ends what ``source`` may be waiting for.

    Attributes:
        starved_seconds: time that the consumer spent waiting for an item.
        blocked_seconds: time that the thread spent waiting for a free place.
    """

    def __init__(self, source: Iterable[T], *, depth: int, name: str, stop: Callable[[], None] = lambda: None) -> None:
        if depth < 1:
            raise ValueError(f"depth must be at least 1, not {depth}")
        self.starved_seconds = 0.0
        self.blocked_seconds = 0.0
        self._source = source
        self._stop = stop
        self._depth = depth
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._finished = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name=f"flowbrush-{name}", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        error: BaseException | None = None
        iterator: Iterator[T] | None = None
        try:
            iterator = iter(self._source)
            for item in iterator:
                if not self._put(item):
                    break
        except BaseException as caught:  # noqa: BLE001 - raised again in the consumer
            error = caught
        try:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()
        except BaseException as caught:  # noqa: BLE001 - raised again in the consumer
            error = error or caught
        with self._changed:
            self._error = error
            self._finished = True
            self._changed.notify_all()

    def _put(self, item: T) -> bool:
        """Wait for a free place; False where the consumer has gone."""
        with self._changed:
            if len(self._items) >= self._depth and not self._closed:
                start = time.perf_counter()
                self._changed.wait_for(lambda: self._closed or len(self._items) < self._depth)
                self.blocked_seconds += time.perf_counter() - start
            if self._closed:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        with self._changed:
            if not self._items and not self._finished:
                start = time.perf_counter()
                self._changed.wait_for(lambda: bool(self._items) or self._finished)
                self.starved_seconds += time.perf_counter() - start
            if self._items:
                item = self._items.popleft()
                self._changed.notify_all()
                return item
            error, self._error = self._error, None
        self._thread.join()
        if error is not None:
            raise error
        raise StopIteration

    def close(self) -> None:
        """Stop the thread, wait for it, and drop what was not taken. May be called more than once."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()
        self._stop()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def ordered_map(
    function: Callable[[T], R],
    source: Iterable[T],
    *,
    workers: int,
    ahead: int = 1,
    initializer: Callable[[], object] | None = None,
    name: str = "map",
) -> Generator[R, None, None]:
    """Yield ``function(item)`` for the items of ``source``, in their order, computed by ``workers`` threads.

    At most ``workers + ahead`` items are on the way at any time. The first failure, in the order of the items, is
    raised here; however the iteration ends, the threads have ended too.

    Args:
        function: called in the threads, for several items at once.
        source: iterated in the calling thread.
        workers: how many threads, at least 1.
        ahead: how many items may wait for a thread.
        initializer: called first in each thread.
        name: of the threads.
    """
    executor = ThreadPoolExecutor(workers, thread_name_prefix=f"flowbrush-{name}", initializer=initializer)
    pending: deque[Future[R]] = deque()
    try:
        for item in source:
            pending.append(executor.submit(function, item))
            if len(pending) >= workers + ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def prefetch(
    source: Iterable[T], *, depth: int = 4, name: str = "prefetch", stop: Callable[[], None] = lambda: None
) -> Prefetch[T]:
    """Start a thread that runs ``source`` up to ``depth`` items ahead; see `Prefetch`."""
    return Prefetch(source, depth=depth, name=name, stop=stop)
