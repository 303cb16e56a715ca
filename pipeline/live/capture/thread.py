"""The thread that reads frames from a capture device and reconnects to it."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from pipeline.errors import InputError
from pipeline.live.capture.device import CaptureDevice
from pipeline.live.frames import CapturedFrame
from pipeline.live.mailbox import Mailbox

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 10.0
# Number of frame intervals that the measured rate averages; the rate that a driver reports is often wrong.
MEASURED_INTERVALS = 30


class CaptureThread(threading.Thread):
    """Puts the newest frame of ``device`` into ``mailbox`` until it is stopped or a file ends; then closes the mailbox.

    If a device fails after its first frame, it is opened again after a pause that doubles from half a second to ten
    seconds. The loss and the return are reported once each.

    Args:
        device: the device to read.
        mailbox: receives the frames.
        notify: called in this thread with messages for the user.
        first_pause_seconds: pause before the first attempt to reconnect.

    Attributes:
        captured: number of frames read so far.
        error: why the device failed for good, None otherwise.
        first: set when the first frame has arrived, or when none will.
        size: height and width of the first frame in pixels.
    """

    def __init__(
        self,
        device: CaptureDevice,
        mailbox: Mailbox[CapturedFrame],
        notify: Callable[[str], None],
        *,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
    ) -> None:
        super().__init__(name="capture", daemon=True)
        self.captured = 0
        self.error: BaseException | None = None
        self.first = threading.Event()
        self.size = (0, 0)
        self._device, self._mailbox, self._notify = device, mailbox, notify
        self._first_pause = first_pause_seconds
        self._times: deque[float] = deque(maxlen=MEASURED_INTERVALS + 1)
        self._stopping = threading.Event()

    @property
    def fps(self) -> float | None:
        """Measured frames per second; the device's nominal rate until enough frames have arrived."""
        times = list(self._times)
        if len(times) <= MEASURED_INTERVALS or times[-1] <= times[0]:
            return self._device.fps
        return (len(times) - 1) / (times[-1] - times[0])

    def stop(self) -> None:
        """Ask the thread to end; the device may take some seconds to return from a read."""
        self._stopping.set()
        self._device.stop()

    def run(self) -> None:
        """Read until stopped, until a file ends, or until the device fails for good."""
        try:
            self._read_and_reconnect()
        except BaseException as error:  # noqa: BLE001 - the session raises it
            self.error = error
        finally:
            self._device.close()
            self._mailbox.close()
            self.first.set()

    def _read_and_reconnect(self) -> None:
        lost_at: float | None = None
        pause = self._first_pause
        while not self._stopping.is_set():
            captured_before = self.captured
            try:
                self._device.open()
                self._read_to_end(lost_at)
                return
            except InputError as error:
                if self._stopping.is_set():
                    return
                if not (self.captured and self._device.reconnects):
                    raise
                if self.captured > captured_before:
                    pause, lost_at = self._first_pause, None
                if lost_at is None:
                    lost_at = time.monotonic()
                    self._notify(f"{error}; the last frame stays, reconnecting")
            self._device.close()
            self._times.clear()
            self._stopping.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _read_to_end(self, lost_at: float | None) -> None:
        while not self._stopping.is_set() and (frame := self._device.read()) is not None:
            if lost_at is not None:
                self._notify(f"{self._device.name}: reconnected after {time.monotonic() - lost_at:.1f} s")
                lost_at = None
            self._times.append(frame.captured_at)
            if not self.captured:
                self.size = frame.pixels.shape[0], frame.pixels.shape[1]
            self._mailbox.put(replace(frame, index=self.captured))
            self.captured += 1
            self.first.set()
