"""A camera, read by OpenCV through V4L2, AVFoundation, DirectShow or Media Foundation."""

import sys
import time
from typing import Any

from pipeline.errors import InputError
from pipeline.live.capture.device import CaptureDevice
from pipeline.live.frames import CapturedFrame
from pipeline.stylize.opencv import cv


class OpenCvCamera(CaptureDevice):
    """A camera by index or device file.

    Args:
        source: the camera's index or device file.
        size: width and height to request in pixels; None for the camera's default.
        fps: frame rate to request.
    """

    def __init__(self, source: str, size: tuple[int, int] | None = None, fps: float = 30.0) -> None:
        self.name = f"camera {source}"
        self._source = int(source) if source.isdigit() else source
        self._size = size
        self._requested_fps = fps
        self._capture: Any = None

    def open(self) -> None:
        """Open the camera with the requested size and rate; the camera may deliver others."""
        cv.utils.logging.setLogLevel(cv.utils.logging.LOG_LEVEL_SILENT)  # the error below is one line
        backends = {"win32": cv.CAP_DSHOW, "darwin": cv.CAP_AVFOUNDATION, "linux": cv.CAP_V4L2}
        backend = backends.get(sys.platform, cv.CAP_ANY)
        self._capture = cv.VideoCapture(self._source, backend, self._properties())
        if not self._capture.isOpened():
            self.close()
            raise InputError(
                self.name,
                "cannot be opened; `flowbrush cameras` lists cameras. Another program may be using it, or this program "
                "may not be allowed to",
            )
        reported = self._capture.get(cv.CAP_PROP_FPS)  # often 0 or wrong
        self.fps = reported if 1 <= reported <= 240 else None

    def read(self) -> CapturedFrame | None:
        """Return the next frame; an unplugged camera fails within the driver's time-out."""
        delivered = self._capture.grab()
        captured_at = time.monotonic()
        delivered, bgr = self._capture.retrieve() if delivered else (False, None)
        if not delivered or bgr is None:
            raise InputError(self.name, "delivers no more frames")
        return CapturedFrame(cv.cvtColor(bgr, cv.COLOR_BGR2RGB), captured_at)

    def close(self) -> None:
        """Close the camera."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _properties(self) -> list[int]:
        """Return the properties to open with, each number followed by its value.

        DirectShow accepts them at no other time, and delivers 30 fps only as MJPG.
        """
        properties = {}
        if sys.platform == "win32" or self._size is not None:
            properties[cv.CAP_PROP_FOURCC] = cv.VideoWriter.fourcc(*"MJPG")
        properties[cv.CAP_PROP_FPS] = round(self._requested_fps)
        if sys.platform != "darwin":  # AVFoundation does not open with a property that it cannot set
            properties[cv.CAP_PROP_BUFFERSIZE] = 1
        if self._size is not None:
            properties |= {cv.CAP_PROP_FRAME_WIDTH: self._size[0], cv.CAP_PROP_FRAME_HEIGHT: self._size[1]}
        return [number for item in properties.items() for number in item]
