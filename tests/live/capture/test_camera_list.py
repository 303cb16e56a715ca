"""The list of cameras; the kernel is faked, as tests have no camera."""

import errno
import json
import struct
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cli
from pipeline.live.capture.camera_list import Camera, Mode, list_cameras, read_modes, v4l2_cameras

YUYV, MJPG = (int.from_bytes(code, "little") for code in (b"YUYV", b"MJPG"))
SIZES = {YUYV: [(640, 480), (1280, 720)], MJPG: [(1280, 720), (1920, 1080)]}
RATES = {
    (YUYV, 640, 480): [(1, 30), (1, 15)],
    (YUYV, 1280, 720): [(1, 10)],
    (MJPG, 1280, 720): [(1, 60), (1001, 30000)],
}


class Kernel:
    """Answers as V4L2 does, see linux/videodev2.h."""

    def __init__(self, devices: Path) -> None:
        self._devices = devices

    def __call__(self, file: int, number: int, buffer: bytearray) -> int:
        size = number >> 16 & 0x3FFF
        assert len(buffer) == size, "the request number contains the size"
        return {0: self.capabilities, 2: self.format, 74: self.size, 75: self.interval}[number & 0xFF](file, buffer)

    def capabilities(self, file: int, buffer: bytearray) -> int:
        device = Path(f"/proc/self/fd/{file}").resolve().name
        if device == "video3":
            raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")
        own = {"video0": 1, "video1": 0x00800000, "video10": 1}[device]  # the second one delivers metadata
        struct.pack_into(
            "16s32s32sIII", buffer, 0, b"uvcvideo", f"Eye of {device}".encode(), b"usb", 0, 0x84A00001, own
        )
        return 0

    def format(self, file: int, buffer: bytearray) -> int:
        index, kind = struct.unpack_from("II", buffer)
        assert kind == 1
        struct.pack_into("I", buffer, 44, self._nth(list(SIZES), index))
        return 0

    def size(self, file: int, buffer: bytearray) -> int:
        index, pixels = struct.unpack_from("II", buffer)
        struct.pack_into("III", buffer, 8, 1, *self._nth(SIZES[pixels], index))
        return 0

    def interval(self, file: int, buffer: bytearray) -> int:
        index, *which = struct.unpack_from("IIII", buffer)
        struct.pack_into("III", buffer, 16, 1, *self._nth(RATES.get(tuple(which), []), index))
        return 0

    @staticmethod
    def _nth(answers: list, index: int):
        if index >= len(answers):
            raise OSError(errno.EINVAL, "Invalid argument")
        return answers[index]


@pytest.fixture
def machine(tmp_path: Path) -> tuple[Path, Path]:
    """The kernel's list of devices, and the folder of the device files."""
    folder, devices = tmp_path / "class", tmp_path / "dev"
    devices.mkdir()
    for name in ("video0", "video1", "video10", "video3"):
        (folder / name).mkdir(parents=True)
        (folder / name / "name").write_text(f"Eye of {name}\n")
        (devices / name).touch()
    (folder / "video7").mkdir()  # unplugged a moment ago
    return folder, devices


def test_linux_cameras_have_sizes_and_rates(machine: tuple[Path, Path]) -> None:
    folder, devices = machine
    found = list(v4l2_cameras(folder, Kernel(devices), devices))
    assert [camera.index for camera in found] == ["0", "10"]
    assert found[0].name == "Eye of video0"
    assert found[0].device == str(devices / "video0")
    assert found[0].modes == (
        Mode(1920, 1080),
        Mode(1280, 720, (60.0, 29.97, 10.0)),
        Mode(640, 480, (30.0, 15.0)),
    )


def test_a_camera_without_permission_is_listed(machine: tuple[Path, Path]) -> None:
    folder, devices = machine

    def refuse(file: int, number: int, buffer: bytearray) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    found = list(v4l2_cameras(folder, refuse, devices))
    assert [camera.name.split(" (")[0] for camera in found] == [f"Eye of video{n}" for n in (0, 1, 3, 10)]
    assert all("group video" in camera.name for camera in found)
    assert found[0].modes == ()


def test_modes_of_macos_and_windows() -> None:
    apple = "  1280x720@[1.000000 30.000000]fps\n  640x480@[15.000000 60.000000]fps\n"
    assert read_modes(apple) == (Mode(1280, 720, (30.0, 1.0)), Mode(640, 480, (60.0, 15.0)))
    windows = "  pixel_format=yuyv422  min s=640x480 fps=5 max s=640x480 fps=30\n" * 2
    windows += "  vcodec=mjpeg  min s=1280x720 fps=30 max s=1280x720 fps=60.0002 (tv, bt470bg)"
    assert read_modes(windows) == (Mode(1280, 720, (60.0002,)), Mode(640, 480, (30.0,)))


def test_this_machine_is_listed_without_an_error() -> None:
    assert isinstance(list_cameras(), list)


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_without_ffmpeg_s_devices_there_are_no_cameras(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", system)
    assert list_cameras() == []


def test_the_command_lists_them(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = Camera("2", "/dev/video2", "Eye", (Mode(1280, 720, (60.0, 29.97)), Mode(640, 480)))
    monkeypatch.setattr("pipeline.live.capture.camera_list.list_cameras", lambda: [camera])
    result = CliRunner().invoke(cli.app, ["cameras"])
    assert result.output == "2  Eye  (/dev/video2)\n   1280x720  60, 29.97 fps\n   640x480\n"
    result = CliRunner().invoke(cli.app, ["cameras", "--json"])
    modes = [{"width": 1280, "height": 720, "fps": [60.0, 29.97]}, {"width": 640, "height": 480, "fps": []}]
    assert json.loads(result.output) == {
        "cameras": [{"index": "2", "device": "/dev/video2", "name": "Eye", "modes": modes}]
    }


def test_no_camera_is_said_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.live.capture.camera_list.list_cameras", list)
    result = CliRunner().invoke(cli.app, ["cameras"])
    assert result.exit_code == 0
    assert "No camera was found" in result.output
    assert json.loads(CliRunner().invoke(cli.app, ["cameras", "--json"]).output) == {"cameras": []}
