"""What comes over a network: where it begins, how late it may be, at which pace, and what is never said of it."""

import errno
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.decode import open as opening
from pipeline.errors import InputError
from pipeline.live.capture import stream as container
from pipeline.live.capture.inputs import stream
from pipeline.live.capture.pacing import Backlog, Use
from pipeline.live.capture.stream import ContainerDevice
from tests.support.media import Clip, make_clip, moving_square


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The files of ``folder`` over http."""

    class Serve(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Serve)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def long_clip(path: Path, count: int, every: int) -> Path:
    """Pictures at 30 a second, the first of which is white, with a key picture every so many."""
    with av.open(str(path), "w", format="mpegts") as output:
        video = output.add_stream("libx264", rate=30, options={"preset": "ultrafast", "tune": "zerolatency"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.gop_size = every
        for number in range(count):
            picture = moving_square(number % 10) if number else np.full((48, 64, 3), 255, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
    return path


def test_the_first_key_picture_of_a_stream_is_not_lost(tmp_path: Path) -> None:
    """The next one would come six seconds, 180 pictures, later."""
    sent = long_clip(tmp_path / "long.ts", 200, 180).read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                for begin in range(0, len(sent), 188 * 5):
                    connection.sendall(sent[begin : begin + 188 * 5])
                    time.sleep(0.01)

        sender = threading.Thread(target=serve)
        sender.start()
        device = stream(f"tcp://127.0.0.1:{server.getsockname()[1]}")
        device.open()
        taken = device.read()
        device.close()
        sender.join()
    assert taken is not None
    assert taken.pixels.min() > 240


@pytest.mark.parametrize("name", ["clip.mp4", "killed.mkv"])
def test_a_file_of_the_net_plays_at_its_own_pace_and_ends(tmp_path: Path, name: str) -> None:
    """A recording whose writer was killed does not say how long it is."""
    path = make_clip(tmp_path / name, Clip(pts=range(0, 512 * 15, 512)))
    if name == "killed.mkv":
        path.write_bytes(path.read_bytes().replace(b"\x44\x89\x88", b"\xec\x80\x88"))  # no duration, but nothing
    with served(tmp_path) as address:
        device = stream(f"{address}/{name}")
        device.open()
        assert device._container is not None
        assert bool(device._container.duration) == (name == "clip.mp4")
        times = []
        while (taken := device.read()) is not None:
            times.append(taken.at)
        device.close()
    assert len(times) >= 14  # of the last ones, which the decoder hands out together, the newest
    assert all(at - times[0] >= number / 30 - 0.002 for number, at in enumerate(times))


def test_a_file_of_the_net_that_is_broken_off_has_not_ended(tmp_path: Path) -> None:
    sent = long_clip(tmp_path / "long.ts", 10, 5).read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(sent))
                connection.sendall(sent[: len(sent) // 2])

        sender = threading.Thread(target=serve)
        sender.start()
        device = stream(f"http://127.0.0.1:{server.getsockname()[1]}/long.ts")
        device.open()
        with pytest.raises(InputError, match="is broken"):
            list(iter(device.read, None))
        device.close()
        sender.join()


class Fake:
    """Packets that are made up."""

    def __init__(self, *packets: object) -> None:
        self.packets, self.asked = list(packets), 0

    def __next__(self) -> object:
        self.asked += 1
        packet = self.packets.pop(0) if len(self.packets) > 1 else self.packets[0]
        if isinstance(packet, Exception):
            raise packet
        return packet

    def __iter__(self) -> "Fake":
        return self


class Damaged:
    """A packet that no decoder takes."""

    dts = pts = time_base = None
    is_keyframe, size = False, 1

    def decode(self) -> list[av.VideoFrame]:
        time.sleep(0.001)
        raise av.InvalidDataError(1, "damaged")


def opened(packets: Fake, clock: Callable[[], float] = time.monotonic) -> ContainerDevice:
    device = ContainerDevice("test", "testsrc2=size=64x48:rate=30:duration=1", "lavfi", {}, clock=clock)
    device.open()
    device._packets = packets
    return device


def test_a_camera_that_has_nothing_yet_is_not_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = av.BlockingIOError(errno.EAGAIN, "nothing yet")
    device = opened(Fake(nothing))
    assert device.read() is not None, "read on from the device"
    again = Fake(nothing)
    monkeypatch.setattr(device, "_demux", lambda: again, raising=False)
    device._packets = again
    monkeypatch.setattr(container, "READ_SECONDS", 0.1)
    with pytest.raises(InputError, match="test: gives no more pictures"):
        device.read()
    device.close()


def test_what_cannot_be_decoded_is_given_up_and_may_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    device = opened(Fake(Damaged()))
    threading.Timer(0.1, device.stop).start()
    assert device.read() is None
    device.close()
    monkeypatch.setattr(container, "PICTURE_SECONDS", 0.1, raising=False)
    device = opened(Fake(Damaged()))
    with pytest.raises(InputError, match="test: none of its pictures can be decoded"):
        device.read()
    device.close()


class Numbered:
    """A packet of ten a second, whose picture is as bright as its number; each tenth is a key picture."""

    pts, size, time_base = None, 1, Fraction(1, 10)

    def __init__(self, number: int) -> None:
        self.dts, self.is_keyframe = number, number % 10 == 0

    def decode(self) -> list[av.VideoFrame]:
        return [av.VideoFrame.from_ndarray(np.full((48, 64, 3), self.dts, np.uint8), format="rgb24")]


def test_what_waited_while_nobody_read_is_left_out() -> None:
    now = 100.0
    device = opened(Fake(*map(Numbered, range(60))), lambda: now)
    assert (first := device.read()) is not None
    assert first.pixels.max() == 0
    now += 1.75
    assert (second := device.read()) is not None
    assert second.pixels.max() == 13, "the first that is within half a second of the newest"
    assert second.at == now
    device.close()


def test_silence_is_given_as_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyAV's own words for a time-out are "Immediate exit requested"."""
    monkeypatch.setattr(container, "OPEN_SECONDS", 0.2)
    with pytest.raises(InputError, match=r"cannot be opened \(nothing came within 0.2 s; is someone sending\?\)$"):
        stream("udp://127.0.0.1:52744").open()
    device = opened(Fake(av.ExitError(0, "Immediate exit requested")))
    with pytest.raises(InputError, match=r"^test: is broken \(nothing came within 5 s\)$"):
        device.read()
    device.close()


def test_a_stream_of_too_many_streams_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "MAX_STREAMS", 1)
    with pytest.raises(InputError, match="test: holds 1 streams or more"):
        opened(Fake())


def test_pictures_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "MAX_PIXELS", 100)
    device = ContainerDevice("test", "testsrc2=size=64x48:rate=30:duration=1", "lavfi", {})
    with pytest.raises(InputError, match="test: declares frames of 64x48"):
        device.open()
    assert device._container is None


def test_no_address_ends_in_a_traceback() -> None:
    with pytest.raises(InputError, match=r"^http://\[bad: cannot be opened"):
        stream("http://[bad/x").open()


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://h/x?password=secret", "http://h"),
        ("rtsp://user:secret@host:554/secret", "rtsp://host:554"),
        ("rtsp://user:sec#ret@host", "rtsp://host"),
        ("rtsp://user:12#34@host", "rtsp://..."),
        ("http://host/x?mail=me@secret", "http://..."),
        ("rtmp://host/SECRET", "rtmp://host"),
        ("http://[::1]:80/secret", "http://[::1]:80"),
        ("http://[bad/x", "http://[bad"),
        ("udp://239.0.0.1:port", "udp://239.0.0.1:port"),
        ("me:secret@host/secret", "host"),
        ("file.mkv", "file.mkv"),
        ("", ""),
    ],
)
def test_an_address_is_shown_without_what_may_be_secret(url: str, name: str) -> None:
    from pipeline.live.capture.address import shown

    assert shown(url) == name


def test_other_users_do_not_see_where_a_stream_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.live.sinks.stream import _Link

    commands: list[list[str]] = []
    real = subprocess.Popen

    def popen(command: list[str], **options: object) -> object:
        commands.append(command)
        return real(command, **options)

    monkeypatch.setattr(subprocess, "Popen", popen)

    def no_muxer(_: object) -> object:
        raise OSError

    link = _Link("rtmp://127.0.0.1:1/SECRET", "flv", no_muxer)
    link.close()
    assert "SECRET" not in " ".join(commands[0])


def uses(backlog: Backlog, numbers: range, now: Callable[[int], float], *, waited: float, leap: float = 0) -> list[Use]:
    """Pictures at 10 a second with a key picture every 10."""
    return [backlog.use_of(n / 10 + leap, n % 10 == 0, now(n), waited) for n in numbers]


def in_time(number: int) -> float:
    return 100 + number / 10


def test_who_falls_behind_decodes_and_shows_the_newest() -> None:
    backlog = Backlog()
    assert set(uses(backlog, range(15), in_time, waited=0.1)) == {Use.SHOW}
    at_once = uses(backlog, range(15, 25), lambda n: 102.5, waited=0.0)  # the reader stood still for a second
    assert at_once == [Use.HIDE] * 5 + [Use.SHOW] * 5
    assert set(uses(backlog, range(25, 60), in_time, waited=0.1)) == {Use.SHOW}


def test_who_does_not_catch_up_leaves_out_all_up_to_a_key_picture() -> None:
    backlog = Backlog()
    uses(backlog, range(15), in_time, waited=0.1)
    slowly = uses(backlog, range(15, 60), lambda n: 110 + n / 10, waited=0.0)  # decoding takes as long as there is
    assert slowly[:21] == [Use.HIDE] * 21
    assert slowly[21:25] == [Use.DROP] * 4
    assert slowly[25:36] == [Use.SHOW] + [Use.DROP] * 9 + [Use.SHOW]


def test_pictures_that_need_no_others_are_left_out_until_there_is_none_late() -> None:
    backlog = Backlog()
    assert {backlog.use_of(n / 10, True, in_time(n), 0.1) for n in range(15)} == {Use.SHOW}
    late = [backlog.use_of(n / 10, True, 102.5, 0.0) for n in range(15, 25)]
    assert late == [Use.DROP] * 5 + [Use.SHOW] * 5


def test_a_clock_that_goes_wrong_is_no_backlog() -> None:
    """After a leap of the source's time packets are waited for as before."""
    backlog = Backlog()
    uses(backlog, range(15), in_time, waited=0.1)
    assert uses(backlog, range(15, 45), in_time, waited=0.1, leap=-1000) == [Use.HIDE] + [Use.SHOW] * 29


def test_little_waits_in_the_queue_of_udp() -> None:
    assert int(stream("udp://127.0.0.1:5000")._options["fifo_size"]) * 188 <= 2.1e6
