"""Engines that stay loaded from clip to clip: one for each network, size and depth of frames, whatever the style.

Clips overlap, but one paints at a time, and none while an engine is made: torch.compile traces the network
with switches that are the whole process's.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from pipeline.config import StylizeConfig
from pipeline.frames import Frame, State
from pipeline.stylize.fair_lock import FairLock
from pipeline.stylize.stylizer import Stylizer

if TYPE_CHECKING:
    from models.engines.engine import Engine, EngineName, EngineSpec
    from models.network import StyleNetwork

Key = tuple[object, ...]

# Each holds the network's weights and its code, a few megabytes; buffers are the size of the moment.
MOST_KEPT = 16


class EngineCache:
    """What the stylizers of a batch share.

    Args:
        stopped: set from outside when all is to end.

    Attributes:
        turn: held by the clip that is being painted.
        making: held by the clip whose stylizer is being made.
    """

    def __init__(self, stopped: threading.Event) -> None:
        self.turn = FairLock(stopped)
        self.making = FairLock(stopped)
        self._kept: OrderedDict[Key, Engine] = OrderedDict()

    def stylizer(self, config: StylizeConfig, **of_clip: Any) -> Stylizer:
        """Called as `Stylizer`: one that shares engines, and paints when it is its turn.

        Raises:
            KeyboardInterrupt: all is to end.
        """
        return _Sharing(self, config, **of_clip)

    def find(self, key: Key) -> "Engine | None":
        """The engine of ``key``, if it is there."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def keep(self, key: Key, engine: "Engine") -> None:
        """Keep an engine that works; the one that was longest without use goes."""
        self._kept[key] = engine
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)


class _Sharing(Stylizer):
    """A stylizer of one clip whose engine may have painted others before."""

    def __init__(self, engines: EngineCache, config: StylizeConfig, **of_clip: Any) -> None:
        self._engines = engines
        self._new: tuple[Key, Engine] | None = None
        self._has_turn = False
        with engines.making:
            try:
                super().__init__(config, build=self._found_or_built, **of_clip)
            finally:
                if self._has_turn:
                    self._has_turn = False
                    engines.turn.release()
            if self._new is not None:
                engines.keep(*self._new)

    def __call__(self, frames: Iterable[Frame], state: State | None = None) -> Iterator[Frame]:
        with self._engines.turn:
            self._has_turn = True
            yield from super().__call__(frames, state)

    def _found_or_built(self, name: "EngineName", spec: "EngineSpec") -> "Engine":
        import torch

        from models.engines.build import build_engine

        of_networks = tuple(_digest(each) for each in (spec.network, spec.end_network))
        others = (getattr(spec, f.name) for f in fields(spec) if f.name not in ("network", "end_network"))
        key = (name, *of_networks, *others, torch.get_num_threads())
        kept = self._engines.find(key)
        if kept is not None:
            self._new = None
            return kept
        if not self._has_turn:
            self._engines.turn.take()
            self._has_turn = True
        engine = build_engine(name, spec)
        self._new = key, engine
        return engine


def _digest(network: "StyleNetwork | None") -> str | None:
    """By which a network is known again, whatever file it came from."""
    if network is None:
        return None
    digest = hashlib.sha256(repr(network.architecture).encode())
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy())
    return digest.hexdigest()
