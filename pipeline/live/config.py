"""The configuration of a live session: what to stylize, and where to send it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pipeline.config import StylizeConfig
from pipeline.config.arguments import LARGEST_SIDE_PX, SMALLEST_SIDE_PX, read_frame_size
from pipeline.config.optimize import OPTIMIZE_OPTIONS
from pipeline.config.options import Argument, Option, OptionsOf, check_settings
from pipeline.config.style_spec import parse_blend
from pipeline.live.capture.connection.address import read_address
from pipeline.live.sinks.display import has_display

DEFAULT_FPS = 30.0
"""Frame rate if neither the source nor the user gives one, and the highest that is taken from a source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveConfig:
    """What to stylize, how, and for how long."""

    source: Annotated[
        str,
        Argument(
            "A camera's index or device, a URL, screen, or a file; @FILE reads the source from FILE.",
            metavar="SOURCE",
            read=read_address,
        ),
    ] = "0"
    stylize: Annotated[
        StylizeConfig,
        OptionsOf(StylizeConfig, without=("style_end", "compare", "max_memory", *OPTIMIZE_OPTIONS)),
    ]
    style_folder: Annotated[
        Path | None,
        Option("Watch this folder: each picture that appears in it becomes a style, and is shown.", metavar="FOLDER"),
    ] = None
    camera_size: Annotated[
        tuple[int, int] | None,
        Option("Ask the camera for this size, for example 1280x720.", metavar="WxH", read=read_frame_size),
    ] = None
    height: Annotated[
        int | None,
        Option(
            "Stylize and show at this height. By default, the resolution adapts to the latency target.",
            metavar="PX",
            min=SMALLEST_SIDE_PX,
            max=LARGEST_SIDE_PX,
            unit="pixels",
        ),
    ] = None
    mirror: Annotated[bool, Option("Swap left and right.")] = False
    fps_target: Annotated[
        float | None, Option("Frames per second. Default: as the camera, at most 30.", metavar="FPS", min=1, max=240)
    ] = None
    latency_target_ms: Annotated[
        float, Option("From camera to screen; the resolution follows.", metavar="MS", min=10, max=10_000)
    ] = 100.0
    seconds: Annotated[float | None, Option("End after so many seconds.", metavar="N", above=0)] = None
    realtime: Annotated[bool, Option("Play a file in real time, as a camera would.")] = False
    loop: Annotated[bool, Option("Start the file again at its end.")] = False
    insecure: Annotated[bool, Option("Accept any certificate of an https, rtsps or rtmps source.")] = False

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.source:
            raise ValueError("the source has no name; give a camera's index, a device, a URL, screen or a file")
        parse_blend(self.stylize.style)
        if self.stylize.compare or self.stylize.style_end:
            raise ValueError("a live session neither compares nor fades over its length; the window has keys for both")
        if self.loop and not self.realtime:
            raise ValueError("--loop needs a file that is played with --realtime")


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkConfig:
    """Where to send the stylized frames and the audio."""

    window: Annotated[bool | None, Option("Show a window. Default: if there is a display.")] = None
    virtual_camera: Annotated[bool, Option("Appear as a camera in other programs, such as video calls.")] = False
    record: Annotated[
        Path | None, Option("Record into this file, with audio; the extension selects the container.")
    ] = None
    stream: Annotated[
        str | None,
        Option("Send to this rtmp, rtsp or udp address; @FILE reads it from FILE.", metavar="URL", read=read_address),
    ] = None
    null: Annotated[bool, Option("Send the frames nowhere, to measure speed.")] = False
    clean: Annotated[bool, Option("Show no figures in the window.")] = False
    stills: Annotated[Path | None, Option("Folder for stills. Default: the current one.", metavar="FOLDER")] = None
    audio: Annotated[bool, Option("Record and stream without audio.", name="no_sound")] = True
    microphone: Annotated[
        str | None, Option("Microphone to record. Default: the system's default one.", metavar="NAME")
    ] = None
    overwrite: Annotated[bool, Option("Replace an existing recording.")] = False

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def has_window(self) -> bool:
        """Whether to show a window."""
        return self.window if self.window is not None else has_display() and not self.null
