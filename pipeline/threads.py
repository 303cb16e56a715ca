"""Iterators that work ahead in threads, with bounded queues. Independent of video."""

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")
R = TypeVar("R")
U = TypeVar("U")


class SideWork:
    """Work that the consumer of a `Prefetch` does while it waits for an item; none in this base class.

    Attributes:
        changed: to be notified when `is_due` may have become true.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()

    def is_due(self) -> bool:
        """Return whether there is work to do; called while ``changed`` is held."""
        return False

    def run(self) -> None:
        """Do the work that is due; called while ``changed`` is not held."""


class Prefetch(Iterator[T], Generic[T]):
    """Yield what ``source`` yields while a thread works up to ``depth`` items ahead.

    Items, their order and exceptions are those of iterating ``source`` directly. At most ``depth`` finished items wait
    at any time. However the iteration ends (exhausted, failed, closed early), ``source`` is closed and the thread has
    ended when ``close`` returns, unless ``source`` itself blocks forever.

    Close it with ``close()`` or use it as a context manager. One consumer thread only.

    Args:
        source: any iterable; iterated, and closed, in the new thread only.
        depth: number of finished items that may wait, at least 1.
        name: name of the thread, for debuggers and error reports.
        stop: called by ``close`` before it waits for the thread; must end whatever ``source`` may be waiting for.
        meanwhile: what the consumer does while it waits for an item; None for nothing.

    Attributes:
        starved_seconds: time the consumer has waited for an item.
        blocked_seconds: time the thread has waited for a free place.
        changed: notified when an item or a place becomes free, and by others who end `wait_unless`.
    """

    def __init__(
        self,
        source: Iterable[T],
        *,
        depth: int,
        name: str,
        stop: Callable[[], None] = lambda: None,
        meanwhile: SideWork | None = None,
    ) -> None:
        if depth < 1:
            raise ValueError(f"depth must be at least 1, not {depth}")
        self.starved_seconds = 0.0
        self.blocked_seconds = 0.0
        self._source = source
        self._stop = stop
        self._depth = depth
        self._meanwhile = meanwhile or SideWork()
        self._items: deque[T] = deque()
        self.changed = self._meanwhile.changed
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
        with self.changed:
            self._error = error
            self._finished = True
            self.changed.notify_all()

    def _put(self, item: T) -> bool:
        """Wait for a free place; return False if the consumer has closed the queue."""
        with self.changed:
            if len(self._items) >= self._depth and not self._closed:
                start = time.perf_counter()
                self.changed.wait_for(lambda: self._closed or len(self._items) < self._depth)
                self.blocked_seconds += time.perf_counter() - start
            if self._closed:
                return False
            self._items.append(item)
            self.changed.notify_all()
            return True

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        while not self.wait_unless(self._meanwhile.is_due):
            self._meanwhile.run()
        with self.changed:
            if self._items:
                item = self._items.popleft()
                self.changed.notify_all()
                return item
            error, self._error = self._error, None
        self._thread.join()
        if error is not None:
            raise error
        raise StopIteration

    def wait_unless(self, is_due: Callable[[], bool]) -> bool:
        """Wait until ``next`` would not block, or for ``is_due``; return whether ``next`` would not block.

        Whoever makes ``is_due`` true has to notify ``changed``.
        """

        def is_ready() -> bool:
            return bool(self._items) or self._finished

        with self.changed:
            if not is_ready():
                start = time.perf_counter()
                self.changed.wait_for(lambda: is_ready() or is_due())
                self.starved_seconds += time.perf_counter() - start
            return is_ready()

    def wake(self, _: object = None) -> None:
        """Let `wait_unless` look again; can be called back by a `Future`."""
        with self.changed:
            self.changed.notify_all()

    def close(self) -> None:
        """Stop the thread, wait for it, and drop what was not taken. May be called more than once."""
        with self.changed:
            self._closed = True
            self._items.clear()
            self.changed.notify_all()
        self._stop()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def prefetch(
    source: Iterable[T],
    *,
    depth: int = 4,
    name: str = "prefetch",
    stop: Callable[[], None] = lambda: None,
    meanwhile: SideWork | None = None,
) -> Prefetch[T]:
    """Start a thread that runs ``source`` up to ``depth`` items ahead; see `Prefetch`."""
    return Prefetch(source, depth=depth, name=name, stop=stop, meanwhile=meanwhile)


def ordered_map(
    function: Callable[[U], R],
    source: Iterable[T],
    *,
    prepare: Callable[[T], U | None],
    workers: int,
    ahead: int = 1,
    initializer: Callable[[], object] | None = None,
    name: str = "map",
) -> Generator[R, None, None]:
    """Yield ``function(prepare(item))`` for the items of ``source``, in their order, computed by ``workers`` threads.

    At most ``workers + ahead`` items are in progress at any time. If ``source`` is a `Prefetch`, a finished result does
    not wait for the next item. The first failure, in the order of the items, is raised here; however the iteration
    ends, the threads have ended too.

    Args:
        function: called in the worker threads, for several items at once.
        source: iterated in the calling thread.
        prepare: called in the calling thread, in the order of the items; an item is left out if it returns None.
        workers: number of worker threads, at least 1.
        ahead: number of items that may wait for a worker.
        initializer: called first in each worker thread.
        name: name of the threads.
    """
    executor = ThreadPoolExecutor(workers, thread_name_prefix=f"flowbrush-{name}", initializer=initializer)
    pending: deque[Future[R]] = deque()
    items = iter(source)
    queue = items if isinstance(items, Prefetch) else None
    try:
        while True:
            while len(pending) >= workers + ahead or (pending and queue and not queue.wait_unless(pending[0].done)):
                yield pending.popleft().result()
            try:
                ready = prepare(next(items))
            except StopIteration:
                break
            if ready is not None:
                pending.append(executor.submit(function, ready))
                if queue:
                    pending[-1].add_done_callback(queue.wake)
        while pending:
            yield pending.popleft().result()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
