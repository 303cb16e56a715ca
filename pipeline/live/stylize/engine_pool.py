"""The engines of a live session: eager in every mode at once, a fast one as soon as it is prepared."""

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pipeline.errors import first_line
from pipeline.live.stylize.engine_builder import EngineBuilder
from pipeline.live.stylize.modes import Mode, Size

if TYPE_CHECKING:
    from models.engines.engine import Engine, EngineName


class EnginePool:
    """Builds the engine of each mode when it is needed, and stores it.

    Eager is built at once. A fast engine is prepared in a background thread, one of each kind at a time. One that is
    the same code for all modes is then ready in each.

    Args:
        builder: builds the engines.
        fast: names of the engines that are faster than eager, the fastest first.
        notify: called with each message for the user, one line; from any thread.
        is_given: whether the user wants the only engine in ``fast``: where it is ready, no other one runs.
    """

    def __init__(
        self,
        builder: EngineBuilder,
        fast: "Sequence[EngineName]",
        notify: Callable[[str], None],
        *,
        is_given: bool = False,
    ) -> None:
        self._builder, self._notify, self.is_given = builder, notify, is_given
        self._names = list(fast)
        self._eager: dict[Size, Engine] = {}
        self._fast: dict[Mode, Engine] = {}
        self._given_up: set[Size] = set()
        self._in_all_modes: set[EngineName] = set()
        self._seconds: dict[Mode, float] = {}
        self._lock = threading.Lock()
        self._preparing: dict[EngineName, threading.Thread] = {}
        self._closed = False

    @property
    def fast(self) -> "tuple[EngineName, ...]":
        """The engines that can still be prepared, the fastest first."""
        return tuple(self._names)

    def get(self, mode: Mode) -> "Engine":
        """Return the engine of a mode that is ready.

        Raises:
            OutOfMemoryError: the memory is too small even for eager.
            DeviceError: eager cannot be built.
        """
        if mode.engine != "eager":
            if mode not in self._fast:
                self._fast[mode] = self._builder.build(mode)
            return self._fast[mode]
        if mode.size not in self._eager:
            self._eager[mode.size] = self._builder.build(mode)
        return self._eager[mode.size]

    def ready(self, size: Size, workers: int = 1) -> "list[EngineName]":
        """Return the engines that can run at once, for ``workers`` frames of ``size`` side by side."""
        in_all = () if size in self._given_up else tuple(self._in_all_modes)
        one = [mode.engine for mode in tuple(self._fast) if (mode.size, mode.workers) == (size, workers)]
        fast = [*in_all, *(name for name in one if name not in in_all)]
        return fast if fast and self.is_given else [*fast, "eager"]

    def prepare_seconds(self, mode: Mode) -> float:
        """Return an estimate of the seconds that preparing the engine of ``mode`` takes; 0 if it is in the cache."""
        if mode not in self._seconds:
            self._seconds[mode] = self._builder.prepare_seconds(mode)
        return self._seconds[mode]

    def prepare(self, mode: Mode) -> None:
        """Prepare the engine of ``mode`` in the background, unless it is ready, given up, or one of its kind is."""
        name = mode.engine
        with self._lock:
            thread = self._preparing.get(name)
            is_busy = thread is not None and thread.is_alive()
            is_ready = mode in self._fast or name in self._in_all_modes
            if self._closed or is_busy or name not in self._names or is_ready or mode.size in self._given_up:
                return
            self._preparing[name] = threading.Thread(target=self._prepare, args=(mode,), name="prepare", daemon=True)
            self._preparing[name].start()

    def give_up(self, size: Size) -> None:
        """Release the engines for ``size``, also one that is being prepared, and prepare none again."""
        with self._lock:
            self._given_up.add(size)
            self._eager.pop(size, None)
            for mode in [mode for mode in self._fast if mode.size == size]:
                del self._fast[mode]

    def close(self, timeout_seconds: float = 10.0) -> None:
        """Stop preparing."""
        with self._lock:
            self._closed = True
        self._builder.close()
        for thread in self._preparing.values():
            thread.join(timeout_seconds)

    def _prepare(self, mode: Mode) -> None:
        """Prepare an engine; one that fails is reported once and never tried again."""
        try:
            engine = self._builder.prepare(mode)
            is_for_all = self._builder.is_for_all_modes(mode)
        except Exception as error:  # noqa: BLE001 - compilers raise anything; eager still works
            with self._lock:
                self._names.remove(mode.engine)
            if not self._closed:
                following = self._names[0] if self._names else "eager"
                self._notify(f"the engine {mode.engine} is not available ({first_line(error)}); using {following}")
            return
        with self._lock:
            self._seconds.clear()  # what is compiled may serve other modes
            if mode.size not in self._given_up:
                self._fast[mode] = engine
                self._in_all_modes |= {mode.engine} if is_for_all else set()
