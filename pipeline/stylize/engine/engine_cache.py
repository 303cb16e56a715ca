"""Engines that stay loaded from clip to clip, one for each network, frame size and bit depth, whatever the style.

Clips overlap, but one is stylized at a time, and none while an engine is built: torch.compile traces the network with
switches that apply to the whole process.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import fields
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pipeline.config import StylizeConfig
from pipeline.stylize.engine.compiler import build_engine, compile_elsewhere
from pipeline.stylize.make import make_stylizer
from pipeline.stylize.stylizer import StylizeStage

if TYPE_CHECKING:
    from models.engines.engine import Engine, EngineName, EngineSpec

Key = tuple[object, ...]
CountFrames = Callable[[int, int, bool], int | None]

# Each engine takes a few megabytes, for weights and code; its buffers are allocated when it runs.
MAX_ENGINES = 16


class FairLock:
    """A lock that is given in the order of the requests; `close` ends all waiting, which `threading.Lock` cannot."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()
        self._is_closed = False

    def __enter__(self) -> None:
        """Wait for the lock.

        Raises:
            KeyboardInterrupt: the lock is closed.
        """
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            self._changed.wait_for(lambda: self._is_closed or self._queue[0] is ticket)
            if self._is_closed:
                self._queue.remove(ticket)
                raise KeyboardInterrupt

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._changed:
            self._queue.popleft()
            self._changed.notify_all()

    def close(self) -> None:
        """Refuse all requests, present and future ones; the holder keeps the lock."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()


class EngineCache:
    """The engines that the stylizers of a batch share.

    Args:
        count_frames: returns how many frames of a size, given as height and width in pixels and whether they have 16
            bits, all clips together have, which decides whether compiling is worth the time; None if unknown.
    """

    def __init__(self, count_frames: CountFrames = lambda height, width, is_16_bit: None) -> None:
        self._count_frames = count_frames
        self._loading, self._stylizing = FairLock(), FairLock()
        self._engines: OrderedDict[Key, Engine] = OrderedDict()

    def stylizer(self, config: StylizeConfig, **settings: Any) -> StylizeStage:
        """Make a stylizer that shares engines, and waits until no other one stylizes; called as `Stylizer`.

        How many frames the clip itself has does not matter.

        Raises:
            KeyboardInterrupt: the cache is closed.
        """
        with self._loading, ExitStack() as pause:
            size = settings["height"], settings["width"], settings.get("is_16_bit", False)
            settings["frame_count"] = self._count_frames(*size)
            settings["may_change"] = False  # the next clip would compile the same
            build = _Builder(self._engines, pause, self._stylizing)
            stylizer = make_stylizer(config, build=build, turn=self._stylizing, **settings)
            self._engines.update(build.finish())
            while len(self._engines) > MAX_ENGINES:
                self._engines.popitem(last=False)
        return stylizer

    def close(self) -> None:
        """End all waiting with KeyboardInterrupt."""
        self._loading.close()
        self._stylizing.close()


class _Builder:
    """Builds the engine of one clip, or finds it in the cache; called as `models.engines.build.build_engine`.

    Args:
        engines: the cache; an engine that was used moves to its end.
        pause: holds ``stylizing`` from the first engine that is built until the stylizer is complete.
        stylizing: the lock of the clip that is stylized.
    """

    def __init__(self, engines: "OrderedDict[Key, Engine]", pause: ExitStack, stylizing: FairLock) -> None:
        self._engines = engines
        self._pause: ExitStack | None = pause
        self._stylizing = stylizing
        self._is_paused = False
        self._built: dict[Key, Engine] = {}

    def __call__(self, name: "EngineName", spec: "EngineSpec") -> "Engine":
        key = _key(name, spec)
        self._built.clear()  # an engine that was built before did not work
        if key in self._engines:
            self._engines.move_to_end(key)
            return self._engines[key]
        compile_elsewhere(name, spec)
        if self._pause is not None and not self._is_paused:
            self._pause.enter_context(self._stylizing)
            self._is_paused = True
        engine = self._built[key] = build_engine(name, spec)
        return engine

    def finish(self) -> "dict[Key, Engine]":
        """Return the engine if it was built; what the clip builds later, when memory runs out, is its own."""
        self._pause = None
        return self._built


def _key(name: "EngineName", spec: "EngineSpec") -> Key:
    import torch

    return name, *(getattr(spec, field.name) for field in fields(spec)), torch.get_num_threads()
