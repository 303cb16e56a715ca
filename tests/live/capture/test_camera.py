"""A camera through OpenCV; a file takes its place, as OpenCV reads both alike."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.live.capture.camera import OpenCvCamera
from pipeline.stylize.opencv import cv
from tests.support.media import make_clip, moving_square


def test_a_missing_camera_is_an_error_of_one_line() -> None:
    with pytest.raises(InputError, match=r"^camera 97: .*`flowbrush cameras`") as caught:
        OpenCvCamera("97").open()
    assert "\n" not in str(caught.value)


def test_frames_are_rgb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV delivers BGR."""
    clip, real = str(make_clip(tmp_path / "clip.mp4")), cv.VideoCapture
    monkeypatch.setattr(cv, "VideoCapture", lambda source, backend, properties: real(clip, cv.CAP_FFMPEG))
    camera = OpenCvCamera("0")
    camera.open()
    frame = camera.read()
    assert frame is not None
    assert np.abs(frame.pixels.astype(int) - moving_square(0)).mean() < 8
    assert camera.fps == pytest.approx(30, rel=0.05)
    with pytest.raises(InputError, match="camera 0: delivers no more frames"):
        list(iter(camera.read, None))
    camera.close()


@pytest.mark.parametrize(
    ("system", "size", "first"),
    [
        ("linux", None, [cv.CAP_PROP_FPS, 60]),
        ("linux", (1280, 720), [cv.CAP_PROP_FOURCC]),
        ("win32", None, [cv.CAP_PROP_FOURCC]),
        ("darwin", None, [cv.CAP_PROP_FPS, 60]),
    ],
)
def test_size_and_rate_are_requested(
    system: str, size: tuple[int, int] | None, first: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DirectShow needs MJPG, and with it a large size at 30 fps; AVFoundation does not support the buffer size."""
    requested: list[int] = []
    real = cv.VideoCapture
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr(cv, "VideoCapture", lambda source, backend, properties: requested.extend(properties) or real())
    with pytest.raises(InputError):
        OpenCvCamera("0", size, 60).open()
    assert requested[: len(first)] == first
    pairs = dict(zip(requested[::2], requested[1::2], strict=True))
    assert (pairs.get(cv.CAP_PROP_FRAME_WIDTH), pairs.get(cv.CAP_PROP_FRAME_HEIGHT)) == (size or (None, None))
    assert (cv.CAP_PROP_BUFFERSIZE in pairs) == (system != "darwin")
