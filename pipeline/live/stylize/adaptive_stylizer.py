"""Stylize live frames in the mode that is best for the machine, and prepare the engine that would help most."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from pipeline.live.controls import Snapshot
from pipeline.live.frames import CapturedFrame, LiveFrame
from pipeline.live.stylize.control.costs import Costs
from pipeline.live.stylize.control.mode_control import ModeControl
from pipeline.live.stylize.live_stylizer import LiveJob, LiveStylizer
from pipeline.live.stylize.modes import Mode, Size, first_step
from pipeline.stylize.device import OutOfMemoryError, free_memory

# Two CPU cores stylize about this many pixels at 30 fps; a GPU starts at the full size.
FIRST_PIXELS_ON_CPU = 640 * 360
# How often to look whether an engine is worth preparing.
LOOK_SECONDS = 0.25

T = TypeVar("T")


class AdaptiveStylizer:
    """Stylizes the frames of one source.

    For each frame, `choose` returns the mode; `stylize`, or the steps of `stylizer`, stylize it; `learn` records its
    time, in any thread, for one frame at a time. The rest is called in the thread of the network.

    Args:
        stylizer: stylizes the frames.
        sizes: heights and widths in pixels to choose from, the largest first.
        fps: wanted frames per second.
        latency_seconds: wanted latency of most frames, from capture to sink.
        notify: called with messages for the user.
        most_workers: number of frames that may be stylized side by side.
        costs: of the modes; None if nothing is known.

    Attributes:
        stylizer: stylizes the frames.
        mode: in which the last frame was stylized.
        costs: of the modes.
    """

    def __init__(
        self,
        stylizer: LiveStylizer,
        sizes: Sequence[Size],
        fps: float,
        latency_seconds: float,
        notify: Callable[[str], None],
        *,
        most_workers: int = 1,
        costs: Costs | None = None,
    ) -> None:
        self.stylizer, self._notify = stylizer, notify
        engines, device = stylizer.network.engines, stylizer.network.device.type
        step = first_step(tuple(sizes), FIRST_PIXELS_ON_CPU) if device == "cpu" else 0
        self.costs = costs or stylizer.network.new_costs()
        self.mode = Mode(sizes[step], "eager")
        self._control = ModeControl(
            sizes,
            self.costs,
            self.mode,
            most_workers=most_workers,
            fps=fps,
            latency_seconds=latency_seconds,
            is_engine_given=engines.is_given,
        )
        self._control.start(time.monotonic(), engines.ready)
        self._look_at: float | None = None
        self._lock = threading.Lock()

    @property
    def working(self) -> Size:
        """Height and width in pixels at which the last frame was stylized."""
        return self.mode.size

    def stylize(self, captured: CapturedFrame, settings: Snapshot, mode: Mode) -> tuple[LiveFrame, LiveJob] | None:
        """Stylize a frame in the mode that `choose` has returned; return it with its job. See `within_memory`."""
        return self.within_memory(lambda: self.stylizer.stylize(captured, settings, mode))

    def within_memory(self, stylize: Callable[[], T]) -> T | None:
        """Return what ``stylize`` returns; None if the memory is too small, and a smaller size comes next.

        Raises:
            OutOfMemoryError: the memory is too small even for the smallest size.
            DeviceError: the network cannot run.
        """
        try:
            return stylize()
        except OutOfMemoryError:
            if self._control.is_smallest(self.mode.size):
                raise
        self._give_up()  # not in the handler: the error would keep the features of the frame in memory
        return None

    def choose(self, now: float) -> Mode:
        """Choose the mode of the next frame, at ``now`` in monotonic seconds."""
        with self._lock:
            self.mode = self._control.choose(now, self.stylizer.network.engines.ready)
        return self.mode

    def learn(self, now: float, job: LiveJob, fps: float, latency_seconds: float | None) -> None:
        """Record the time that a frame took, and prepare the engine that would help most.

        Args:
            now: monotonic seconds.
            job: of the frame.
            fps: wanted frames per second, from now on.
            latency_seconds: from the capture of a frame until a sink had it; None if unknown.
        """
        with self._lock:
            self._control.set_fps(fps)
            if job.is_settled and job.mode == self._control.mode:
                self._control.add(now, job.seconds)
            if latency_seconds is not None:
                self._control.add_latency(latency_seconds, job.seconds)
            if self._look_at is None or now >= self._look_at:
                self._look_at = now + LOOK_SECONDS
                self._prepare(now)

    def _give_up(self) -> None:
        """Release the engines of the present size and of all larger ones, and never use them again."""
        with self._lock:
            network = self.stylizer.network
            for size in self._control.forbid(self.mode.size):
                network.engines.give_up(size)
            height, width = self._control.mode.size
        free_memory(network.device)
        self._notify(f"{network.device} has too little memory: stylizing at {width}x{height} or less")

    def _prepare(self, now: float) -> None:
        engines = self.stylizer.network.engines
        mode = self._control.worth_preparing(now, engines.ready, engines.fast, engines.prepare_seconds)
        if mode is not None:
            engines.prepare(mode)
