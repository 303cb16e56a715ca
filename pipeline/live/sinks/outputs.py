"""The sinks and the audio source of a live session, from its options.

To add a sink, implement `pipeline.live.sinks.sink.Sink` in a new module of this package, add its option to
`pipeline.live.config.SinkConfig` and a line to `SINKS`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import first_line
from pipeline.live.capture.device import AudioSource, CaptureDevice
from pipeline.live.capture.microphone import open_microphone
from pipeline.live.capture.playback import FileAudio, Playback, has_audio
from pipeline.live.config import LiveConfig, SinkConfig
from pipeline.live.controls import Controls
from pipeline.live.sinks.record import RecordSink
from pipeline.live.sinks.sink import NullSink, Sink, SinkError
from pipeline.live.sinks.stream import StreamSink
from pipeline.live.sinks.virtual_camera import VirtualCameraSink

Notify = Callable[[str], None]


class SinkType(NamedTuple):
    """One kind of sink.

    Attributes:
        option: the command-line option that selects it, for messages.
        is_selected: whether a configuration selects it.
        make: return the sink, not opened yet, for the arguments of `make_sinks`.
    """

    option: str
    is_selected: Callable[[SinkConfig], bool]
    make: Callable[[SinkConfig, Controls, Notify, bool], Sink]


def _window(config: SinkConfig, controls: Controls, notify: Notify, has_audio: bool) -> Sink:
    try:
        from pipeline.live.sinks.window import WindowSink  # imports OpenCV, which needs libraries of the system
    except ImportError as error:
        remedy = "install libGL and GLib (Debian: apt install libgl1 libglib2.0-0), or use --no-window"
        raise SinkError("window", f"OpenCV cannot be loaded ({first_line(error)}); {remedy}") from error

    return WindowSink(controls, notify, clean=config.clean, stills=config.stills)


def _virtual_camera(config: SinkConfig, controls: Controls, notify: Notify, has_audio: bool) -> Sink:
    return VirtualCameraSink(notify)


def _stream(config: SinkConfig, controls: Controls, notify: Notify, has_audio: bool) -> Sink:
    return StreamSink(config.stream or "", notify, has_audio=has_audio)


def _record(config: SinkConfig, controls: Controls, notify: Notify, has_audio: bool) -> Sink:
    return RecordSink(controls, notify, config.record, overwrite=config.overwrite, has_audio=has_audio)


SINKS = (
    SinkType("--window", lambda config: config.has_window, _window),
    SinkType("--virtual-camera", lambda config: config.virtual_camera, _virtual_camera),
    SinkType("--stream URL", lambda config: config.stream is not None, _stream),
    # A key of the window starts a recording.
    SinkType("--record FILE", lambda config: config.record is not None or config.has_window, _record),
    SinkType("--null", lambda config: config.null, lambda *_: NullSink()),
)


def check_sinks(config: SinkConfig, source: str) -> None:
    """Check the options before anything is opened.

    Raises:
        ValueError: no sink is selected, or the recording would replace ``source``.
    """
    if not any(sink.is_selected(config) for sink in SINKS):
        options = ", ".join(sink.option for sink in SINKS)
        raise ValueError(f"the frames have nowhere to go: no window is shown; choose from {options}")
    played, record = Path(source), config.record
    if record is not None and record.exists() and played.exists() and record.samefile(played):
        raise ValueError(f"--record {record}: this file is the source; record into another file")


def make_sinks(config: SinkConfig, controls: Controls, notify: Notify, *, has_audio: bool = False) -> list[Sink]:
    """Return the selected sinks, not opened yet.

    Args:
        config: the options.
        controls: the controls of the session.
        notify: called with messages for the user.
        has_audio: whether the session has audio.

    Raises:
        SinkError: a sink cannot work on this system, or its file exists.
        ValueError: a file name or URL is not supported.
    """
    return [sink.make(config, controls, notify, has_audio) for sink in SINKS if sink.is_selected(config)]


def make_audio(sinks: SinkConfig, config: LiveConfig, device: CaptureDevice, notify: Notify) -> AudioSource | None:
    """Return the audio of a played file; else the microphone, if the session records or streams from its start."""
    if not sinks.audio:
        return None
    if isinstance(device, Playback):
        return FileAudio(device.name, device.clock, loop=config.loop) if has_audio(device.name) else None
    if sinks.record is None and sinks.stream is None:
        return None
    return open_microphone(sinks.microphone, notify)
