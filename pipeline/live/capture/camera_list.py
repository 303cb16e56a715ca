"""List cameras with their frame sizes and rates."""

import re
import struct
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import av
from av import logging as av_logging
from av.device import enumerate_input_devices

# Request numbers of the kernel's videodev2.h, unchanged since Linux 2.6.19. Bits 16 to 29 are the structure's size.
QUERY_CAPABILITIES, ENUM_FORMAT, ENUM_SIZE, ENUM_INTERVAL = 0x80685600, 0xC0405602, 0xC02C564A, 0xC034564B
CAPTURE, DEVICE_CAPS = 1, 0x80000000
DISCRETE = 1
MAX_ENTRIES = 200

# avfoundation: "1280x720@[1.000000 30.000000]fps"; dshow: "min s=640x480 fps=5 max s=1280x720 fps=30".
APPLE_MODE = re.compile(r"(\d+)x(\d+)@\[([\d.]+) ([\d.]+)\]fps")
WINDOWS_MODE = re.compile(r"max s=(\d+)x(\d+) fps=([\d.]+)")

Ioctl = Callable[[int, int, bytearray], object]


@dataclass(frozen=True, slots=True)
class Mode:
    """A frame size of a camera.

    Attributes:
        width: in pixels.
        height: in pixels.
        fps: frame rates, highest first; empty if unknown.
    """

    width: int
    height: int
    fps: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera.

    Attributes:
        index: SOURCE for ``flowbrush live``, ``0`` for instance.
        device: the system's name, ``/dev/video0`` for instance.
        name: the product name.
        modes: frame sizes, largest first; empty if unknown, as while another program uses the camera.
    """

    index: str
    device: str
    name: str
    modes: tuple[Mode, ...] = ()


def list_cameras() -> list[Camera]:
    """Return the cameras of this machine by index. Cameras that cannot be queried are skipped."""
    if sys.platform == "linux":
        from fcntl import ioctl

        return list(v4l2_cameras(Path("/sys/class/video4linux"), ioctl))
    format = "avfoundation" if sys.platform == "darwin" else "dshow"
    with suppress(av.FFmpegError, OSError, ValueError):
        found = [device for device in enumerate_input_devices(format) if "video" in device.media_types]
        return [
            Camera(str(index), device.name, device.description or device.name, _ffmpeg_modes(format, device.name))
            for index, device in enumerate(found)
        ]
    return []


def v4l2_cameras(folder: Path, ioctl: Ioctl, devices: Path = Path("/dev")) -> Iterator[Camera]:
    """Yield the video capture devices of Linux, without metadata and output devices.

    Args:
        folder: the kernel's list of devices, ``/sys/class/video4linux``.
        ioctl: ``fcntl.ioctl``.
        devices: folder of the device files.
    """
    entries = [entry for entry in folder.glob("video*") if entry.name[5:].isdigit()]
    for entry in sorted(entries, key=lambda entry: int(entry.name[5:])):
        index, device = entry.name[5:], devices / entry.name
        try:
            with device.open("rb", buffering=0) as file:
                name = _capture_name(file.fileno(), ioctl)
                if name is not None:
                    yield Camera(index, str(device), name, _merge_modes(_v4l2_modes(file.fileno(), ioctl)))
        except PermissionError:
            name = (entry / "name").read_text(encoding="utf-8", errors="replace").strip()
            yield Camera(index, str(device), f"{name} (permission denied; add yourself to the group video)")
        except OSError:  # unplugged meanwhile, or an old kind of device
            continue


def read_modes(text: str) -> tuple[Mode, ...]:
    """Return the modes listed in FFmpeg's messages from avfoundation or dshow."""
    apple = [Mode(int(m[1]), int(m[2]), (float(m[4]), float(m[3]))) for m in APPLE_MODE.finditer(text)]
    windows = [Mode(int(m[1]), int(m[2]), (float(m[3]),)) for m in WINDOWS_MODE.finditer(text)]
    return _merge_modes([*apple, *windows])


def _ffmpeg_modes(format: str, device: str) -> tuple[Mode, ...]:
    """Return the modes of a camera on macOS or Windows, which FFmpeg only logs.

    On macOS it logs them when a rate is requested that the camera does not have.
    """
    options = {"list_options": "true"} if format == "dshow" else {"framerate": "999"}
    url = f"video={device}" if format == "dshow" else device
    level = av_logging.get_level()
    av_logging.set_level(av_logging.INFO)
    try:
        with av_logging.Capture(local=False) as messages:
            with suppress(av.FFmpegError, OSError):
                av.open(url, mode="r", format=format, options=options).close()
            return read_modes("\n".join(message for _, _, message in messages))
    finally:
        av_logging.set_level(level)


def _capture_name(file: int, ioctl: Ioctl) -> str | None:
    """Return the camera's name; None for a device that does not capture video."""
    answer = _query(file, ioctl, QUERY_CAPABILITIES)
    capabilities, device_capabilities = struct.unpack_from("<II", answer, 84)
    if not (device_capabilities if capabilities & DEVICE_CAPS else capabilities) & CAPTURE:
        return None
    return bytes(answer[16:48]).split(b"\0")[0].decode(errors="replace")


def _v4l2_modes(file: int, ioctl: Ioctl) -> Iterator[Mode]:
    for format in _query_all(file, ioctl, ENUM_FORMAT, CAPTURE):
        (pixel_format,) = struct.unpack_from("<I", format, 44)
        for size in _query_all(file, ioctl, ENUM_SIZE, pixel_format):
            # A range is given as minimum, maximum and step of width and height.
            kind, *numbers = struct.unpack_from("<7I", size, 8)
            width, height = numbers[:2] if kind == DISCRETE else (numbers[1], numbers[4])
            yield Mode(width, height, tuple(_rates(file, ioctl, pixel_format, width, height)))
            if kind != DISCRETE:
                break


def _rates(file: int, ioctl: Ioctl, pixel_format: int, width: int, height: int) -> Iterator[float]:
    for interval in _query_all(file, ioctl, ENUM_INTERVAL, pixel_format, width, height):
        numerator, denominator = struct.unpack_from("<II", interval, 20)  # of a range, the shortest interval
        if numerator:
            yield round(denominator / numerator, 2)


def _query(file: int, ioctl: Ioctl, request: int, *fields: int) -> bytearray:
    """Return the driver's answer to a structure that starts with ``fields``."""
    buffer = bytearray(request >> 16 & 0x3FFF)
    struct.pack_into(f"<{len(fields)}I", buffer, 0, *fields)
    ioctl(file, request, buffer)
    return buffer


def _query_all(file: int, ioctl: Ioctl, request: int, *key: int) -> Iterator[bytearray]:
    """Yield the entries of the list that ``key`` names, until the driver reports its end."""
    with suppress(OSError):
        for index in range(MAX_ENTRIES):
            yield _query(file, ioctl, request, index, *key)


def _merge_modes(found: Iterable[Mode]) -> tuple[Mode, ...]:
    """Merge modes of the same size; largest size first."""
    rates: dict[tuple[int, int], set[float]] = {}
    for mode in found:
        rates.setdefault((mode.width, mode.height), set()).update(mode.fps)
    sizes = sorted(rates, key=lambda size: (size[0] * size[1], size), reverse=True)
    return tuple(Mode(*size, tuple(sorted(rates[size], reverse=True))) for size in sizes)
