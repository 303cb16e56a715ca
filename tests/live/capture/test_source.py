"""SOURCE names a camera, a stream, the screen or a file."""

import sys
from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.live.capture.camera import OpenCvCamera
from pipeline.live.capture.ffmpeg_device import FFmpegDevice
from pipeline.live.capture.ffmpeg_sources import PROTOCOLS
from pipeline.live.capture.playback import Playback
from pipeline.live.capture.source import find_capture_device
from tests.support.live import plain_config
from tests.support.media import make_clip


@pytest.fixture(autouse=True)
def desktop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Linux desktop with X11."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", ":7")
    for name in ("WAYLAND_DISPLAY", "XDG_SESSION_TYPE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("0", OpenCvCamera),
        ("/dev/video3", OpenCvCamera),
        ("v4l2:/dev/video3", FFmpegDevice),
        ("rtsp://camera/stream", FFmpegDevice),
        ("udp://127.0.0.1:5000", FFmpegDevice),
        ("screen", FFmpegDevice),
    ],
)
def test_the_text_decides_the_device(source: str, kind: type) -> None:
    assert isinstance(find_capture_device(plain_config(source=source)), kind)


def test_a_file_is_played(tmp_path: Path) -> None:
    clip = str(make_clip(tmp_path / "a.mp4"))
    assert isinstance(find_capture_device(plain_config(source=clip, realtime=True)), Playback)
    with pytest.raises(InputError, match="--realtime"):
        find_capture_device(plain_config(source=clip))


@pytest.mark.parametrize(
    ("source", "word"), [("none.mp4", "flowbrush cameras"), ("ftp://host/file", "ftp"), ("file:///etc/passwd", "file")]
)
def test_other_sources_are_refused(source: str, word: str) -> None:
    with pytest.raises(InputError, match=word) as caught:
        find_capture_device(plain_config(source=source))
    assert "\n" not in str(caught.value)


def test_the_screen_needs_xorg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")  # where DISPLAY is that of Xwayland, which is black
    with pytest.raises(InputError, match=r"Wayland.*Xorg"):
        find_capture_device(plain_config(source="screen"))
    monkeypatch.delenv("WAYLAND_DISPLAY")
    monkeypatch.delenv("DISPLAY")
    with pytest.raises(InputError, match="DISPLAY"):
        find_capture_device(plain_config(source="screen"))


def test_a_url_may_use_only_the_protocols_that_its_scheme_needs() -> None:
    for scheme, protocols in PROTOCOLS.items():
        allowed = protocols.split(",")
        assert scheme in allowed
        assert not {"file", "pipe", "data", "concat", "subfile"} & set(allowed)


def test_the_name_contains_no_secret() -> None:
    device = find_capture_device(plain_config(source="rtsp://me:secret@camera:554/a?b=c"))
    assert device.name == "rtsp://camera:554"
