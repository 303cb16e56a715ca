"""A process of its own that gets an engine ready, at the lowest priority, and leaves it in the cache.

It is started by `pipeline.live.engine_pool` with one argument, an `Order` as JSON.
"""

import contextlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from models.engines.engine import EngineName, Precision


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be got ready.

    Attributes:
        styles: see `pipeline.live.style_mixer.load_style_mixer`.
        engine: ``compile`` or ``openvino``.
        height: of the pictures, in pixels.
        width: of the pictures, in pixels.
        device: where the network will run.
        precision: of its convolutions.
        cache: folder in which it is left.
        stroke_size: see `models.engines.engine.EngineSpec`.
        threads: cores that one call will use on a CPU.
    """

    styles: tuple[str, ...]
    engine: str
    height: int
    width: int
    device: str
    precision: str
    cache: str
    stroke_size: float
    threads: int

    def to_json(self) -> str:
        """To be read by `read_order`."""
        return json.dumps(asdict(self))


def read_order(text: str) -> Order:
    """What `Order.to_json` wrote."""
    fields = json.loads(text)
    return Order(styles=tuple(fields.pop("styles")), **fields)


def fill(order: Order) -> None:
    """Get the engine ready and leave it in the cache.

    Raises:
        EngineError: it is not to be had on this machine.
        RuntimeError: the compiler, or the memory, fails.
    """
    import torch

    from models.engines.aot import AotGraph
    from models.engines.build import build_engine
    from models.engines.engine import EngineSpec
    from pipeline.live.style_mixer import load_style_mixer

    mixer = load_style_mixer(order.styles)
    spec = EngineSpec(
        network=mixer.network,
        height=order.height,
        width=order.width,
        device=torch.device(order.device),
        precision=cast("Precision", order.precision),
        cache=Path(order.cache),
        end_network=mixer.end,
        stroke_size=order.stroke_size,
        threads=order.threads,
    )
    if order.engine == "compile":
        AotGraph(spec).compile()
    else:
        torch.set_num_threads(order.threads)
        build_engine(cast("EngineName", order.engine), spec)


def main(arguments: Sequence[str]) -> int:
    """Do what the argument orders; on failure the last line of standard error says why."""
    if hasattr(os, "nice"):
        os.nice(19)
    if hasattr(os, "sched_setscheduler"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    try:
        fill(read_order(arguments[0]))
    except Exception as error:  # noqa: BLE001 - whatever it is: the caller goes on without
        sys.stderr.write(f"\n{' '.join(str(error).split())[:300] or type(error).__name__}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
