"""A faster engine that takes over at the end of a segment, once another process has compiled it."""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.errors import DeviceError, PipelineError
from pipeline.stylize.engine.compiler import Compiler, is_to_be_compiled

if TYPE_CHECKING:
    from models.engines.engine import EngineName, EngineSpec

    Choice = tuple[EngineName, EngineSpec]


def split(choices: "Sequence[Choice]") -> "tuple[Choice | None, list[Choice]]":
    """Return the engine that should take over later, and the others; None if the best one need not be compiled.

    Args:
        choices: engines, the one first that should stylize the clip.
    """
    best, *others = choices
    ready = [each for each in others if not is_to_be_compiled(*each) and can_succeed(best[1], each[1])]
    return (best, [*ready, best]) if ready and is_to_be_compiled(*best) else (None, list(choices))


def can_succeed(spec: "EngineSpec", before: "EngineSpec") -> bool:
    """Return whether the engine built from ``spec`` may take over from that of ``before``.

    Both stylize as many whole frames at once, so that a frame gets what as many frames before it have left. On a GPU
    none does: there the process that stylizes would have to compile, while it stylizes.
    """
    is_whole = spec.tiling is None and before.tiling is None
    return spec.device.type == "cpu" and spec.workers == before.workers and is_whole


class Successor:
    """Compiles the engine that takes over, in a thread and another process, from the moment it is made.

    Args:
        name: of the engine.
        spec: what it is built from.
        compiler: compiles it.

    Attributes:
        name: of the engine.
    """

    def __init__(self, name: "EngineName", spec: "EngineSpec", compiler: Compiler | None = None) -> None:
        self.name, self._spec = name, spec
        # At ordinary priority: while all cores stylize, a process of the lowest gets no time.
        self._compiler = compiler or Compiler(is_urgent=True)
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._compile, name="flowbrush-compile", daemon=True)
        self._thread.start()

    @property
    def is_ready(self) -> bool:
        """Whether it can take over.

        Raises:
            DeviceError: it cannot be compiled.
        """
        if self._thread.is_alive():
            return False
        if self._error is not None:
            raise DeviceError(str(self._error)) from self._error
        return True

    def close(self) -> None:
        """End the other process."""
        self._compiler.close()
        self._thread.join()

    def _compile(self) -> None:
        try:
            if is_to_be_compiled(self.name, self._spec):
                self._compiler.compile(self.name, self._spec)
        except (PipelineError, OSError, RuntimeError) as error:
            self._error = error
