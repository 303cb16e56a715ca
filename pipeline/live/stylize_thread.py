"""The thread that paints: newest picture in, painted picture out, at the resolution that the machine can hold."""

import threading
import time
from collections.abc import Callable, Sequence

from pipeline.live.capture.thread import CaptureThread
from pipeline.live.config import DEFAULT_FPS, LiveConfig
from pipeline.live.controls import Controls
from pipeline.live.engine_pool import Size
from pipeline.live.frames import CapturedFrame, LiveFrame
from pipeline.live.live_stylizer import LiveStylizer
from pipeline.live.mailbox import Mailbox
from pipeline.live.resolution import ResolutionControl, first_step, working_sizes
from pipeline.live.sinks.thread import SinkThread
from pipeline.stylize.device import OutOfMemoryError, free_memory

# What two ordinary cores paint thirty times a second; where a GPU paints, nothing is too large to begin with.
FIRST_PIXELS_OF_A_CPU = 640 * 360
# The first pictures tell little about what the next will take.
PREPARE_AFTER_SECONDS = 1.0
# A source this little above the target is left alone: its pictures come at uneven times.
NEARLY = 1.15


class StylizeThread(threading.Thread):
    """Paints what comes into ``captured`` and offers it to all outlets; ends when the mailbox is closed.

    Args:
        config: which targets to keep.
        stylizer: who paints.
        capture: where pictures come from, for its rate.
        captured: where they come in.
        sink_threads: where painted pictures go.
        controls: how they are to look.
        notify: called with what the user should know, in this thread.

    Attributes:
        working: height and width in pixels at which the last picture was painted.
        first_at: when the first picture was painted, on `time.monotonic`; None before.
        fast_at: when the first was painted by a fast engine; None before.
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
        super().__init__(name="paint", daemon=True)
        self.first_at: float | None = None
        self.fast_at: float | None = None
        self.error: BaseException | None = None
        self._config, self._stylizer, self._capture = config, stylizer, capture
        self._captured, self._sink_threads, self._controls = captured, sink_threads, controls
        self._notify = notify
        fixed = config.height is not None
        self._sizes: tuple[Size, ...] = (stylizer.size,) if fixed else working_sizes(*stylizer.size)
        step = first_step(self._sizes, FIRST_PIXELS_OF_A_CPU) if stylizer.device.type == "cpu" else 0
        self._quality = ResolutionControl(
            self._sizes, step=step, fps=self.fps, latency_seconds=config.latency_target_ms / 1000
        )
        self.working = self._sizes[step]
        self._due_at = 0.0

    @property
    def fps(self) -> float:
        """Pictures a second that are to come out."""
        comes = self._capture.fps or DEFAULT_FPS
        return min(self._config.fps_target or DEFAULT_FPS, comes)

    def run(self) -> None:
        """Paint until no more pictures come."""
        try:
            self._stylizer.use_this_thread()
            while (captured := self._captured.get()) is not None:
                if self._is_due(captured.captured_at):
                    self._stylize(captured)
        except BaseException as error:  # noqa: BLE001 - raised again by the session
            self.error = error
        finally:
            for sink_thread in self._sink_threads:
                sink_thread.finish()

    def _is_due(self, at: float) -> bool:
        """Whether a picture taken then is one of those that are wanted, where the source gives more."""
        wanted, comes = self._config.fps_target or DEFAULT_FPS, self._capture.fps
        if comes is None or comes <= NEARLY * wanted:
            return True
        interval = 1 / wanted
        if at < self._due_at - interval / 4:
            return False
        self._due_at = max(self._due_at + interval, at)
        return True

    def _stylize(self, captured: CapturedFrame) -> None:
        ready = self._stylizer.engines.ready
        step = self._quality.choose(time.monotonic(), [n for n, size in enumerate(self._sizes) if size in ready])
        self.working = self._sizes[step]
        frame = self._stylized(captured, step)
        if frame is None:
            self._make_smaller(step)
            return
        for sink_thread in self._sink_threads:
            sink_thread.put(frame)
        self._learn(time.monotonic())

    def _stylized(self, captured: CapturedFrame, step: int) -> LiveFrame | None:
        """None where the memory does not suffice, but may for less; the error would hold what was made so far."""
        try:
            return self._stylizer.stylize(captured, self._controls.snapshot(), self.working)
        except OutOfMemoryError:
            if step == len(self._sizes) - 1:
                raise
            return None

    def _make_smaller(self, step: int) -> None:
        """Give up the size of this step and all larger ones, and what is kept for them."""
        self._quality.forbid(step)
        for size in self._sizes[: step + 1]:
            self._stylizer.engines.give_up(size)
        (height, width), device = self._sizes[step + 1], self._stylizer.device
        free_memory(device)
        self._notify(f"the memory of {device} does not suffice: painting at {width}x{height} or less")

    def _learn(self, now: float) -> None:
        """Tell the quality what it took, and prepare the engine that would serve best."""
        fast = self._stylizer.engine != "eager"
        self.first_at = self.first_at or now
        self.fast_at = self.fast_at or (now if fast else None)
        if self._stylizer.is_settled:
            self._quality.add(now, self._stylizer.seconds, fast=fast)
        latencies = [
            sink_thread.deliveries.last_seconds
            for sink_thread in self._sink_threads
            if sink_thread.delivers and sink_thread.deliveries.delivered
        ]
        if latencies:
            self._quality.add_latency(min(latencies))
        self._quality.set_fps(self.fps)
        step = self._quality.worth_preparing(now) if now - self.first_at > PREPARE_AFTER_SECONDS else None
        if step is not None:
            self._stylizer.engines.prepare(self._sizes[step])
