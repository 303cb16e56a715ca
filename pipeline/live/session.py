"""A live session, from the first picture to the last: capture, paint, hand out, each in threads of its own."""

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
from pipeline.live.live_stylizer import LiveStylizer
from pipeline.live.mailbox import Mailbox
from pipeline.live.notices import Notices
from pipeline.live.sinks.sink import Sink, SinkError
from pipeline.live.sinks.thread import POLL_SECONDS, SinkThread
from pipeline.live.statistics import LiveSummary
from pipeline.live.style_mixer import StyleMixer, load_style_mixer
from pipeline.live.stylize_thread import StylizeThread

# For the picture that is being painted.
PAINT_SECONDS = 10.0
# A source that does not answer is left to its own time-out: nothing of it has to be finished.
CAPTURE_SECONDS = 1.0


def run_live(
    config: LiveConfig,
    sinks: Sequence[Sink],
    controls: Controls,
    notify: Callable[[str], None] = lambda line: None,
    *,
    audio: AudioSource | None = None,
    device: CaptureDevice | None = None,
) -> LiveSummary:
    """Paint what ``config.source`` shows into ``sinks``, until it is told to end.

    It ends when ``controls`` are told to quit, after ``config.seconds``, at a file's end, when no sink is left, and
    with a `KeyboardInterrupt`, which is not passed on. Whatever else fails is raised after all has been closed.

    Args:
        config: what, how and how long.
        sinks: where to, at least one; the first that takes pictures stands for all in the summary.
        controls: their names are the styles, see `pipeline.live.style_mixer.style_names`; at the end they are
            told to quit.
        notify: called with each thing that the user should know, one line; from any thread, one at a time. `Notices`
            that the sinks were given too bring what those said into the summary.
        audio: where sound comes from, see `pipeline.live.sinks.outputs.make_audio`; None for none.
        device: in place of the one that ``config.source`` means.

    Raises:
        InputError: the source cannot be opened.
        SinkError: no sink is left.
        StyleError: a style is not to be had.
        DeviceError: the network cannot run as was asked for.
    """
    if not sinks:
        raise ValueError("a live session needs a sink")
    notices = notify if isinstance(notify, Notices) else Notices(notify)
    session = _Session(config, sinks, controls, notices, audio, device or find_capture_device(config))
    try:
        session.start()
        session.run()
    except KeyboardInterrupt:
        pass
    finally:
        session.end()
    return session.summary()


class _Session:
    def __init__(
        self,
        config: LiveConfig,
        sinks: Sequence[Sink],
        controls: Controls,
        notices: Notices,
        audio: AudioSource | None,
        device: CaptureDevice,
    ) -> None:
        self._config, self._controls = config, controls
        self._notices = notices
        self._lost: list[SinkThread] = []
        self._losing = threading.Lock()
        self._begun = self._ended = time.monotonic()
        self._captured: Mailbox[CapturedFrame] = Mailbox()
        self._device = device
        self._capture = CaptureThread(device, self._captured, notices)
        self._sink_threads = [SinkThread(sink, notices, self._lose) for sink in sinks]
        self._audio = AudioThread(audio, self._sink_threads, notices) if audio is not None else None
        self._stylize_thread: StylizeThread | None = None
        self._stylizer: LiveStylizer | None = None

    def start(self) -> None:
        """Up to the moment when pictures flow."""
        self._capture.start()
        mixer = load_style_mixer(self._controls.names)  # imports torch; the device is being opened meanwhile
        while not self._capture.first.wait(POLL_SECONDS):
            if self._controls.quitting.is_set():
                return
            if self._config.seconds is not None and time.monotonic() - self._begun >= self._config.seconds:
                self._notices(f"{self._device.name}: no picture came within {self._config.seconds:g} s")
                return
        if self._capture.error is not None:
            raise self._capture.error
        self._begin_painting(mixer)

    def _begin_painting(self, mixer: StyleMixer) -> None:
        size = output_size_px(self._capture.size, self._config.height)
        self._stylizer = LiveStylizer(self._config, mixer, size, self._notices)
        self._stylize_thread = StylizeThread(
            self._config,
            self._stylizer,
            self._capture,
            self._captured,
            self._sink_threads,
            self._controls,
            self._notices,
        )
        self._stylize_thread.start()
        fps = Fraction(self._stylize_thread.fps).limit_denominator(1001)
        for sink_thread in self._sink_threads:
            sink_thread.start(size[1], size[0], fps)
        if self._audio is not None:
            self._audio.start()

    def run(self) -> None:
        """Wait for the end."""
        deadline = None if self._config.seconds is None else time.monotonic() + self._config.seconds
        while not self._is_over(deadline):
            self._controls.quitting.wait(POLL_SECONDS)

    def _is_over(self, deadline: float | None) -> bool:
        return (
            self._controls.quitting.is_set()
            or (deadline is not None and time.monotonic() >= deadline)
            or self._stylize_thread is None
            or not self._stylize_thread.is_alive()
            or self._is_alone
        )

    @property
    def _is_alone(self) -> bool:
        """Whether sinks have been lost, and those that have not show nobody anything."""
        return bool(self._lost) and not any(
            sink_thread.sink.is_active for sink_thread in self._sink_threads if sink_thread not in self._lost
        )

    def _lose(self, sink_thread: SinkThread, line: str) -> None:
        """A sink has failed: says so, unless it was the last, of which the error that ends the session tells."""
        with self._losing:
            self._lost.append(sink_thread)
            if self._is_alone:
                return
            others = any(other.is_running and other.sink.is_active for other in self._sink_threads)
        goes_on = others and not self._controls.quitting.is_set()
        self._notices(f"{line}; going on without it" if goes_on else line)

    def end(self) -> None:
        """Close everything, the source first, so that each stage behind it can finish what it has."""
        self._ended = time.monotonic()
        stylize_thread, audio, stylizer = self._stylize_thread, self._audio, self._stylizer
        steps: list[Callable[[], object]] = [
            self._controls.quit,  # a window that hangs waits for it
            self._capture.stop,
            self._captured.close,
            *([stylizer.close] if stylizer is not None else []),
            *([partial(stylize_thread.join, PAINT_SECONDS)] if stylize_thread is not None else []),
            *([audio.stop] if audio is not None else []),
            *(sink_thread.finish for sink_thread in self._sink_threads),
            *(sink_thread.join for sink_thread in self._sink_threads),
            partial(self._capture.join, CAPTURE_SECONDS),
        ]
        with ExitStack() as closing:  # another Ctrl-C cuts a wait short, and leaves none of the rest out
            for step in reversed(steps):
                closing.callback(step)

    def summary(self) -> LiveSummary:
        """What was done, or the error that ended it."""
        for thread in (self._stylize_thread, self._capture):
            if thread is not None and thread.error is not None:
                raise thread.error
        if self._is_alone:
            last = self._lost[-1]
            failure = last.failure
            raise failure if isinstance(failure, SinkError) else SinkError(last.sink.name, str(failure)) from failure
        sinks = tuple(sink_thread.summary() for sink_thread in self._sink_threads)
        best = max(sinks, key=lambda sink: sink.delivered)
        stylize_thread, stylizer = self._stylize_thread, self._stylizer
        return LiveSummary(
            fps=best.fps,
            latency_ms=best.latency_ms,
            captured=self._capture.captured,
            delivered=best.delivered,
            dropped=max(self._capture.captured - best.delivered, 0),
            seconds=self._ended - self._begun,
            size=stylizer.size[::-1] if stylizer else (0, 0),
            painted_at=stylize_thread.working[::-1] if stylize_thread else (0, 0),
            engine=stylizer.engine if stylizer else "",
            first_picture_seconds=self._since_begun(stylize_thread.first_at if stylize_thread else None),
            fast_after_seconds=self._since_begun(stylize_thread.fast_at if stylize_thread else None),
            sinks=sinks,
            notices=self._notices.lines,
        )

    def _since_begun(self, at: float | None) -> float | None:
        return None if at is None else round(at - self._begun, 3)


def output_size_px(source_size_px: tuple[int, int], height_px: int | None) -> tuple[int, int]:
    """Return height and width of the output frames for those of the source; even, as most encoders require."""
    source_height, source_width = source_size_px
    if height_px is None:
        height_px, width = source_height, source_width // 2 * 2
    else:
        width = round(source_width * height_px / source_height / 2) * 2
    return max(height_px // 2 * 2, 2), max(width, 2)
