"""A camera through OpenCV, which drives what each system has: V4L2, AVFoundation, DirectShow, Media Foundation."""

import sys
import time
from typing import Any

from pipeline.errors import InputError
from pipeline.live.capture.device import Taken
from pipeline.stylize.opencv import cv

# Asked for where the user leaves the choice: most cameras give 640x480 otherwise, stretched or cut.
FPS = 30


class OpenCvCamera:
    """See `pipeline.live.capture.device.Device`.

    Args:
        source: the camera's index, or its device file.
        size: width and height in pixels to ask for; None takes what it gives.
        fps: to ask for.
    """

    returns = True

    def __init__(self, source: str, size: tuple[int, int] | None = None, fps: float = FPS) -> None:
        self.name = f"camera {source}"
        self.fps: float | None = None
        self._source: int | str = int(source) if source.isdigit() else source
        self._size = size
        self._wanted_fps = fps
        self._capture: Any = None

    def open(self) -> None:
        """Open, and ask for size and rate; what the camera makes of it shows in its pictures."""
        cv.utils.logging.setLogLevel(cv.utils.logging.LOG_LEVEL_SILENT)  # what fails is said here, in one line
        self._capture = cv.VideoCapture(self._source, _backend(), self._wishes())
        if not self._capture.isOpened():
            self.close()
            raise InputError(
                self.name,
                "cannot be opened; `flowbrush cameras` lists what is there. It may be used by another program, or this "
                "one may not be allowed to use it",
            )
        # The rate that is told is often 0, or not what comes: `pipeline.live.capture.thread` measures.
        told = self._capture.get(cv.CAP_PROP_FPS)
        self.fps = told if 1 <= told <= 240 else None

    def _wishes(self) -> list[int]:
        """Properties to open with: DirectShow takes them at no other time, and gives 30 fps as MJPG alone."""
        wishes = {cv.CAP_PROP_FPS: round(self._wanted_fps), cv.CAP_PROP_BUFFERSIZE: 1}
        if self._size is not None:
            wishes |= {cv.CAP_PROP_FRAME_WIDTH: self._size[0], cv.CAP_PROP_FRAME_HEIGHT: self._size[1]}
        if sys.platform == "win32" or self._size is not None:
            wishes = {cv.CAP_PROP_FOURCC: cv.VideoWriter.fourcc(*"MJPG")} | wishes
        if sys.platform == "darwin":  # AVFoundation refuses to open with properties that it cannot set
            wishes = {key: value for key, value in wishes.items() if key != cv.CAP_PROP_BUFFERSIZE}
        return [number for wish in wishes.items() for number in wish]

    def read(self) -> Taken | None:
        """The next picture; a camera that is unplugged gives none within the driver's time-out."""
        came = self._capture.grab()
        at = time.monotonic()
        came, picture = self._capture.retrieve() if came else (False, None)
        if not came or picture is None:
            raise InputError(self.name, "gives no more pictures")
        return Taken(cv.cvtColor(picture, cv.COLOR_BGR2RGB), at)

    def stop(self) -> None:
        """Nothing: OpenCV offers no way to end a read; drivers give up after some seconds."""

    def close(self) -> None:
        """Let go of the camera."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None


def _backend() -> int:
    backends = {"win32": cv.CAP_DSHOW, "darwin": cv.CAP_AVFOUNDATION, "linux": cv.CAP_V4L2}
    return int(backends.get(sys.platform, cv.CAP_ANY))
