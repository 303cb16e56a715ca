"""Streams into real receivers, made with PyAV; and the virtual camera, its driver alone faked."""

import socket
import sys
import threading
import time
import types
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import av
import numpy as np
import pytest

from pipeline.live.frames import LiveFrame
from pipeline.live.sinks import stream_process
from pipeline.live.sinks.sink import AudioSink, SinkError
from pipeline.live.sinks.stream import StreamSink, shown
from pipeline.live.sinks.virtual_camera import VirtualCameraSink
from tests.live.sinks.test_record import START, frame, sound_piece
from tests.support.media import moving_square


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


class Receiver(threading.Thread):
    """Takes one connection at ``url``, until it ends or enough has come."""

    def __init__(self, url: str, *, form: str | None = None, enough: int = 10_000, **options: str) -> None:
        super().__init__(daemon=True)
        self._url, self._form, self._options, self._enough = url, form, options, enough
        self.frames: list[np.ndarray] = []
        self.times: list[Fraction] = []
        self.keys = 0
        self.audios = 0
        self.error: Exception | None = None
        self.first = threading.Event()
        self.start()

    def run(self) -> None:
        try:
            with av.open(self._url, format=self._form, options=self._options) as container:
                self._receive(container)
        except (av.FFmpegError, OSError) as error:
            self.error = error

    def _receive(self, container) -> None:
        for packet in container.demux():
            for decoded in packet.decode():
                if isinstance(decoded, av.AudioFrame):
                    self.audios += 1
                    continue
                self.frames.append(decoded.to_ndarray(format="rgb24", src_colorspace=1, dst_color_range=2))
                if decoded.key_frame:
                    self.keys += 1
                if decoded.pts is not None:  # RTSP's first ones come before the clock that they belong to
                    self.times.append(decoded.pts * decoded.time_base)
                self.first.set()
            if len(self.frames) >= self._enough:
                return


def connect(sink: StreamSink) -> None:
    """Write the first picture; the connection's process takes longer to begin than the receiver to listen."""
    sink.open(64, 48, Fraction(30))
    time.sleep(0.2)
    sink.write(frame(0, 0))


def send(sink: StreamSink, count: int, *, audio: bool = False, pause: float = 0) -> None:
    for index in range(1, count):
        if audio:
            sink.audio(sound_piece((index - 1) / 30, 1 / 30))
        sink.write(frame(index, index / 30))
        time.sleep(pause)


@pytest.mark.parametrize("protocol", ["rtmp", "rtsp", "tcp"])
def test_a_server_sees_the_pictures_and_hears_the_sound(protocol: str) -> None:
    url = f"{protocol}://127.0.0.1:{free_port()}/live/key".removesuffix("/live/key" if protocol == "tcp" else "")
    options = {"rtsp_flags": "listen", "listen_timeout": "20"} if protocol == "rtsp" else {"listen": "1"}
    address = f"{url}?listen=1" if protocol == "tcp" else url
    receiver = Receiver(address, **({} if protocol == "tcp" else options))
    notes: list[str] = []
    sink = StreamSink(url, notes.append, audio=True)
    connect(sink)
    send(sink, 90, audio=True)
    sink.close()
    receiver.join(30)
    assert notes == []
    assert receiver.error is None or protocol == "rtmp"  # there, a goodbye is an error
    assert len(receiver.frames) == 90
    assert receiver.audios > 50
    assert float(receiver.times[-1] - receiver.times[-31]) == pytest.approx(1, abs=0.01)
    assert np.abs(receiver.frames[0].astype(int) - moving_square(0)).mean() < 12
    assert receiver.keys == 2, "one each two seconds"


def test_a_player_may_join_a_udp_stream_at_any_time() -> None:
    port = free_port()
    sink = StreamSink(f"udp://127.0.0.1:{port}", print)
    connect(sink)
    receiver = Receiver(f"udp://127.0.0.1:{port}?timeout=5000000", form="mpegts", enough=20)
    for index in range(1, 600):
        sink.write(frame(index, index / 30))
        time.sleep(0.005)
        if not receiver.is_alive():
            break
    sink.close()
    receiver.join(10)
    assert len(receiver.frames) >= 20, receiver.error


def test_a_broken_connection_is_said_once_and_made_again() -> None:
    url = f"rtmp://127.0.0.1:{free_port()}/live/key"
    clock = types.SimpleNamespace(now=0.0)
    notes: list[str] = []
    first = Receiver(url, listen="1", enough=5)
    sink = StreamSink(url, notes.append, clock=lambda: clock.now)
    connect(sink)
    index = 1
    while not notes and index < 3000:  # the system's buffers take some of what nobody reads any more
        sink.write(frame(index, index / 30))
        index += 1
        time.sleep(0.002)
    first.join(10)
    assert len(notes) == 1
    assert "the connection broke" in notes[0]
    for _ in range(3):
        clock.now += 60
        sink.write(frame(index, index / 30))
        index += 1
    assert len(notes) == 1
    second = Receiver(url, listen="1")
    for _ in range(100):
        clock.now += 60
        sink.write(frame(index, index / 30))
        index += 1
        if len(notes) > 1:
            break
        time.sleep(0.05)
    assert notes[1] == "stream rtmp://127.0.0.1:" + url.split(":")[2].split("/")[0] + ": connected again"
    send_from = index
    for index in range(send_from, send_from + 30):
        sink.write(frame(index, index / 30))
    sink.close()
    second.join(20)
    assert len(second.frames) >= 25


class BrokenLink:
    """A connection that never comes about."""

    is_connected = False

    def send(self, frame: LiveFrame | None, audios: list[av.AudioFrame]) -> None:
        raise BrokenPipeError

    def close(self) -> str:
        return "Connection refused"


class LateLink(BrokenLink):
    """A connection that was there, which is heard of only when it is closed."""

    def close(self) -> str:
        self.is_connected = True
        return "Broken pipe"


def test_a_connection_that_breaks_at_once_was_one(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    sink = StreamSink("udp://127.0.0.1:9", notes.append)
    sink.open(64, 48, Fraction(30))
    monkeypatch.setattr(sink, "_connect", lambda origin: LateLink())
    sink.write(frame(0, 0))
    assert notes == ["stream udp://127.0.0.1:9: the connection broke (Broken pipe); trying again"]


def test_it_waits_longer_after_each_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = types.SimpleNamespace(now=0.0)
    notes: list[str] = []
    sink = StreamSink("udp://127.0.0.1:9", notes.append, clock=lambda: clock.now)
    sink.open(64, 48, Fraction(30))
    tries: list[float] = []
    monkeypatch.setattr(sink, "_connect", lambda origin: tries.append(clock.now) or BrokenLink())
    monkeypatch.setattr(sink, "_was_connected", True)
    for number in range(1200):
        clock.now = number / 10
        sink.write(frame(number, number / 10))
    waits = [round(after - before) for before, after in pairwise(tries)]
    assert waits == [1, 2, 4, 8, 16, 30, 30]
    assert notes == ["stream udp://127.0.0.1:9: the connection broke (Connection refused); trying again"]


def write_until_it_fails(sink: StreamSink) -> None:
    for index in range(3000):
        sink.write(frame(index, index / 30))
        time.sleep(0.01)


def test_nobody_there_is_an_error_of_the_sink() -> None:
    sink = StreamSink(f"rtmp://127.0.0.1:{free_port()}/live/secret", print)
    sink.open(64, 48, Fraction(30))
    with pytest.raises(SinkError, match=r"no connection \(Connection refused\)") as caught:
        write_until_it_fails(sink)
    assert "secret" not in str(caught.value)
    sink.close()


def test_a_server_that_says_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Path(stream_process.__file__).read_text(encoding="utf-8")
    impatient = tmp_path / "stream_process.py"
    impatient.write_text(script.replace("STALL_SECONDS = 10.0", "STALL_SECONDS = 1.0"), encoding="utf-8")
    monkeypatch.setattr(stream_process, "__file__", str(impatient))
    with socket.create_server(("127.0.0.1", 0)) as server:
        sink = StreamSink(f"rtmp://127.0.0.1:{server.getsockname()[1]}/live/key", print)
        sink.open(64, 48, Fraction(30))
        with pytest.raises(SinkError, match="it does not answer"):
            write_until_it_fails(sink)
        sink.close()


@pytest.mark.parametrize("url", ["srt://host:1", "http://host/a", "rtmp:", "file.mkv", "udp:///tmp/x"])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="rtmp"):
        StreamSink(url, print)


def test_secrets_are_not_shown() -> None:
    assert shown("rtmp://me:word@live.example:1935/app/key-123?x=1") == "rtmp://live.example:1935"
    assert shown("udp://239.0.0.1:1234") == "udp://239.0.0.1:1234"


def test_the_sink_takes_sound() -> None:
    assert isinstance(StreamSink("udp://127.0.0.1:9", print), AudioSink)


class FakeCamera:
    """What pyvirtualcam 0.15 has, as far as it is used; see letmaik.github.io/pyvirtualcam."""

    made: ClassVar[list["FakeCamera"]] = []

    def __init__(self, width: int, height: int, fps: float, *, device: str | None = None) -> None:
        if device == "/dev/none":
            raise RuntimeError("'v4l2loopback' backend: No v4l2 loopback device found at /dev/video[0-99]\nmore")
        self.shape, self.fps, self.device, self.sent, self.closed = (height, width, 3), fps, "/dev/video9", [], False
        FakeCamera.made.append(self)

    def send(self, frame: np.ndarray) -> None:
        assert frame.dtype == np.uint8
        assert frame.shape == self.shape
        if len(self.sent) == 2:
            raise RuntimeError("error writing frame")
        self.sent.append(frame.copy())

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Callable[[], FakeCamera]:
    FakeCamera.made.clear()
    monkeypatch.setitem(sys.modules, "pyvirtualcam", types.SimpleNamespace(Camera=FakeCamera))
    return lambda: FakeCamera.made[0]


def test_a_virtual_camera_gets_each_picture(driver: Callable[[], FakeCamera]) -> None:
    notes: list[str] = []
    sink = VirtualCameraSink(notes.append)
    sink.open(64, 48, Fraction(30000, 1001))
    pixels = np.asfortranarray(moving_square(3))
    sink.write(LiveFrame(pixels, pixels, START, 0))
    sink.idle()
    sink.close()
    sink.close()
    camera = driver()
    assert (camera.sent[0] == moving_square(3)).all()
    assert camera.fps == pytest.approx(29.97, abs=0.01)
    assert camera.closed
    assert notes == ["virtual camera: choose /dev/video9 in the other program"]


def test_a_driver_that_breaks_is_an_error_of_the_sink(driver: Callable[[], FakeCamera]) -> None:
    sink = VirtualCameraSink(print)
    sink.open(64, 48, Fraction(30))
    sink.write(frame(0, 0))
    sink.write(frame(1, 1))
    with pytest.raises(SinkError, match="takes no more"):
        sink.write(frame(2, 2))


@pytest.mark.parametrize(("system", "remedy"), [("linux", "exclusive_caps=1"), ("darwin", "OBS"), ("win32", "Unity")])
def test_no_driver_is_an_error_with_a_remedy(
    driver: Callable[[], FakeCamera], system: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.live.sinks.virtual_camera.sys.platform", system)
    sink = VirtualCameraSink(print, device="/dev/none")
    with pytest.raises(SinkError, match=remedy) as caught:
        sink.open(64, 48, Fraction(30))
    assert "\n" not in str(caught.value)
    sink.close()


def test_without_pyvirtualcam_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(SinkError, match=r"flowbrush\[virtualcam\]"):
        VirtualCameraSink(print).open(64, 48, Fraction(30))
