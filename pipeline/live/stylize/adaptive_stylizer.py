"""Stylize live frames at the largest size that is fast enough, and prepare the engine that would help most."""

import time
from collections.abc import Callable, Sequence

from pipeline.live.controls import Snapshot
from pipeline.live.frames import CapturedFrame, LiveFrame
from pipeline.live.stylize.engine_builder import Size
from pipeline.live.stylize.live_stylizer import LiveStylizer
from pipeline.live.stylize.resolution import ResolutionControl, first_step
from pipeline.stylize.device import OutOfMemoryError, free_memory

# Two CPU cores stylize about this many pixels at 30 fps; a GPU starts at the full size.
FIRST_PIXELS_ON_CPU = 640 * 360
# The first frames take longer than later ones, so the size is chosen after this time.
PREPARE_AFTER_SECONDS = 1.0


class AdaptiveStylizer:
    """Stylizes the frames of one source; called in the thread of its network.

    Args:
        stylizer: stylizes the frames.
        sizes: heights and widths in pixels to choose from, the largest first.
        fps: wanted frames per second.
        latency_seconds: wanted latency of most frames, from capture to sink.
        notify: called with messages for the user.

    Attributes:
        stylizer: stylizes the frames.
        working: height and width in pixels at which the last frame was stylized.
    """

    def __init__(
        self,
        stylizer: LiveStylizer,
        sizes: Sequence[Size],
        fps: float,
        latency_seconds: float,
        notify: Callable[[str], None],
    ) -> None:
        self.stylizer = stylizer
        self._sizes, self._notify = sizes, notify
        step = first_step(sizes, FIRST_PIXELS_ON_CPU) if stylizer.network.device.type == "cpu" else 0
        self._resolution = ResolutionControl(sizes, step=step, fps=fps, latency_seconds=latency_seconds)
        self.working = sizes[step]
        self._first_at: float | None = None

    def stylize(self, captured: CapturedFrame, settings: Snapshot) -> LiveFrame | None:
        """Return the stylized frame; None if the memory is too small for the size, and a smaller one comes next.

        Raises:
            OutOfMemoryError: the memory is too small even for the smallest size.
            DeviceError: the network cannot run.
        """
        ready = self.stylizer.network.engines.ready
        steps_ready = [step for step, size in enumerate(self._sizes) if size in ready]
        step = self._resolution.choose(time.monotonic(), steps_ready)
        self.working = self._sizes[step]
        frame = self._stylized(captured, settings, step)
        if frame is None:
            self._give_up(step)
        return frame

    def learn(self, now: float, fps: float, latency_seconds: float | None) -> None:
        """Record the time that the last frame took, and prepare the engine that would help most.

        Args:
            now: monotonic seconds.
            fps: wanted frames per second, from now on.
            latency_seconds: from the capture of a frame until a sink had it; None if unknown.
        """
        self._first_at = self._first_at or now
        if self.stylizer.is_settled:
            self._resolution.add(now, self.stylizer.seconds, fast=self.stylizer.engine != "eager")
        if latency_seconds is not None:
            self._resolution.add_latency(latency_seconds)
        self._resolution.set_fps(fps)
        step = self._resolution.worth_preparing(now) if now - self._first_at > PREPARE_AFTER_SECONDS else None
        if step is not None:
            self.stylizer.network.engines.prepare(self._sizes[step])

    def _stylized(self, captured: CapturedFrame, settings: Snapshot, step: int) -> LiveFrame | None:
        """Return None if the memory is too small, but may suffice for a smaller size."""
        try:
            return self.stylizer.stylize(captured, settings, self.working)
        except OutOfMemoryError:  # not passed on: the error would keep the features of the frame in memory
            if step == len(self._sizes) - 1:
                raise
            return None

    def _give_up(self, step: int) -> None:
        """Release the engines of this size and of all larger ones, and never use them again."""
        self._resolution.forbid(step)
        network = self.stylizer.network
        for size in self._sizes[: step + 1]:
            network.engines.give_up(size)
        height, width = self._sizes[step + 1]
        free_memory(network.device)
        self._notify(f"{network.device} has too little memory: stylizing at {width}x{height} or less")
