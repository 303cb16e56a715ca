"""Which cameras there are, with their sizes and rates."""

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

# Of the kernel's videodev2.h; the numbers hold the size of the structure, and have been the same since Linux 2.6.19.
QUERYCAP = (0x80685600, struct.Struct("<16s32s32sIII12x"))
ENUM_FORMAT = (0xC0405602, struct.Struct("<III32sII12x"))
ENUM_SIZE = (0xC02C564A, struct.Struct("<IIIIIIIII8x"))
ENUM_INTERVAL = (0xC034564B, struct.Struct("<IIIIIIIIIII8x"))
CAPTURE, DEVICE_CAPS = 1, 0x80000000
DISCRETE = 1
MOST = 200

# "1280x720@[1.000000 30.000000]fps" of avfoundation; "min s=640x480 fps=5 max s=1280x720 fps=30" of dshow.
APPLE_MODE = re.compile(r"(\d+)x(\d+)@\[([\d.]+) ([\d.]+)\]fps")
WINDOWS_MODE = re.compile(r"max s=(\d+)x(\d+) fps=([\d.]+)")

Ioctl = Callable[[int, int, bytearray], object]


@dataclass(frozen=True, slots=True)
class Mode:
    """A size that a camera gives pictures in.

    Attributes:
        width: in pixels.
        height: in pixels.
        fps: pictures a second, most first; empty where the camera does not tell.
    """

    width: int
    height: int
    fps: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera.

    Attributes:
        index: what ``flowbrush live`` takes, as text.
        device: the system's name of it.
        name: the maker's.
        modes: largest first; empty where the camera does not tell, or another program has it.
    """

    index: str
    device: str
    name: str
    modes: tuple[Mode, ...] = ()


def list_cameras() -> list[Camera]:
    """The cameras of this machine, in the order of their indices; never raises for one that cannot be asked."""
    if sys.platform == "linux":
        from fcntl import ioctl

        return list(v4l2_cameras(Path("/sys/class/video4linux"), ioctl))
    form = "avfoundation" if sys.platform == "darwin" else "dshow"
    with suppress(av.FFmpegError, OSError, ValueError):
        found = [device for device in enumerate_input_devices(form) if "video" in device.media_types]
        return [
            Camera(str(index), device.name, device.description or device.name, _asked(form, device.name))
            for index, device in enumerate(found)
        ]
    return []


def v4l2_cameras(folder: Path, ioctl: Ioctl, devices: Path = Path("/dev")) -> Iterator[Camera]:
    """Cameras of Linux: what of ``folder`` captures pictures; metadata and output devices are left out.

    Args:
        folder: the kernel's list, one entry a device.
        ioctl: as that of `fcntl`.
        devices: where the devices are.
    """
    entries = [entry for entry in folder.glob("video*") if entry.name[5:].isdigit()]
    for entry in sorted(entries, key=lambda entry: int(entry.name[5:])):
        index, device = entry.name[5:], devices / entry.name
        try:
            with device.open("rb", buffering=0) as file:
                name = _capture_name(file.fileno(), ioctl)
                if name is not None:
                    yield Camera(index, str(device), name, _modes(_v4l2_modes(file.fileno(), ioctl)))
        except PermissionError:
            name = (entry / "name").read_text(encoding="utf-8", errors="replace").strip()
            yield Camera(index, str(device), f"{name} (not permitted; add yourself to the group video)")
        except OSError:  # gone meanwhile, or no V4L2 device of today's kind
            continue


def read_modes(text: str) -> tuple[Mode, ...]:
    """The modes that FFmpeg's avfoundation or dshow names in its messages."""
    apple = [Mode(int(m[1]), int(m[2]), (float(m[4]), float(m[3]))) for m in APPLE_MODE.finditer(text)]
    windows = [Mode(int(m[1]), int(m[2]), (float(m[3]),)) for m in WINDOWS_MODE.finditer(text)]
    return _modes([*apple, *windows])


def _asked(form: str, device: str) -> tuple[Mode, ...]:
    """FFmpeg tells a camera's modes in messages alone: on macOS when it is asked for a rate that it has not."""
    options = {"list_options": "true"} if form == "dshow" else {"framerate": "999"}
    name = f"video={device}" if form == "dshow" else device
    level = av_logging.get_level()
    av_logging.set_level(av_logging.INFO)
    try:
        with av_logging.Capture(local=False) as messages:
            with suppress(av.FFmpegError, OSError):
                av.open(name, mode="r", format=form, options=options).close()
            return read_modes("\n".join(message for _, _, message in messages))
    finally:
        av_logging.set_level(level)


def _capture_name(file: int, ioctl: Ioctl) -> str | None:
    """The camera's name; None for a device that does not capture pictures."""
    number, form = QUERYCAP
    buffer = bytearray(form.size)
    ioctl(file, number, buffer)
    _, card, _, _, capabilities, own = form.unpack(buffer)
    if not (own if capabilities & DEVICE_CAPS else capabilities) & CAPTURE:
        return None
    return bytes(card).split(b"\0")[0].decode(errors="replace")


def _v4l2_modes(file: int, ioctl: Ioctl) -> Iterator[Mode]:
    for _, _, _, _, pixels, _ in _enumerated(file, ioctl, ENUM_FORMAT, (), (CAPTURE, 0, b"", 0, 0)):
        for _, _, kind, *numbers in _enumerated(file, ioctl, ENUM_SIZE, (pixels,), (0,) * 7):
            # A range of sizes is given as its least, its greatest and the step.
            width, height = numbers[:2] if kind == DISCRETE else (numbers[1], numbers[4])
            yield Mode(width, height, tuple(_rates(file, ioctl, pixels, width, height)))
            if kind != DISCRETE:
                break


def _rates(file: int, ioctl: Ioctl, pixels: int, width: int, height: int) -> Iterator[float]:
    for answer in _enumerated(file, ioctl, ENUM_INTERVAL, (pixels, width, height), (0,) * 7):
        numerator, denominator = answer[5:7]  # of the shortest interval, where a range is given
        if numerator:
            yield round(denominator / numerator, 2)


def _enumerated(
    file: int, ioctl: Ioctl, what: tuple[int, struct.Struct], asked: tuple[int, ...], rest: tuple[object, ...]
) -> Iterator[tuple[int, ...]]:
    """All answers to a question with an index, until the driver says that there are no more."""
    number, form = what
    for index in range(MOST):
        buffer = bytearray(form.pack(index, *asked, *rest))
        try:
            ioctl(file, number, buffer)
        except OSError:
            return
        yield form.unpack(buffer)


def _modes(found: Iterable[Mode]) -> tuple[Mode, ...]:
    """Each size once, with all rates of all pixel formats; largest first."""
    rates: dict[tuple[int, int], set[float]] = {}
    for mode in found:
        rates.setdefault((mode.width, mode.height), set()).update(mode.fps)
    sizes = sorted(rates, key=lambda size: (size[0] * size[1], size), reverse=True)
    return tuple(Mode(*size, tuple(sorted(rates[size], reverse=True))) for size in sizes)
