"""Streams to real receivers, which are made with PyAV."""

import socket
import subprocess
import threading
import time
import types
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest

from pipeline.live.sinks.sink import SinkError
from pipeline.live.sinks.stream import StreamSink
from tests.support.live import audio_frame, live_frame
from tests.support.media import moving_square


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


class Receiver(threading.Thread):
    """Accepts one connection at ``url`` and decodes it until it ends or ``enough`` frames have arrived."""

    def __init__(self, url: str, *, format: str | None = None, enough: int = 10_000, **options: str) -> None:
        super().__init__(daemon=True)
        self._url, self._format, self._options, self._enough = url, format, options, enough
        self.frames: list[np.ndarray] = []
        self.times: list[Fraction] = []
        self.key_frames = self.audio_frames = 0
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            with av.open(self._url, format=self._format, options=self._options) as container:
                self._receive(container)
        except (av.FFmpegError, OSError) as error:
            self.error = error

    def _receive(self, container) -> None:
        for packet in container.demux():
            for decoded in packet.decode():
                if isinstance(decoded, av.AudioFrame):
                    self.audio_frames += 1
                    continue
                self.frames.append(decoded.to_ndarray(format="rgb24", src_colorspace=1, dst_color_range=2))
                self.key_frames += decoded.key_frame
                if decoded.pts is not None:  # RTSP's first frames arrive before the clock that they refer to
                    self.times.append(decoded.pts * decoded.time_base)
            if len(self.frames) >= self._enough:
                return


def opened(url: str, notify: Callable[[str], None] = print, **options) -> StreamSink:
    """A sink for frames of 64x48 at 30 fps."""
    sink = StreamSink(url, notify, **options)
    sink.open(64, 48, Fraction(30))
    return sink


def connect(sink: StreamSink) -> None:
    """Write the first frame; the sink's process takes longer to start than the receiver to listen."""
    time.sleep(0.2)
    sink.write(live_frame())


@pytest.mark.parametrize("protocol", ["rtmp", "rtsp", "tcp"])
def test_a_server_receives_frames_and_audio(protocol: str) -> None:
    url = f"{protocol}://127.0.0.1:{free_port()}" + ("" if protocol == "tcp" else "/live/key")
    if protocol == "tcp":
        receiver = Receiver(f"{url}?listen=1")
    elif protocol == "rtsp":
        receiver = Receiver(url, rtsp_flags="listen", listen_timeout="20")
    else:
        receiver = Receiver(url, listen="1")
    messages: list[str] = []
    sink = opened(url, messages.append, has_audio=True)
    connect(sink)
    for index in range(1, 90):
        sink.write_audio(audio_frame((index - 1) / 30, 1 / 30))
        sink.write(live_frame(index, index / 30))
    sink.close()
    receiver.join(30)
    assert messages == []
    assert receiver.error is None or protocol == "rtmp"  # where closing the connection is an error
    assert len(receiver.frames) == 90
    assert receiver.audio_frames > 50
    assert float(receiver.times[-1] - receiver.times[-31]) == pytest.approx(1, abs=0.01)
    assert np.abs(receiver.frames[0].astype(int) - moving_square(0)).mean() < 12
    assert receiver.key_frames == 2, "one every two seconds"


def test_a_player_may_join_a_udp_stream_at_any_time() -> None:
    port = free_port()
    sink = opened(f"udp://127.0.0.1:{port}")
    connect(sink)
    receiver = Receiver(f"udp://127.0.0.1:{port}?timeout=5000000", format="mpegts", enough=20)
    for index in range(1, 600):
        sink.write(live_frame(index, index / 30))
        time.sleep(0.005)
        if not receiver.is_alive():
            break
    sink.close()
    receiver.join(10)
    assert len(receiver.frames) >= 20, receiver.error


def test_a_lost_connection_is_reported_once_and_restored() -> None:
    url = f"rtmp://127.0.0.1:{free_port()}/live/key"
    clock = types.SimpleNamespace(now=0.0)
    messages: list[str] = []
    first = Receiver(url, listen="1", enough=5)
    sink = opened(url, messages.append, clock=lambda: clock.now)
    connect(sink)
    index = 1

    def write() -> None:
        nonlocal index
        sink.write(live_frame(index, index / 30))
        index += 1

    while not messages and index < 3000:  # the system buffers some of what nobody reads
        write()
        time.sleep(0.002)
    first.join(10)
    assert len(messages) == 1
    assert "connection lost" in messages[0]
    for _ in range(3):
        clock.now += 60
        write()
    assert len(messages) == 1
    second = Receiver(url, listen="1")
    for _ in range(100):
        clock.now += 60
        write()
        if len(messages) > 1:
            break
        time.sleep(0.05)
    assert messages[1] == f"stream {url.removesuffix('/live/key')}: reconnected"
    for _ in range(30):
        write()
    sink.close()
    second.join(20)
    assert len(second.frames) >= 25


class BrokenConnection:
    """Every write fails."""

    is_connected = False

    @property
    def writer(self) -> object:
        raise BrokenPipeError

    def close(self) -> str:
        return "Connection refused"


class LateConnection(BrokenConnection):
    """A connection that was accepted, which is known only after it is closed."""

    def close(self) -> str:
        self.is_connected = True
        return "Broken pipe"


def test_a_connection_that_breaks_at_once_is_retried() -> None:
    messages: list[str] = []
    sink = opened("udp://127.0.0.1:9", messages.append, connect=lambda *_: LateConnection())
    sink.write(live_frame())
    assert len(messages) == 1
    assert "Broken pipe" in messages[0]


def test_the_pause_doubles_after_each_failure() -> None:
    clock = types.SimpleNamespace(now=0.0)
    messages: list[str] = []
    attempts: list[float] = []

    def connect(*_: object) -> BrokenConnection:
        attempts.append(clock.now)
        return BrokenConnection() if len(attempts) > 1 else LateConnection()

    sink = opened("udp://127.0.0.1:9", messages.append, clock=lambda: clock.now, connect=connect)
    for number in range(1200):
        clock.now = number / 10
        sink.write(live_frame(number, number / 10))
    assert [round(after - before) for before, after in pairwise(attempts)] == [1, 2, 4, 8, 16, 30, 30]
    assert len(messages) == 1


def write_until_it_fails(sink: StreamSink) -> None:
    for index in range(3000):
        sink.write(live_frame(index, index / 30))
        time.sleep(0.01)


def test_a_missing_server_is_a_sink_error() -> None:
    sink = opened(f"rtmp://127.0.0.1:{free_port()}/live/secret")
    with pytest.raises(SinkError, match="Connection refused") as caught:
        write_until_it_fails(sink)
    assert "secret" not in str(caught.value)
    sink.close()


def test_the_password_of_an_rtsp_stream_does_not_follow_a_redirection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as other:
        host, elsewhere = (f"127.0.0.1:{listening.getsockname()[1]}" for listening in (server, other))
        other.settimeout(0)

        def redirect() -> None:
            connection, _ = server.accept()
            with connection:
                for answer in (
                    '401 Unauthorized\r\nWWW-Authenticate: Basic realm="x"',
                    f"302 Moved\r\nLocation: rtsp://{elsewhere}/",
                ):
                    requests.append(connection.recv(4096).decode())
                    connection.sendall(f"RTSP/1.0 {answer}\r\nCSeq: {len(requests)}\r\n\r\n".encode())

        requests: list[str] = []
        thread = threading.Thread(target=redirect)
        thread.start()
        sink = opened(f"rtsp://me:word@{host}/live")
        with pytest.raises(SinkError, match="no connection"):
            write_until_it_fails(sink)
        sink.close()
        thread.join(10)
        assert "Authorization: Basic" in requests[-1]
        with pytest.raises(BlockingIOError):
            other.accept()


def test_an_unresponsive_server_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        sink = opened(f"rtmp://127.0.0.1:{server.getsockname()[1]}/live/key", stall_seconds=1.0)
        with pytest.raises(SinkError, match="no answer"):
            write_until_it_fails(sink)
        sink.close()


@pytest.mark.parametrize("scheme", ["rtmp", "rtmps"])
def test_other_users_do_not_see_the_url(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    commands: list[list[str]] = []
    real = subprocess.Popen

    def popen(command: list[str], **options: object) -> object:
        commands.append(command)
        return real(command, **options)

    monkeypatch.setattr(subprocess, "Popen", popen)
    sink = opened(f"{scheme}://127.0.0.1:1/SECRET")
    sink.write(live_frame())
    sink.close()
    assert len(commands) == 1
    assert "SECRET" not in " ".join(commands[0])


@pytest.mark.parametrize("url", ["srt://host:1", "http://host/a", "rtmp:", "file.mkv", "udp:///tmp/x"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="rtmp"):
        StreamSink(url, print)


def test_secrets_are_not_shown() -> None:
    assert (
        StreamSink("rtmp://me:word@live.example:1935/app/key-123?x=1", print).name == "stream rtmp://live.example:1935"
    )
    assert StreamSink("udp://239.0.0.1:1234", print).name == "stream udp://239.0.0.1:1234"
