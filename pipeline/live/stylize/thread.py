"""The stylize thread of a live session: takes the newest frame, and stylizes it at a size that is fast enough."""

import threading
import time
from collections.abc import Callable, Sequence

from pipeline.live.capture.thread import CaptureThread
from pipeline.live.config import DEFAULT_FPS, LiveConfig
from pipeline.live.controls import Controls
from pipeline.live.frames import CapturedFrame
from pipeline.live.mailbox import Mailbox
from pipeline.live.sinks.thread import SinkThread
from pipeline.live.stylize.adaptive_stylizer import AdaptiveStylizer
from pipeline.live.stylize.engine_builder import Size
from pipeline.live.stylize.live_stylizer import LiveStylizer
from pipeline.live.stylize.resolution import working_sizes

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
        self._wanted_fps = config.fps_target or DEFAULT_FPS
        sizes = working_sizes(*stylizer.size) if config.height is None else (stylizer.size,)
        self._adaptive = AdaptiveStylizer(stylizer, sizes, self.fps, config.latency_target_ms / 1000, notify)
        self._due_at = 0.0

    @property
    def working(self) -> Size:
        """Height and width in pixels at which the last frame was stylized."""
        return self._adaptive.working

    @property
    def fps(self) -> float:
        """Target output rate, in frames per second."""
        return min(self._wanted_fps, self._capture.fps or DEFAULT_FPS)

    def run(self) -> None:
        """Stylize frames until the mailbox is closed."""
        try:
            self.stylizer.network.use_this_thread()
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
        frame = self._adaptive.stylize(captured, self._controls.snapshot())
        if frame is None:
            return
        for sink_thread in self._sink_threads:
            sink_thread.put(frame)
        self._learn(time.monotonic())

    def _learn(self, now: float) -> None:
        """Choose the size of the next frame by the time and the latency of this one."""
        self.first_at = self.first_at or now
        self.fast_at = self.fast_at or (now if self.stylizer.engine != "eager" else None)
        latencies = [
            sink_thread.deliveries.last_seconds
            for sink_thread in self._sink_threads
            if sink_thread.delivers and sink_thread.deliveries.delivered
        ]
        self._adaptive.learn(now, self.fps, min(latencies, default=None))
