"""A virtual camera, which other programs see as a camera: for video calls."""

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
    """Sends frames to a camera driver by pyvirtualcam: v4l2loopback on Linux, OBS or Unity Capture elsewhere.

    Args:
        notify: called with a line that names the camera.
        device: the camera, ``/dev/video2`` for instance; None for the first one found.
    """

    name = "virtual camera"

    def __init__(self, notify: Callable[[str], None], *, device: str | None = None) -> None:
        self._notify, self._device = notify, device
        self._camera: Any = None

    def open(self, width: int, height: int, fps: Fraction) -> None:
        """Open the camera with the frame size."""
        try:
            import pyvirtualcam
        except ImportError as error:
            raise SinkError(self.name, "needs pyvirtualcam: pip install 'flowbrush[virtualcam]'") from error
        try:
            self._camera = pyvirtualcam.Camera(width, height, float(fps), device=self._device)
        except (RuntimeError, OSError, ValueError) as error:
            remedy = REMEDIES.get(sys.platform, "pyvirtualcam's documentation lists drivers")
            raise SinkError(self.name, f"not found or in use ({first_line(error)}); {remedy}") from error
        self._notify(f"virtual camera: choose {self._camera.device} in the other program")

    def write(self, frame: LiveFrame) -> None:
        """Show ``frame`` at once."""
        try:
            self._camera.send(np.ascontiguousarray(frame.pixels))
        except (RuntimeError, OSError) as error:
            raise SinkError(self.name, f"accepts no more frames ({first_line(error)})") from error

    def close(self) -> None:
        """Close the camera."""
        if self._camera is not None:
            camera, self._camera = self._camera, None
            camera.close()
