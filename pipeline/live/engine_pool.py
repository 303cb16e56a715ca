"""Engines for every size that a live session paints at: a slow one at once, a fast one as soon as it is ready."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import DeviceError, first_line
from pipeline.live.compile_process import Order
from pipeline.live.style_mixer import StyleMixer
from pipeline.stylize.device import device_errors

if TYPE_CHECKING:
    import torch

    from models.engines.engine import Engine, EngineName, EngineSpec, Precision

Size = tuple[int, int]
"""Height and width, in pixels."""

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Place:
    """Where and how the network runs.

    Attributes:
        device: where.
        precision: of its convolutions.
        cache: folder in which compiled code is kept.
        threads: cores that a picture uses on a CPU.
        stroke_size: see `models.engines.engine.EngineSpec`.
    """

    device: "torch.device"
    precision: "Precision"
    cache: Path
    threads: int
    stroke_size: float = 1.0


class EnginePool:
    """Builds engines and keeps them.

    The eager engine is there at once and is used first. A fast one is prepared in the background: by a process of its
    own where something has to be traced and compiled, so that this one goes on painting undisturbed, and by a thread
    that loads what that process has left in the cache.

    Args:
        mixer: what is painted.
        place: where.
        wanted: ``auto``, or the engine to use.
        notify: called with what the user should know, a line each; from any thread.

    Attributes:
        threads: the background threads that were started and have not ended.

    Raises:
        DeviceError: the engine that is wanted is not to be had.
    """

    def __init__(self, mixer: StyleMixer, place: Place, wanted: str, notify: Callable[[str], None]) -> None:
        from models.engines.capabilities import available_engines

        found = available_engines(place.device)
        if wanted not in ("auto", *found):
            raise DeviceError(f"the engine {wanted} is not to be had on {place.device}; --engine auto takes what is")
        self._kinds: list[EngineName] = [name for name in found if name != "eager" and wanted in ("auto", name)]
        self._mixer = mixer
        self._place = place
        self._notify = notify
        self._slow: dict[Size, Engine] = {}
        self._fast: dict[Size, tuple[EngineName, Engine]] = {}
        self._failed: set[Size] = set()
        self._lock = threading.Lock()
        self._wanted: Size | None = None
        self._worker: threading.Thread | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._closed = False

    def get(self, size: Size) -> "tuple[EngineName, Engine]":
        """The fastest engine that is ready for pictures of ``size``.

        Raises:
            OutOfMemoryError: the memory does not suffice for the slow one, either.
            DeviceError: not even the slow one can be built.
        """
        ready = self._fast.get(size)
        if ready is not None:
            return ready
        if size not in self._slow:
            self._slow[size] = self._build("eager", size)
        return "eager", self._slow[size]

    @property
    def ready(self) -> frozenset[Size]:
        """The sizes for which a fast engine is ready."""
        return frozenset(self._fast)

    def can_be_faster(self, size: Size) -> bool:
        """Whether a fast engine for ``size`` may come yet."""
        return bool(self._kinds) and size not in self._fast and size not in self._failed

    def prepare(self, size: Size) -> None:
        """Get a fast engine ready in the background, unless it is; while another is being prepared, nothing happens."""
        with self._lock:
            if self._closed or not self.can_be_faster(size) or (self._worker and self._worker.is_alive()):
                return
            self._worker = threading.Thread(target=self._work, args=(size,), name="prepare", daemon=True)
            self._worker.start()

    def forget(self, size: Size) -> None:
        """Let go of the engines for ``size``, of one that is being prepared as well, and prepare none for it again."""
        with self._lock:
            self._failed.add(size)
            self._slow.pop(size, None)
            self._fast.pop(size, None)

    def close(self, timeout_seconds: float = 10.0) -> None:
        """End what goes on in the background."""
        with self._lock:
            self._closed = True
            if self._child is not None:
                _end(self._child)
        if self._worker is not None:
            self._worker.join(timeout_seconds)

    def _work(self, size: Size) -> None:
        """Try one kind after another; what cannot be had is said once, and never tried again."""
        while self._kinds and not self._closed:
            kind = self._kinds[0]
            try:
                engine = self._prepare(kind, size)
                self._warm_up(engine, size)
            except Exception as error:  # noqa: BLE001 - torch and compilers raise anything; the slow engine goes on
                self._kinds.pop(0)
                if not self._closed:
                    goes_on = self._kinds[0] if self._kinds else "eager"
                    self._notify(f"the engine {kind} cannot be had ({first_line(error)}); going on with {goes_on}")
            else:
                with self._lock:
                    if size not in self._failed:  # forgotten meanwhile
                        self._fast[size] = kind, engine
                return
        self._failed.add(size)

    def _prepare(self, kind: "EngineName", size: Size) -> "Engine":
        import torch

        from models.engines.aot import AotGraph

        torch.set_num_threads(self._place.threads)
        if kind == "openvino":
            self._in_a_process(kind, size)
            return self._build(kind, size)
        graph = AotGraph(self._spec(size))
        graph.preload()
        if graph.is_compiled:
            try:
                return graph.load()
            except RuntimeError:
                graph.delete()
        self._in_a_process(kind, size)
        return graph.load()

    def _spec(self, size: Size) -> "EngineSpec":
        from models.engines.engine import EngineSpec

        place, (height, width) = self._place, size
        return EngineSpec(
            network=self._mixer.network,
            height=height,
            width=width,
            device=place.device,
            precision=place.precision,
            cache=place.cache,
            end_network=self._mixer.end,
            stroke_size=place.stroke_size,
            threads=place.threads,
        )

    def _in_a_process(self, kind: "EngineName", size: Size) -> None:
        """Run `pipeline.live.compile_process`, and wait for its end."""
        place, (height, width) = self._place, size
        order = Order(
            styles=self._mixer.names,
            engine=kind,
            height=height,
            width=width,
            device=str(place.device),
            precision=place.precision,
            cache=str(place.cache),
            stroke_size=place.stroke_size,
            threads=place.threads,
        )
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        command = [sys.executable, "-m", "pipeline.live.compile_process", order.to_json()]
        with self._lock:
            if self._closed:
                raise DeviceError("the session has ended")
            self._child = child = subprocess.Popen(
                command,
                env=os.environ | {"PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=os.name == "posix",  # Ctrl-C is for the session, which then ends this
            )
        _, said = child.communicate()
        if child.returncode:
            lines = said.decode(errors="replace").strip().splitlines() or [f"exit code {child.returncode}"]
            raise DeviceError(lines[-1])

    def _build(self, kind: "EngineName", size: Size) -> "Engine":
        from models.engines.build import build_engine

        with device_errors(self._place.device):
            return build_engine(kind, self._spec(size))

    def _warm_up(self, engine: "Engine", size: Size) -> None:
        """The first call is slow: it is made here, and not between two pictures."""
        import torch

        from models.frame_graph import zero_statistics

        device, network = self._place.device, self._mixer.network
        zero = torch.zeros((), device=device)
        nothing = torch.zeros((*size, 3), dtype=torch.uint8)
        engine(nothing, self._mixer.styles[0], zero_statistics(network, device), zero, zero, zero, zero)


def _end(child: "subprocess.Popen[bytes]") -> None:
    """End a process, and the compiler that it may be running."""
    with contextlib.suppress(OSError):
        if os.name == "posix":
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
