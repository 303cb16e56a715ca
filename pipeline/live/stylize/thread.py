"""The stylize thread of a live session: takes the newest frame, and stylizes it at a size that is fast enough."""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from pipeline.live.capture.thread import CaptureThread
from pipeline.live.config import DEFAULT_FPS, LiveConfig
from pipeline.live.controls import Controls
from pipeline.live.frames import CapturedFrame, LiveFrame
from pipeline.live.mailbox import Mailbox
from pipeline.live.sinks.thread import SinkThread
from pipeline.live.stylize.adaptive_stylizer import AdaptiveStylizer
from pipeline.live.stylize.live_stylizer import LiveJob, LiveStylizer
from pipeline.live.stylize.modes import Mode, Size, working_sizes
from pipeline.live.stylize.side_by_side import SideBySide

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
        network = stylizer.network
        self._adaptive = AdaptiveStylizer(
            stylizer,
            working_sizes(*stylizer.size) if config.height is None else (stylizer.size,),
            self.fps,
            config.latency_target_ms / 1000,
            notify,
            most_workers=network.most_workers,
            costs=network.stored_costs(),
        )
        self._due_at = 0.0
        self._side_by_side: SideBySide[LiveJob] | None = None

    @property
    def working(self) -> Size:
        """Height and width in pixels at which the last frame was stylized."""
        return self._adaptive.working

    @property
    def fps(self) -> float:
        """Target output rate, in frames per second."""
        return min(self._wanted_fps, self._capture.fps or DEFAULT_FPS)

    @property
    def mode(self) -> Mode:
        """How the last frame was stylized."""
        return self._adaptive.mode

    def run(self) -> None:
        """Stylize frames until the mailbox is closed."""
        try:
            self.stylizer.network.use_this_thread()
            while (captured := self._next()) is not None:
                if self._is_due(captured.captured_at):
                    self._stylize(captured)
            self._wait(0)
            self.stylizer.network.keep_costs(self._adaptive.costs)
        except BaseException as error:  # noqa: BLE001 - raised again by the session
            self.error = error
        finally:
            if self._side_by_side is not None:
                self._side_by_side.close()
            for sink_thread in self._sink_threads:
                sink_thread.finish()

    def _next(self) -> CapturedFrame | None:
        """Return the newest frame, once it can be stylized at once."""
        self._wait(self._adaptive.mode.workers - 1)
        return self._captured.get()

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
        now, settings = time.monotonic(), self._controls.snapshot()
        mode = self._adaptive.choose(now)
        self._wait(mode.workers - 1)
        if mode.workers > 1:
            job = self._adaptive.within_memory(lambda: self.stylizer.begin(captured, settings, mode))
            if job is not None:
                self._threads().start(job)
            return
        result = self._adaptive.stylize(captured, settings, mode)
        if result is not None:
            self._deliver(*result)

    def _threads(self) -> "SideBySide[LiveJob]":
        """Return the threads for frames side by side, of which there is only one number."""
        if self._side_by_side is None:
            network, stylizer = self.stylizer.network, self.stylizer
            self._side_by_side = SideBySide(
                stylizer.run,
                lambda job: self._deliver(stylizer.finish(job), job),
                workers=network.most_workers,
                initializer=partial(network.use_this_thread, network.most_workers),
            )
        return self._side_by_side

    def _wait(self, busy: int) -> None:
        """Wait until at most ``busy`` frames are in progress in other threads; raise the error of one that failed."""
        threads = self._side_by_side
        if threads is not None:
            self._adaptive.within_memory(lambda: threads.wait(busy))

    def _deliver(self, frame: LiveFrame, job: LiveJob) -> None:
        """Hand a frame to the sinks, and choose the mode of later ones by its time and latency."""
        for sink_thread in self._sink_threads:
            sink_thread.put(frame)
        now = time.monotonic()
        self.first_at = self.first_at or now
        self.fast_at = self.fast_at or (now if job.mode.engine != "eager" else None)
        latencies = [
            sink_thread.deliveries.last_seconds
            for sink_thread in self._sink_threads
            if sink_thread.delivers and sink_thread.deliveries.delivered
        ]
        self._adaptive.learn(now, job, self.fps, min(latencies, default=None))
