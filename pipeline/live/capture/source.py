"""Find the capture device that SOURCE names.

To add a source, implement `pipeline.live.capture.device.CaptureDevice` in a new module of this package and add a line
to `SOURCES`.
"""

import os
from collections.abc import Callable
from typing import NamedTuple

# Loaded before OpenCV: both wheels contain XCB libraries of the same names, and if OpenCV's are loaded first, capturing
# the screen (x11grab) ends the process. In the opposite order OpenCV's windows hang, so `pipeline.live.sinks.window`
# opens them in another process.
import av  # noqa: F401

from pipeline.errors import InputError
from pipeline.live.capture.camera import OpenCvCamera
from pipeline.live.capture.device import CaptureDevice
from pipeline.live.capture.ffmpeg_sources import CAMERA_FORMATS, ffmpeg_camera, network_stream, screen
from pipeline.live.capture.playback import Playback
from pipeline.live.config import DEFAULT_FPS, LiveConfig
from pipeline.stylize.opencv import opencv_available


class Source(NamedTuple):
    """One kind of SOURCE.

    Attributes:
        syntax: what the user types, for messages.
        matches: whether a text names a source of this kind.
        make: return the device, not opened yet, for a configuration and a frame rate to request; may raise InputError.
    """

    syntax: str
    matches: Callable[[str], bool]
    make: Callable[[LiveConfig, float], CaptureDevice]


def find_capture_device(config: LiveConfig) -> CaptureDevice:
    """Return the device that ``config.source`` names, not opened yet.

    Raises:
        InputError: the text names no source, or this system does not support the source.
    """
    for source in SOURCES:
        if source.matches(config.source):
            return source.make(config, config.fps_target or DEFAULT_FPS)
    known = ", ".join(source.syntax for source in SOURCES)
    raise InputError(config.source, f"no such source; use {known}. `flowbrush cameras` lists cameras")


def _camera(config: LiveConfig, fps: float) -> CaptureDevice:
    if opencv_available():
        return OpenCvCamera(config.source, config.camera_size, fps)
    if os.name == "posix" and os.path.exists("/dev"):
        path = f"/dev/video{config.source}" if config.source.isdigit() else config.source
        return ffmpeg_camera(f"v4l2:{path}", config.camera_size, fps)
    raise InputError(f"camera {config.source}", "needs OpenCV, which cannot be loaded; run `flowbrush doctor`")


def _network_stream(config: LiveConfig, _: float) -> CaptureDevice:
    return network_stream(config.source, insecure=config.insecure)


def _file(config: LiveConfig, _: float) -> CaptureDevice:
    if not config.realtime:
        raise InputError(
            config.source, "is a file; add --realtime to play it, or use `flowbrush video` to stylize every frame"
        )
    return Playback(config.source, loop=config.loop)


# The first match wins.
SOURCES = (
    Source("screen", lambda text: text == "screen", lambda _, fps: screen(fps)),
    Source("a URL", lambda text: "://" in text, _network_stream),
    Source(
        "a camera by FFmpeg's name (v4l2:/dev/video0)",
        lambda text: text.partition(":")[0] in CAMERA_FORMATS,
        lambda config, fps: ffmpeg_camera(config.source, config.camera_size, fps),
    ),
    Source("a camera (0, 1, /dev/video0)", lambda text: text.isdigit() or text.startswith("/dev/"), _camera),
    Source("an existing file", os.path.exists, _file),
)
