"""SOURCE as it is typed, to the device that it means."""

import os

# Loaded before OpenCV: both wheels contain XCB libraries of the same names, and if OpenCV's are loaded first, capturing
# the screen (x11grab) ends the process. In the opposite order OpenCV's windows hang, so `pipeline.live.sinks.window`
# opens them in another process.
import av  # noqa: F401

from pipeline.errors import InputError
from pipeline.live.capture.camera import OpenCvCamera
from pipeline.live.capture.device import Device
from pipeline.live.capture.inputs import DEVICE_FORMATS, device, screen, stream
from pipeline.live.capture.playback import Playback
from pipeline.live.config import DEFAULT_FPS, LiveConfig
from pipeline.stylize.opencv import opencv_available


def find_capture_device(config: LiveConfig) -> Device:
    """What ``config.source`` means; nothing is opened yet.

    Raises:
        InputError: it means nothing, or cannot be had on this system.
    """
    source, fps = config.source, config.fps_target or DEFAULT_FPS
    if source == "screen":
        return screen(fps)
    if "://" in source:
        return stream(source)
    if source.partition(":")[0] in DEVICE_FORMATS:
        return device(source, config.camera_size, fps)
    if source.isdigit() or source.startswith("/dev/"):
        return _camera(config, fps)
    if not os.path.exists(source):
        raise InputError(
            source,
            "is neither a camera (0, 1, ..., or a device), nor a URL, nor `screen`, nor a file that is there; "
            "`flowbrush cameras` lists cameras",
        )
    if not config.realtime:
        raise InputError(
            source, "is a file; --realtime plays it as a camera would, `flowbrush video` paints all of its frames"
        )
    return Playback(source, loop=config.loop)


def _camera(config: LiveConfig, fps: float) -> Device:
    if opencv_available():
        return OpenCvCamera(config.source, config.camera_size, fps)
    if os.name == "posix" and os.path.exists("/dev"):
        path = f"/dev/video{config.source}" if config.source.isdigit() else config.source
        return device(f"v4l2:{path}", config.camera_size, fps)
    raise InputError(
        f"camera {config.source}", "needs OpenCV, which cannot be loaded; `flowbrush doctor` tells what is missing"
    )
