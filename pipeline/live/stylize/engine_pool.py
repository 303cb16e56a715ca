"""The engines of a live session: eager for every size at once, a fast one as soon as it is prepared."""

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pipeline.errors import first_line
from pipeline.live.stylize.engine_builder import EngineBuilder, Size

if TYPE_CHECKING:
    from models.engines.engine import Engine, EngineName


class EnginePool:
    """Builds an engine for each size when it is needed, and stores it.

    Eager is built at once. A fast engine is prepared in a background thread, and replaces eager when it is ready.

    Args:
        builder: builds the engines.
        fast: names of the engines that are faster than eager, in the order in which to try them.
        notify: called with each message for the user, one line; from any thread.
    """

    def __init__(self, builder: EngineBuilder, fast: "Sequence[EngineName]", notify: Callable[[str], None]) -> None:
        self._builder = builder
        self._names = list(fast)
        self._notify = notify
        self._eager: dict[Size, Engine] = {}
        self._fast: dict[Size, tuple[EngineName, Engine]] = {}
        self._given_up: set[Size] = set()
        self._lock = threading.Lock()
        self._worker: threading.Thread | None = None
        self._closed = False

    def get(self, size: Size) -> "tuple[EngineName, Engine]":
        """Return name and engine that is the fastest ready one for frames of ``size``.

        Raises:
            OutOfMemoryError: the memory is too small even for eager.
            DeviceError: eager cannot be built.
        """
        ready = self._fast.get(size)
        if ready is not None:
            return ready
        if size not in self._eager:
            self._eager[size] = self._builder.build("eager", size)
        return "eager", self._eager[size]

    @property
    def ready(self) -> frozenset[Size]:
        """The sizes with a fast engine that is ready."""
        return frozenset(self._fast)

    def can_be_faster(self, size: Size) -> bool:
        """Return whether a fast engine for ``size`` may still be prepared."""
        return bool(self._names) and size not in self._fast and size not in self._given_up

    def prepare(self, size: Size) -> None:
        """Prepare a fast engine in the background, unless one is ready, given up, or being prepared for any size."""
        with self._lock:
            if self._closed or not self.can_be_faster(size) or (self._worker and self._worker.is_alive()):
                return
            self._worker = threading.Thread(target=self._prepare, args=(size,), name="prepare", daemon=True)
            self._worker.start()

    def give_up(self, size: Size) -> None:
        """Release the engines for ``size``, also one that is being prepared, and prepare none again."""
        with self._lock:
            self._given_up.add(size)
            self._eager.pop(size, None)
            self._fast.pop(size, None)

    def close(self, timeout_seconds: float = 10.0) -> None:
        """Stop preparing."""
        with self._lock:
            self._closed = True
        self._builder.close()
        if self._worker is not None:
            self._worker.join(timeout_seconds)

    def _prepare(self, size: Size) -> None:
        """Try one engine after another; one that fails is reported once and never tried again."""
        while self._names and not self._closed:
            name = self._names[0]
            try:
                engine = self._builder.prepare(name, size)
            except Exception as error:  # noqa: BLE001 - compilers raise anything; eager still works
                self._names.pop(0)
                if not self._closed:
                    following = self._names[0] if self._names else "eager"
                    self._notify(f"the engine {name} is not available ({first_line(error)}); using {following}")
            else:
                with self._lock:
                    if size not in self._given_up:
                        self._fast[size] = name, engine
                return
        self._given_up.add(size)
