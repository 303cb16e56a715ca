"""The thread that reads from a device, and opens it again when it has gone."""

import threading
import time
from collections import deque
from collections.abc import Callable

from pipeline.errors import InputError
from pipeline.live.capture.device import Device
from pipeline.live.frames import Captured
from pipeline.live.mailbox import Mailbox

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 10.0
# Over how many pictures the rate is measured; devices tell what they please.
MEASURED = 30


class Capture(threading.Thread):
    """Puts the newest picture of ``device`` into ``mailbox``, until it is stopped or a file ends.

    A device that goes after it has once given a picture is opened again, with pauses that double from half a second
    to ten; that it went, and that it came back, is said in a line each. The mailbox is closed at the end.

    Args:
        device: what is read.
        mailbox: where pictures go.
        notify: called with what the user should know, in this thread.
        first_pause_seconds: before a device is opened again for the first time.

    Attributes:
        captured: how many pictures came.
        error: why the device could not be used at all; None otherwise.
        first: set when the first picture has come, or never will.
        size: height and width in pixels of the first picture.
    """

    def __init__(
        self,
        device: Device,
        mailbox: Mailbox[Captured],
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
        self._times: deque[float] = deque(maxlen=MEASURED + 1)
        self._stopping = threading.Event()

    @property
    def fps(self) -> float | None:
        """Pictures a second as they come, or as the device says until that is known."""
        times = list(self._times)
        if len(times) <= MEASURED or times[-1] <= times[0]:
            return self._device.fps
        return (len(times) - 1) / (times[-1] - times[0])

    def stop(self) -> None:
        """End soon; the device may take some seconds to notice."""
        self._stopping.set()
        self._device.stop()

    def run(self) -> None:
        """Read until the end."""
        try:
            self._read_until_stopped()
        except BaseException as error:  # noqa: BLE001 - raised again by the session
            self.error = error
        finally:
            self._device.close()
            self._mailbox.close()
            self.first.set()

    def _read_until_stopped(self) -> None:
        gone_at: float | None = None
        pause = self._first_pause
        while not self._stopping.is_set():
            before = self.captured
            try:
                self._device.open()
                if self._read(gone_at) or self._stopping.is_set():
                    return
            except InputError as error:
                if self._stopping.is_set():
                    return
                if not (self.captured and self._device.returns):
                    raise
                if self.captured > before:
                    pause, gone_at = self._first_pause, None
                if gone_at is None:
                    gone_at = time.monotonic()
                    self._notify(f"{error}; the last picture stays, and it is opened again as soon as it is back")
            self._device.close()
            self._times.clear()
            self._stopping.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _read(self, gone_at: float | None) -> bool:
        """Read until the end, True, or until the device goes, an exception."""
        while not self._stopping.is_set():
            taken = self._device.read()
            if taken is None:
                return True
            if gone_at is not None:
                self._notify(f"{self._device.name} is back after {time.monotonic() - gone_at:.1f} s")
                gone_at = None
            self._times.append(taken.at)
            if not self.captured:
                self.size = taken.pixels.shape[0], taken.pixels.shape[1]
            self._mailbox.put(Captured(taken.pixels, taken.at, self.captured))
            self.captured += 1
            self.first.set()
        return True
