"""The stylize thread of a live session: takes the newest frame, and stylizes it at a size that is fast enough."""

import threading
import time
from collections.abc import Callable, Sequence

from pipeline.live.capture.thread import CaptureThread
from pipeline.live.config import DEFAULT_FPS, LiveConfig
from pipeline.live.controls import Controls
from pipeline.live.frames import CapturedFrame, LiveFrame
from pipeline.live.mailbox import Mailbox
from pipeline.live.sinks.thread import SinkThread
from pipeline.live.stylize.engine_builder import Size
from pipeline.live.stylize.live_stylizer import LiveStylizer
from pipeline.live.stylize.resolution import ResolutionControl, first_step, working_sizes
from pipeline.stylize.device import OutOfMemoryError, free_memory

# Two CPU cores stylize about this many pixels at 30 fps; a GPU starts at the full size.
FIRST_PIXELS_ON_CPU = 640 * 360
# The first frames take longer than later ones, so the size is chosen after this time.
PREPARE_AFTER_SECONDS = 1.0
# Frames are skipped only if the source is faster than this factor of the target rate, as frame intervals vary.
RATE_TOLERANCE = 1.15


class StylizeThread(threading.Thread):
    """Stylizes the frames in ``captured`` and hands them to all sinks; ends when the mailbox is closed.

    Args:
        config: the targets.
        stylizer: stylizes the frames.
        capture: provides the frame rate of the source.
        captured: where the frames come from.
        sink_threads: where the stylized frames go.
        controls: how to stylize each frame.
        notify: called in this thread with messages for the user.

    Attributes:
        stylizer: stylizes the frames.
        working: height and width in pixels at which the last frame was stylized.
        first_at: when the first frame was stylized, in seconds of `time.monotonic`; None before.
        fast_at: when the first frame was stylized by a fast engine; None before.
        error: what ended the thread early; None otherwise.
    """

    def __init__(
        self,
        config: LiveConfig,
        stylizer: LiveStylizer,
        capture: CaptureThread,
        captured: Mailbox[CapturedFrame],
        sink_threads: Sequence[SinkThread],
        controls: Controls,
        notify: Callable[[str], None],
    ) -> None:
        super().__init__(name="stylize", daemon=True)
        self.first_at: float | None = None
        self.fast_at: float | None = None
        self.error: BaseException | None = None
        self._config, self.stylizer, self._capture = config, stylizer, capture
        self._captured, self._sink_threads, self._controls = captured, sink_threads, controls
        self._notify = notify
        self._wanted_fps = config.fps_target or DEFAULT_FPS
        fixed = config.height is not None
        self._sizes: tuple[Size, ...] = (stylizer.size,) if fixed else working_sizes(*stylizer.size)
        step = first_step(self._sizes, FIRST_PIXELS_ON_CPU) if stylizer.device.type == "cpu" else 0
        self._resolution = ResolutionControl(
            self._sizes, step=step, fps=self.fps, latency_seconds=config.latency_target_ms / 1000
        )
        self.working = self._sizes[step]
        self._due_at = 0.0

    @property
    def fps(self) -> float:
        """Target output rate, in frames per second."""
        return min(self._wanted_fps, self._capture.fps or DEFAULT_FPS)

    def run(self) -> None:
        """Stylize frames until the mailbox is closed."""
        try:
            self.stylizer.use_this_thread()
            while (captured := self._captured.get()) is not None:
                if self._is_due(captured.captured_at):
                    self._stylize(captured)
        except BaseException as error:  # noqa: BLE001 - raised again by the session
            self.error = error
        finally:
            for sink_thread in self._sink_threads:
                sink_thread.finish()

    def _is_due(self, captured_at: float) -> bool:
        """Return whether to stylize the frame captured at this time; False skips it to reach the target rate."""
        source_fps = self._capture.fps
        if source_fps is None or source_fps <= RATE_TOLERANCE * self._wanted_fps:
            return True
        interval = 1 / self._wanted_fps
        if captured_at < self._due_at - interval / 4:
            return False
        self._due_at = max(self._due_at + interval, captured_at)
        return True

    def _stylize(self, captured: CapturedFrame) -> None:
        ready = self.stylizer.engines.ready
        steps_ready = [step for step, size in enumerate(self._sizes) if size in ready]
        step = self._resolution.choose(time.monotonic(), steps_ready)
        self.working = self._sizes[step]
        frame = self._stylized(captured, step)
        if frame is None:
            self._give_up(step)
            return
        for sink_thread in self._sink_threads:
            sink_thread.put(frame)
        self._learn(time.monotonic())

    def _stylized(self, captured: CapturedFrame, step: int) -> LiveFrame | None:
        """Return None if the memory is too small, but may suffice for a smaller size."""
        try:
            return self.stylizer.stylize(captured, self._controls.snapshot(), self.working)
        except OutOfMemoryError:  # not passed on: the error would keep the features of the frame in memory
            if step == len(self._sizes) - 1:
                raise
            return None

    def _give_up(self, step: int) -> None:
        """Release the engines of this size and of all larger ones, and never use them again."""
        self._resolution.forbid(step)
        for size in self._sizes[: step + 1]:
            self.stylizer.engines.give_up(size)
        (height, width), device = self._sizes[step + 1], self.stylizer.device
        free_memory(device)
        self._notify(f"{device} has too little memory: stylizing at {width}x{height} or less")

    def _learn(self, now: float) -> None:
        """Record the time that the frame took, and prepare the engine that would help most."""
        fast = self.stylizer.engine != "eager"
        self.first_at = self.first_at or now
        self.fast_at = self.fast_at or (now if fast else None)
        if self.stylizer.is_settled:
            self._resolution.add(now, self.stylizer.seconds, fast=fast)
        latencies = [
            sink_thread.deliveries.last_seconds
            for sink_thread in self._sink_threads
            if sink_thread.delivers and sink_thread.deliveries.delivered
        ]
        if latencies:
            self._resolution.add_latency(min(latencies))
        self._resolution.set_fps(self.fps)
        step = self._resolution.worth_preparing(now) if now - self.first_at > PREPARE_AFTER_SECONDS else None
        if step is not None:
            self.stylizer.engines.prepare(self._sizes[step])
