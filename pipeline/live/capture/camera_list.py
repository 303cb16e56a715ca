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

# Request number and structure of each query, from the kernel's videodev2.h. The number includes the size of the
# structure; none has changed since Linux 2.6.19.
QUERYCAP = (0x80685600, struct.Struct("<16s32s32sIII12x"))
ENUM_FORMAT = (0xC0405602, struct.Struct("<III32sII12x"))
ENUM_SIZE = (0xC02C564A, struct.Struct("<IIIIIIIII8x"))
ENUM_INTERVAL = (0xC034564B, struct.Struct("<IIIIIIIIIII8x"))
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
    request, layout = QUERYCAP
    buffer = bytearray(layout.size)
    ioctl(file, request, buffer)
    _, card, _, _, capabilities, device_capabilities = layout.unpack(buffer)
    if not (device_capabilities if capabilities & DEVICE_CAPS else capabilities) & CAPTURE:
        return None
    return bytes(card).split(b"\0")[0].decode(errors="replace")


def _v4l2_modes(file: int, ioctl: Ioctl) -> Iterator[Mode]:
    for _, _, _, _, pixels, _ in _enumerate(file, ioctl, ENUM_FORMAT, (), (CAPTURE, 0, b"", 0, 0)):
        for _, _, kind, *numbers in _enumerate(file, ioctl, ENUM_SIZE, (pixels,), (0,) * 7):
            # A range is given as minimum, maximum and step of width and height.
            width, height = numbers[:2] if kind == DISCRETE else (numbers[1], numbers[4])
            yield Mode(width, height, tuple(_rates(file, ioctl, pixels, width, height)))
            if kind != DISCRETE:
                break


def _rates(file: int, ioctl: Ioctl, pixels: int, width: int, height: int) -> Iterator[float]:
    for answer in _enumerate(file, ioctl, ENUM_INTERVAL, (pixels, width, height), (0,) * 7):
        numerator, denominator = answer[5:7]  # for a range, its shortest interval
        if numerator:
            yield round(denominator / numerator, 2)


def _enumerate(
    file: int, ioctl: Ioctl, query: tuple[int, struct.Struct], key: tuple[int, ...], empty: tuple[object, ...]
) -> Iterator[tuple[int, ...]]:
    """Yield the entries of a list that the driver keeps, until it reports the end of the list.

    Args:
        file: descriptor of the device.
        ioctl: as for `v4l2_cameras`.
        query: request number and structure.
        key: fields after the index that name the list.
        empty: the other fields, which the driver fills in.
    """
    request, layout = query
    for index in range(MAX_ENTRIES):
        buffer = bytearray(layout.pack(index, *key, *empty))
        try:
            ioctl(file, request, buffer)
        except OSError:
            return
        yield layout.unpack(buffer)


def _merge_modes(found: Iterable[Mode]) -> tuple[Mode, ...]:
    """Merge modes of the same size; largest size first."""
    rates: dict[tuple[int, int], set[float]] = {}
    for mode in found:
        rates.setdefault((mode.width, mode.height), set()).update(mode.fps)
    sizes = sorted(rates, key=lambda size: (size[0] * size[1], size), reverse=True)
    return tuple(Mode(*size, tuple(sorted(rates[size], reverse=True))) for size in sizes)
