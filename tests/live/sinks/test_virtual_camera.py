"""The virtual camera; only its driver is faked."""

import sys
import types
from collections.abc import Callable
from fractions import Fraction
from typing import ClassVar

import numpy as np
import pytest

from pipeline.live.frames import LiveFrame
from pipeline.live.sinks.sink import SinkError
from pipeline.live.sinks.virtual_camera import VirtualCameraSink
from tests.support.live import live_frame
from tests.support.media import moving_square


class FakeDriver:
    """The part of pyvirtualcam 0.15 that is used; see letmaik.github.io/pyvirtualcam."""

    made: ClassVar[list["FakeDriver"]] = []

    def __init__(self, width: int, height: int, fps: float, *, device: str | None = None) -> None:
        if device == "/dev/none":
            raise RuntimeError("'v4l2loopback' backend: No v4l2 loopback device found at /dev/video[0-99]\nmore")
        self.shape, self.fps, self.device, self.sent, self.closed = (height, width, 3), fps, "/dev/video9", [], False
        FakeDriver.made.append(self)

    def send(self, frame: np.ndarray) -> None:
        assert frame.dtype == np.uint8
        assert frame.shape == self.shape
        assert frame.flags.c_contiguous
        if len(self.sent) == 2:
            raise RuntimeError("error writing frame")
        self.sent.append(frame.copy())

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Callable[[], FakeDriver]:
    """Installs the fake; returns a function that gives the camera that was opened."""
    FakeDriver.made.clear()
    monkeypatch.setitem(sys.modules, "pyvirtualcam", types.SimpleNamespace(Camera=FakeDriver))
    return lambda: FakeDriver.made[0]


def test_each_frame_is_sent(driver: Callable[[], FakeDriver]) -> None:
    messages: list[str] = []
    sink = VirtualCameraSink(messages.append)
    sink.open(64, 48, Fraction(30000, 1001))
    pixels = np.asfortranarray(moving_square(3))
    sink.write(LiveFrame(pixels, pixels, 0.0, 0))
    sink.poll()
    sink.close()
    sink.close()
    camera = driver()
    assert (camera.sent[0] == moving_square(3)).all()
    assert camera.fps == pytest.approx(29.97, abs=0.01)
    assert camera.closed
    assert len(messages) == 1
    assert "/dev/video9" in messages[0]


@pytest.mark.usefixtures("driver")
def test_a_failing_driver_is_a_sink_error() -> None:
    sink = VirtualCameraSink(print)
    sink.open(64, 48, Fraction(30))
    sink.write(live_frame(0))
    sink.write(live_frame(1))
    with pytest.raises(SinkError, match="error writing frame"):
        sink.write(live_frame(2))


@pytest.mark.usefixtures("driver")
@pytest.mark.parametrize(("system", "remedy"), [("linux", "exclusive_caps=1"), ("darwin", "OBS"), ("win32", "Unity")])
def test_a_missing_driver_is_an_error_with_a_remedy(system: str, remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", system)
    sink = VirtualCameraSink(print, device="/dev/none")
    with pytest.raises(SinkError, match=remedy) as caught:
        sink.open(64, 48, Fraction(30))
    assert "\n" not in str(caught.value)
    sink.close()


def test_without_pyvirtualcam_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(SinkError, match=r"flowbrush\[virtualcam\]"):
        VirtualCameraSink(print).open(64, 48, Fraction(30))
