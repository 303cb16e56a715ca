"""Which sinks a session has, from what was asked for."""

from collections.abc import Callable
from pathlib import Path

from pipeline.errors import first_line
from pipeline.live.capture.device import Device
from pipeline.live.capture.playback import FileAudio, Playback, has_audio
from pipeline.live.config import LiveConfig, SinkConfig
from pipeline.live.controls import Controls
from pipeline.live.sinks.sink import AudioSource, Sink, SinkError


def check_record(outputs: SinkConfig, source: str) -> None:
    """See that a recording does not replace what is being played.

    Raises:
        ValueError: both are the same file.
    """
    played, record = Path(source), outputs.record
    if record is not None and record.exists() and played.exists() and record.samefile(played):
        raise ValueError(f"--record {record}: that is the file that is played; record into another")


def make_sinks(
    outputs: SinkConfig, controls: Controls, notify: Callable[[str], None], *, audio: bool = False
) -> list[Sink]:
    """The sinks, none of them opened; ``sound`` says whether they are going to get any.

    Raises:
        SinkError: one cannot be had, which is known without trying.
        ValueError: a name or a URL that no sink takes.
    """
    sinks: list[Sink] = []
    if outputs.has_window:
        try:
            from pipeline.live.sinks.window import WindowSink
        except ImportError as error:
            remedy = "install libGL and GLib (Debian: apt install libgl1 libglib2.0-0), or use --no-window"
            raise SinkError("window", f"OpenCV cannot be loaded ({first_line(error)}); {remedy}") from error

        sinks.append(WindowSink(controls, notify, clean=outputs.clean, stills=outputs.stills))
    if outputs.virtual_camera:
        from pipeline.live.sinks.virtual_camera import VirtualCameraSink

        sinks.append(VirtualCameraSink(notify))
    if outputs.stream is not None:
        from pipeline.live.sinks.stream import StreamSink

        sinks.append(StreamSink(outputs.stream, notify, audio=audio))
    if outputs.record is not None or outputs.has_window:
        from pipeline.live.sinks.record import RecordSink

        sinks.append(RecordSink(controls, notify, outputs.record, overwrite=outputs.overwrite, audio=audio))
    if outputs.null:
        from pipeline.live.sinks.null import NullSink

        sinks.append(NullSink())
    return sinks


def make_audio(
    outputs: SinkConfig, config: LiveConfig, device: Device, notify: Callable[[str], None]
) -> AudioSource | None:
    """Where sound comes from: a file that is played has its own; else the microphone.

    No microphone is opened unless something is to be recorded or streamed from the start.
    """
    if not outputs.audio:
        return None
    if isinstance(device, Playback):
        return FileAudio(device.name, device.clock, loop=config.loop) if has_audio(device.name) else None
    if outputs.record is None and outputs.stream is None:
        return None
    from pipeline.live.capture.microphone import open_microphone

    return open_microphone(outputs.microphone, notify)
