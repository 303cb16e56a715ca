"""The microphone of a live session."""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from glob import glob

import av
from av.audio.frame import AudioFrame
from av.container import InputContainer

from pipeline.errors import InputError, first_line

logger = logging.getLogger(__name__)

MICROSECONDS = Fraction(1, 1_000_000)

# PyAV's wheel looks for ALSA's settings and plugins, PulseAudio's and PipeWire's among them, where no machine has them.
ALSA_SETTINGS = "/usr/share/alsa/alsa.conf"
ALSA_PLUGINS = ("/usr/lib/*-linux-gnu*/alsa-lib", "/usr/lib64/alsa-lib", "/usr/lib/alsa-lib")


class DeviceClock:
    """Finds the moment of a piece of sound from the device's own clock, which counts evenly, whenever it is read.

    The piece that was handed out soonest after its end tells how the device's clock stands to ours; that those do not
    run equally fast is let in by a tenth of a millisecond a second.
    """

    DRIFT = 1e-4
    JUMP_SECONDS = 1.0

    def __init__(self) -> None:
        self._offset: float | None = None
        self._read_at = 0.0

    def moment(self, device_seconds: float, length_seconds: float, now: float) -> float:
        """When a piece began, in seconds on the clock of ``now``.

        Args:
            device_seconds: its beginning on the device's clock, whatever that counts from.
            length_seconds: of the piece.
            now: when it was handed out.
        """
        seen = now - length_seconds - device_seconds
        if self._offset is None or abs(seen - self._offset) > self.JUMP_SECONDS:
            self._offset = seen
        self._offset = min(self._offset + self.DRIFT * (now - self._read_at) if self._read_at else seen, seen)
        self._read_at = now
        return device_seconds + self._offset


class Microphone:
    """A microphone, opened; a `pipeline.live.sinks.sink.AudioSource`.

    Args:
        name: as users know it.
        container: FFmpeg's device.
    """

    def __init__(self, name: str, container: InputContainer) -> None:
        self.name = name
        self._container = container
        self._frames = self._decode()
        self._clock = DeviceClock()

    def read(self) -> AudioFrame | None:
        """The next piece of sound, its ``pts`` the moment of its first sample in microseconds of `time.monotonic`.

        Raises:
            InputError: the microphone is gone.
        """
        try:
            frame = next(self._frames)
        except av.BlockingIOError:  # macOS has nothing yet
            self._frames = self._decode()
            time.sleep(0.005)
            return None
        except (av.FFmpegError, OSError, StopIteration) as error:
            raise InputError(self.name, f"the microphone is gone ({first_line(error)})") from error
        now, length = time.monotonic(), frame.samples / frame.sample_rate
        if frame.pts is None or not frame.time_base:
            began = now - length
        else:
            began = self._clock.moment(float(frame.pts * frame.time_base), length, now)
        frame.pts, frame.time_base = round(began * 1_000_000), MICROSECONDS
        return frame

    def close(self) -> None:
        """Let go of the device."""
        with suppress(av.FFmpegError, OSError):
            self._container.close()

    def _decode(self) -> Iterator[AudioFrame]:
        yield from self._container.decode(self._container.streams.audio[0])


def open_microphone(name: str | None, notify: Callable[[str], None]) -> Microphone | None:
    """Open a microphone; None, after a line that says why, where there is none.

    Args:
        name: of FFmpeg's device: ALSA's on Linux (``hw:1``), on macOS an index or a name, on Windows a name; None for
            the system's default.
        notify: called with that line.
    """
    try:
        form, file = _device(name)
        container = av.open(file, format=form, options=_options(form))
        if not container.streams.audio:
            container.close()
            raise InputError(file, "it has no sound")
    except (av.FFmpegError, OSError, InputError) as error:
        logger.debug("microphone", exc_info=True)
        remedy = "--microphone NAME chooses another one, --no-sound none"
        notify(f"no microphone ({first_line(error)}); going on without sound; {remedy}")
        return None
    return Microphone(name or "the default microphone", container)


def _device(name: str | None) -> tuple[str, str]:
    """FFmpeg's input format and file name of a microphone.

    Raises:
        InputError: this system has no default that FFmpeg could find.
    """
    if sys.platform == "darwin":
        return "avfoundation", f":{name or 'default'}"
    if sys.platform == "win32":
        return "dshow", f"audio={name or _first_of_windows()}"
    _show_alsa_the_way()
    return "alsa", name or "default"


def _show_alsa_the_way() -> None:
    if os.path.isfile(ALSA_SETTINGS):
        os.environ.setdefault("ALSA_CONFIG_PATH", ALSA_SETTINGS)
    folders = [folder for pattern in ALSA_PLUGINS for folder in glob(pattern)]
    if folders:
        os.environ.setdefault("ALSA_PLUGIN_DIR", folders[0])


def _first_of_windows() -> str:
    from av.device import enumerate_input_devices

    found = [device.name for device in enumerate_input_devices("dshow") if "audio" in device.media_types]
    if not found:
        raise InputError("microphone", "Windows has none")
    return found[0]


def _options(form: str) -> dict[str, str]:
    return {"audio_buffer_size": "20"} if form == "dshow" else {}
