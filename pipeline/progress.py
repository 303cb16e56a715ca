"""Progress of a run: frames, speed, and how busy each stage is."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.frames import Frame
from pipeline.threads import Prefetch


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a run at one moment.

    Attributes:
        frames: number of finished frames, including those of earlier runs.
        total: estimated number of all frames, None if unknown.
        seconds: time since the first stylized frame of this run.
        busy: share of that time in which each stage worked rather than waited, by name of the stage.
        reused: number of frames that earlier runs finished.
    """

    frames: int
    total: int | None
    seconds: float
    busy: Mapping[str, float]
    reused: int = 0

    @property
    def fps(self) -> float:
        """Frames per second since the first."""
        stylized = self.frames - self.reused
        return (stylized - 1) / self.seconds if stylized > 1 and self.seconds > 0 else 0.0

    @property
    def bottleneck(self) -> str:
        """The stage that is busy for the largest share of time."""
        return max(self.busy, key=lambda stage: self.busy[stage])


ProgressCallback = Callable[[Progress], None]


class ProgressMeter:
    """Counts stylized frames, and measures how busy the stages are.

    Args:
        total: estimated number of all frames, None if unknown.
        reused: number of frames that earlier runs finished.
        report: called with the progress after each change.

    Attributes:
        reused: as above.
        first_frame_at: wall-clock time (`time.time`) of the first stylized frame; until then that of the start.
    """

    def __init__(
        self, total: int | None = None, *, reused: int = 0, report: ProgressCallback = lambda progress: None
    ) -> None:
        self._total = total
        self.reused = reused
        self._report = report
        self._frames = reused
        self._waited: Callable[[], Mapping[str, float]] = lambda: {"stylize": 0.0}
        self._restart_clock()

    def watch(self, decoded: Prefetch[Frame], stylized: Prefetch[Frame]) -> Iterator[Frame]:
        """Yield the frames of ``stylized``, reporting each; the encode stage is what their consumer does.

        Args:
            decoded: the thread of the decode stage.
            stylized: the thread of the stylize stage.
        """
        self._waited = lambda: {
            "decode": decoded.blocked_seconds,
            "stylize": decoded.starved_seconds + stylized.blocked_seconds,
            "encode": stylized.starved_seconds,
        }
        for frame in stylized:
            if self._frames == self.reused:
                self._restart_clock()
            self._frames += 1
            self._report(self.progress())
            yield frame

    def update(self, frames: int) -> None:
        """Report the number of finished frames, counted elsewhere; it never decreases."""
        if max(frames, self._frames) <= self.reused:  # the first new frame comes after this moment
            self._restart_clock()
        self._frames = max(frames, self._frames)
        self._report(self.progress())

    def progress(self) -> Progress:
        """Return the progress now."""
        seconds = max(time.perf_counter() - self._start, 1e-9)
        waited = self._waited()
        shares = {stage: 1 - (waited[stage] - self._waited_before.get(stage, 0.0)) / seconds for stage in waited}
        busy = {stage: min(max(share, 0.0), 1.0) for stage, share in shares.items()}
        return Progress(self._frames, self._total, seconds, busy, min(self.reused, self._frames))

    def _restart_clock(self) -> None:
        self.first_frame_at, self._start = time.time(), time.perf_counter()
        self._waited_before = self._waited()


def peak_memory_bytes() -> int | None:
    """Return the peak resident memory of this process, None if the system does not report it."""
    try:
        # Linux: getrusage would include the peak of the parent, which survives fork and exec.
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
