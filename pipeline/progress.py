"""How a run is going: frames, speed, time left, and which stage the others wait for."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pipeline.threads import Prefetch

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a run.

    Attributes:
        frames: that are done so far, those of earlier runs too.
        total: an estimate of how many there will be; None where the container does not say.
        seconds: since the first frame came out of the network.
        busy: share of the time that each stage worked rather than waited, by stage.
        reused: frames among these that earlier runs painted.
    """

    frames: int
    total: int | None
    seconds: float
    busy: Mapping[str, float]
    reused: int = 0

    @property
    def fps(self) -> float:
        """Frames a second after the first."""
        stylized = self.frames - self.reused
        return (stylized - 1) / self.seconds if stylized > 1 and self.seconds > 0 else 0.0

    @property
    def bottleneck(self) -> str:
        """The stage that works most of the time."""
        return max(self.busy, key=lambda stage: self.busy[stage])


ProgressCallback = Callable[[Progress], None]


class Meter:
    """Counts the frames on their way from the network to the encoder, and clocks the three stages.

    Args:
        decoded: the thread of the first stage.
        stylized: the thread of the second; the third runs in the consumer of `watch`.
        total: an estimate of the frames to come.
        report: called after each frame that the last stage took.
        reused: frames that earlier runs painted.

    Attributes:
        frames: that went by.
        reused: frames that earlier runs painted.
        first_frame_at: wall-clock time (`time.time`) at which the first painted frame came; now, before that.
    """

    def __init__(
        self,
        decoded: Prefetch[Any],
        stylized: Prefetch[Any],
        *,
        total: int | None,
        report: ProgressCallback,
        reused: int = 0,
    ) -> None:
        self.frames = 0
        self.reused = reused
        self.first_frame_at = time.time()
        self._decoded = decoded
        self._stylized = stylized
        self._total = total
        self._report = report
        self._first = time.perf_counter()
        self._idle = (0.0, 0.0, 0.0)

    def watch(self, items: Iterable[T]) -> Iterator[T]:
        """Yield ``items``, counting the frames."""
        for item in items:
            if not self.frames:
                self.first_frame_at, self._first = time.time(), time.perf_counter()
                self._idle = self._waited()
            self.frames += 1
            self._report(self.progress())
            yield item

    def progress(self) -> Progress:
        """Where the run stands now."""
        now = time.perf_counter()
        seconds = max(now - self._first, 1e-9)
        idle = (waited - before for waited, before in zip(self._waited(), self._idle, strict=True))
        shares = (min(max(1 - waited / seconds, 0.0), 1.0) for waited in idle)
        busy = dict(zip(("decode", "stylize", "encode"), shares, strict=True))
        return Progress(self.reused + self.frames, self._total, seconds, busy, self.reused)

    def _waited(self) -> tuple[float, float, float]:
        """Seconds for which each stage has waited for its neighbours."""
        decoded, stylized = self._decoded, self._stylized
        return (
            decoded.blocked_seconds,
            decoded.starved_seconds + stylized.blocked_seconds,
            stylized.starved_seconds,
        )


def peak_memory_bytes() -> int | None:
    """The most memory that this process has had resident; None where the system does not tell."""
    try:
        # Linux: getrusage would count the parent's memory too, as its peak survives fork and exec.
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
