"""The microphone of a live session."""

import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from glob import glob

import av
from av.audio.frame import AudioFrame
from av.container import InputContainer
from av.device import enumerate_input_devices

from pipeline.errors import InputError, first_line
from pipeline.live.capture.pacing import ClockOffset

logger = logging.getLogger(__name__)

MICROSECONDS = Fraction(1, 1_000_000)
# On macOS the microphone is polled.
POLL_SECONDS = 0.005
# A larger difference means that the device's clock was reset.
CLOCK_JUMP_SECONDS = 1.0

# PyAV's wheel looks for ALSA's settings and plugins (PulseAudio's and PipeWire's among them) where it was built, in the
# temporary folder: any user can plant them there.
ALSA_FOLDERS = {
    "ALSA_CONFIG_DIR": "/usr/share/alsa",
    "ALSA_CONFIG_PATH": "/usr/share/alsa/alsa.conf",
    "ALSA_CONFIG_UCM": "/usr/share/alsa/ucm",
    "ALSA_CONFIG_UCM2": "/usr/share/alsa/ucm2",
}
ALSA_PLUGINS = ("/usr/lib/*-linux-gnu*/alsa-lib", "/usr/lib64/alsa-lib", "/usr/lib/alsa-lib")


class Microphone:
    """An open microphone; a `pipeline.live.capture.device.AudioSource`.

    Args:
        name: shown in messages.
        container: the device, opened by FFmpeg.
    """

    def __init__(self, name: str, container: InputContainer) -> None:
        self.name = name
        self._container = container
        self._frames = container.decode(container.streams.audio[0])
        self._offset = ClockOffset()

    def read(self) -> AudioFrame | None:
        """Return the next audio frame; its pts is the time of its first sample in microseconds of `time.monotonic`.

        Raises:
            InputError: the microphone delivers no more audio.
        """
        try:
            frame = next(self._frames)
        except av.BlockingIOError:  # no audio yet, on macOS
            self._frames = self._container.decode(self._container.streams.audio[0])
            time.sleep(POLL_SECONDS)
            return None
        except (av.FFmpegError, OSError, StopIteration) as error:
            raise InputError(self.name, f"delivers no more audio ({first_line(error)})") from error
        frame.pts, frame.time_base = round(self._start_time(frame, time.monotonic()) * 1_000_000), MICROSECONDS
        return frame

    def close(self) -> None:
        """Close the device."""
        with suppress(av.FFmpegError, OSError):
            self._container.close()

    def _start_time(self, frame: AudioFrame, now: float) -> float:
        """Return when ``frame``, delivered at ``now``, started: by the device's clock, which counts evenly."""
        start = now - frame.samples / frame.sample_rate
        if frame.pts is None or not frame.time_base:
            return start
        device_seconds = float(frame.pts * frame.time_base)
        difference = start - device_seconds
        if self._offset.seconds is not None and abs(difference - self._offset.seconds) > CLOCK_JUMP_SECONDS:
            self._offset = ClockOffset()
        return device_seconds + self._offset.update(difference, now)


def open_microphone(name: str | None, notify: Callable[[str], None]) -> Microphone | None:
    """Open a microphone; report why and return None if that fails.

    Args:
        name: FFmpeg's name of the device: on Linux ALSA's (``hw:1``), on macOS an index or a name, on Windows a name;
            None for the system's default.
        notify: called with the message.
    """
    try:
        format, device = _find_device(name)
        options = {"audio_buffer_size": "20"} if format == "dshow" else {}
        container = av.open(device, format=format, options=options)
        if not container.streams.audio:
            container.close()
            raise InputError(device, "has no audio")
    except (av.FFmpegError, OSError, InputError) as error:
        logger.debug("microphone", exc_info=True)
        notify(
            f"no microphone ({first_line(error)}): continuing without audio; choose one with --microphone NAME, "
            "or none with --no-sound"
        )
        return None
    return Microphone(f"microphone {name}" if name else "default microphone", container)


def _find_device(name: str | None) -> tuple[str, str]:
    """Return FFmpeg's input format and device name of a microphone.

    Raises:
        InputError: Windows has no microphone.
    """
    if sys.platform == "darwin":
        return "avfoundation", f":{name or 'default'}"
    if sys.platform == "win32":
        return "dshow", f"audio={name or _first_windows_microphone()}"
    _set_alsa_paths()
    return "alsa", name or "default"


def _set_alsa_paths() -> None:
    """Name the system's folders even where they do not exist: there is no microphone then."""
    folders = [folder for pattern in ALSA_PLUGINS for folder in glob(pattern)]
    for name, folder in {**ALSA_FOLDERS, "ALSA_PLUGIN_DIR": next(iter(folders), ALSA_PLUGINS[-1])}.items():
        os.environ.setdefault(name, folder)


def _first_windows_microphone() -> str:
    found = [device.name for device in enumerate_input_devices("dshow") if "audio" in device.media_types]
    if not found:
        raise InputError("microphone", "Windows has none")
    return found[0]
