"""Run a live session: capture -> stylize -> sinks, each in its own thread."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from fractions import Fraction
from functools import partial

from pipeline.live.audio_thread import AudioThread
from pipeline.live.capture.device import AudioSource, CaptureDevice
from pipeline.live.capture.source import find_capture_device
from pipeline.live.capture.thread import CaptureThread
from pipeline.live.config import LiveConfig
from pipeline.live.controls import Controls
from pipeline.live.frames import CapturedFrame
from pipeline.live.mailbox import Mailbox
from pipeline.live.sinks.sink import Sink, SinkError
from pipeline.live.sinks.thread import POLL_SECONDS, SinkThread
from pipeline.live.statistics import LiveSummary
from pipeline.live.style_folder import StyleFolder
from pipeline.live.stylize.live_network import LiveNetwork
from pipeline.live.stylize.live_stylizer import LiveStylizer
from pipeline.live.stylize.style_mixer import StyleMixer, load_style_mixer
from pipeline.live.stylize.thread import StylizeThread
from pipeline.notices import Notices
from pipeline.stylize.engine.bounded_engine import BuildEngine

# Longest wait at the end for the frame that is being stylized.
STYLIZE_SECONDS = 10.0
# Longest wait at the end for a blocked read of the source, which has nothing to finish.
CAPTURE_SECONDS = 1.0


class LiveSession:
    """Stylizes the frames of a source, and sends them to sinks.

    Ends when the user quits, after ``config.seconds``, at the end of a file, when the last sink fails or closes, or on
    a `KeyboardInterrupt`, which is not raised again.

    Args:
        config: the source, the style and the targets.
        sinks: where to send the frames, at least one; the summary reports the one that received the most frames.
        controls: the user's controls, with the names of `pipeline.live.stylize.style_mixer.style_names`; `quit` is
            called at the end.
        notify: called with each message for the user, one line; from any thread, one at a time. If the sinks were given
            the same `Notices`, their messages are part of the summary.
        audio: where the audio comes from, see `pipeline.live.sinks.outputs.make_audio`; None for none.
        device: replaces the one that ``config.source`` names.
        build: builds an engine; `models.engines.build.build_engine` by default.

    Raises:
        InputError: the source cannot be opened, or there is no folder of pictures.
        StyleError: pictures are to become styles, and the predictor is missing.
    """

    def __init__(
        self,
        config: LiveConfig,
        sinks: Sequence[Sink],
        controls: Controls,
        notify: Callable[[str], None] = lambda line: None,
        *,
        audio: AudioSource | None = None,
        device: CaptureDevice | None = None,
        build: BuildEngine | None = None,
    ) -> None:
        if not sinks:
            raise ValueError("a live session needs a sink")
        self._notices = notify if isinstance(notify, Notices) else Notices(notify)
        self._config, self._controls, self._build = config, controls, build
        self._device = device or find_capture_device(config)
        self._failed: list[SinkThread] = []
        self._failing = threading.Lock()
        self._started_at = self._ended_at = time.monotonic()
        self._captured: Mailbox[CapturedFrame] = Mailbox()
        self._capture = CaptureThread(self._device, self._captured, self._notices)
        self._sink_threads = [SinkThread(sink, self._notices, self._on_failure) for sink in sinks]
        self._audio = AudioThread(audio, self._sink_threads, self._notices) if audio is not None else None
        self._stylize_thread: StylizeThread | None = None
        folder, dials = config.style_folder, config.stylize.dials
        self._style_folder = None if folder is None else StyleFolder(folder, dials, controls, self._notices)

    def run(self) -> LiveSummary:
        """Run the session to its end; an error is raised after everything is closed. Called once.

        Raises:
            InputError: the source cannot be opened.
            SinkError: no sink is left.
            StyleError: a style does not exist or is unusable.
            DeviceError: the network cannot run as the config asks for.
        """
        try:
            self._start()
            self._wait()
        except KeyboardInterrupt:
            pass
        finally:
            self._end()
        return self._summary()

    def _start(self) -> None:
        """Start all threads, as soon as the first frame has arrived."""
        self._capture.start()
        # This imports torch while the device is being opened.
        mixer = load_style_mixer(self._controls.names, dials=self._config.stylize.dials)
        while not self._capture.first.wait(POLL_SECONDS):
            if self._controls.quitting.is_set():
                return
            if self._config.seconds is not None and time.monotonic() - self._started_at >= self._config.seconds:
                self._notices(f"{self._device.name}: no frame arrived within {self._config.seconds:g} s")
                return
        if self._capture.error is not None:
            raise self._capture.error
        self._start_stages(mixer)

    def _start_stages(self, mixer: StyleMixer) -> None:
        height, width = size = output_size_px(self._capture.size, self._config.height)
        network = LiveNetwork(self._config.stylize, mixer, self._notices, build=self._build)
        self._stylize_thread = StylizeThread(
            self._config,
            LiveStylizer(network, size),
            self._capture,
            self._captured,
            self._sink_threads,
            self._controls,
            self._notices,
        )
        self._stylize_thread.start()
        if self._style_folder is not None:
            self._style_folder.watch(network)
        fps = Fraction(self._stylize_thread.fps).limit_denominator(1001)
        for sink_thread in self._sink_threads:
            sink_thread.start(width, height, fps)
        if self._audio is not None:
            self._audio.start()

    def _wait(self) -> None:
        """Wait for the end of the session."""
        deadline = None if self._config.seconds is None else time.monotonic() + self._config.seconds
        while not self._is_over(deadline):
            self._controls.quitting.wait(POLL_SECONDS)

    def _is_over(self, deadline: float | None) -> bool:
        return (
            self._controls.quitting.is_set()
            or (deadline is not None and time.monotonic() >= deadline)
            or self._stylize_thread is None
            or not self._stylize_thread.is_alive()
            or self._has_no_sink
        )

    @property
    def _has_no_sink(self) -> bool:
        """Whether a sink has failed, and no other one is active."""
        return bool(self._failed) and not any(
            sink_thread.sink.is_active for sink_thread in self._sink_threads if sink_thread not in self._failed
        )

    def _on_failure(self, sink_thread: SinkThread, message: str) -> None:
        """Report that a sink has failed; for the last one, the error that ends the session does so."""
        with self._failing:
            self._failed.append(sink_thread)
            if self._has_no_sink:
                return
            others = any(other.is_running and other.sink.is_active for other in self._sink_threads)
        continues = others and not self._controls.quitting.is_set()
        self._notices(f"{message}; continuing without it" if continues else message)

    def _end(self) -> None:
        """Close everything in the order of the data, so that each stage finishes its frames."""
        self._ended_at = time.monotonic()
        stylize_thread, audio = self._stylize_thread, self._audio
        steps: list[Callable[[], object]] = [
            self._controls.quit,  # a window that hangs waits for it
            *([self._style_folder.stop] if self._style_folder is not None else []),
            self._capture.stop,
            self._captured.close,
            *([stylize_thread.stylizer.network.close] if stylize_thread is not None else []),
            *([partial(stylize_thread.join, STYLIZE_SECONDS)] if stylize_thread is not None else []),
            *([self._style_folder.join] if self._style_folder is not None else []),
            *([audio.stop] if audio is not None else []),
            *(sink_thread.finish for sink_thread in self._sink_threads),
            *(sink_thread.join for sink_thread in self._sink_threads),
            partial(self._capture.join, CAPTURE_SECONDS),
        ]
        with ExitStack() as closing:  # another Ctrl-C shortens a wait, but skips no step
            for step in reversed(steps):
                closing.callback(step)

    def _summary(self) -> LiveSummary:
        """Return what the session did, or raise the error that ended it."""
        for failed in (self._stylize_thread, self._capture):
            if failed is not None and failed.error is not None:
                raise failed.error
        if self._has_no_sink:
            last = self._failed[-1]
            failure = last.failure
            raise failure if isinstance(failure, SinkError) else SinkError(last.sink.name, str(failure)) from failure
        sinks = tuple(sink_thread.summary() for sink_thread in self._sink_threads)
        best = max(sinks, key=lambda sink: sink.delivered)
        thread = self._stylize_thread
        return LiveSummary(
            fps=best.fps,
            latency_ms=best.latency_ms,
            captured=self._capture.captured,
            delivered=best.delivered,
            dropped=max(self._capture.captured - best.delivered, 0),
            seconds=self._ended_at - self._started_at,
            size=thread.stylizer.size[::-1] if thread else (0, 0),
            stylized_size=thread.mode.size[::-1] if thread else (0, 0),
            engine=thread.stylizer.engine if thread else "",
            side_by_side=thread.mode.workers if thread else 1,
            first_frame_seconds=self._since_start(thread.first_at if thread else None),
            fast_after_seconds=self._since_start(thread.fast_at if thread else None),
            sinks=sinks,
            notices=self._notices.lines,
        )

    def _since_start(self, at: float | None) -> float | None:
        return None if at is None else round(at - self._started_at, 3)


def output_size_px(source_size_px: tuple[int, int], height_px: int | None) -> tuple[int, int]:
    """Return height and width of the output frames for those of the source; even, as most encoders require."""
    source_height, source_width = source_size_px
    if height_px is None:
        height_px, width = source_height, source_width // 2 * 2
    else:
        width = round(source_width * height_px / source_height / 2) * 2
    return max(height_px // 2 * 2, 2), max(width, 2)
