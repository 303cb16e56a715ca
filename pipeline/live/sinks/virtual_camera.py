"""A virtual camera: what other programs, a video call for instance, see as a camera."""

import sys
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from pipeline.errors import first_line
from pipeline.live.frames import LiveFrame
from pipeline.live.sinks.sink import Sink, SinkError

REMEDIES = {
    "linux": "load one: sudo modprobe v4l2loopback exclusive_caps=1 card_label=flowbrush (Debian: v4l2loopback-dkms)",
    "darwin": "install OBS, start and stop its virtual camera once, then try again",
    "win32": "install OBS, or Unity Capture",
}


class VirtualCameraSink(Sink):
    """Shows pictures as a camera, by pyvirtualcam: v4l2loopback on Linux, OBS or Unity Capture elsewhere.

    Args:
        notify: told, in one line, which camera it is.
        device: of the camera, ``/dev/video2`` for instance; None for the first that is found.
    """

    name = "virtual camera"

    def __init__(self, notify: Callable[[str], None], *, device: str | None = None) -> None:
        self._notify, self._device = notify, device
        self._camera: Any = None

    def open(self, width: int, height: int, fps: Fraction) -> None:
        """Find the camera, and tell it the size.

        Raises:
            SinkError: pyvirtualcam or the camera's driver is not installed, or another program feeds it.
        """
        try:
            import pyvirtualcam
        except ImportError as error:
            raise SinkError(self.name, "pyvirtualcam is needed: pip install 'flowbrush[virtualcam]'") from error
        try:
            self._camera = pyvirtualcam.Camera(width, height, float(fps), device=self._device)
        except (RuntimeError, OSError, ValueError) as error:
            remedy = REMEDIES.get(sys.platform, "pyvirtualcam's page names drivers")
            raise SinkError(self.name, f"there is none, or it is in use ({first_line(error)}); {remedy}") from error
        self._notify(f"virtual camera: choose {self._camera.device} in the other program")

    def write(self, frame: LiveFrame) -> None:
        """Show ``frame``; who paces is the camera it came from.

        Raises:
            SinkError: the driver takes no more.
        """
        try:
            self._camera.send(np.ascontiguousarray(frame.pixels))
        except (RuntimeError, OSError) as error:
            raise SinkError(self.name, f"it takes no more pictures ({first_line(error)})") from error

    def close(self) -> None:
        """Take the camera away."""
        if self._camera is not None:
            camera, self._camera = self._camera, None
            camera.close()
