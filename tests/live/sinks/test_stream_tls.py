"""The server of an encrypted stream is who it says it is, before it gets the stream key."""

import socket
import ssl
import threading
import time
import types
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pipeline.live.sinks.sink import SinkError
from pipeline.live.sinks.stream import StreamSink
from tests.live.sinks.test_stream import Receiver, connect, free_port, opened, write_until_it_fails
from tests.support.live import audio_frame, live_frame
from tests.support.live.servers import LocalServer

TLS = Path(__file__).parents[2] / "support" / "live" / "tls"


class TlsFront(LocalServer):
    """Decrypts what arrives at `port` and passes it on to a local port, as a proxy before a server does.

    Attributes:
        port: where it listens.
        certificate: for the next connection.
        behind: port to pass the next connection on to; None to close it after it has sent something.
        received: all that clients sent after their handshake.
        connections: number of connections, also those whose handshake failed.
    """

    def __init__(self, certificate: str, behind: int | None) -> None:
        self.certificate, self.received, self.connections = certificate, b"", 0
        self.behind = behind
        super().__init__()

    def serve(self, connection: socket.socket) -> None:
        self.connections += 1
        connection.settimeout(20)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(TLS / self.certificate)
        self._pass_on(context.wrap_socket(connection, server_side=True))

    def _pass_on(self, client: ssl.SSLSocket) -> None:
        if self.behind is None:
            with client:
                self._receive(client)
            return
        with client, socket.create_connection(("127.0.0.1", self.behind)) as server:
            back = threading.Thread(target=self._send_back, args=(server, client), daemon=True)
            back.start()
            while data := self._receive(client):
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)
            back.join(10)

    def _receive(self, client: ssl.SSLSocket) -> bytes:
        data = client.recv(65536)
        self.received += data
        return data

    def _send_back(self, server: socket.socket, client: ssl.SSLSocket) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)


@contextmanager
def front(certificate: str, behind: int | None = None) -> Iterator[TlsFront]:
    server = TlsFront(certificate, behind)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system trusts the authority of ``server.pem``."""
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "authority.pem"))


def send(sink: StreamSink, count: int) -> None:
    connect(sink)
    for index in range(1, count):
        sink.write_audio(audio_frame((index - 1) / 30, 1 / 30))
        sink.write(live_frame(index, index / 30))


def failure(sink: StreamSink) -> str:
    with pytest.raises(SinkError) as caught:
        write_until_it_fails(sink)
    sink.close()
    return str(caught.value)


def test_a_server_with_a_valid_certificate_receives_all(trusted: None) -> None:
    """It also sees its own name, as a server of many names needs it."""
    port = free_port()
    receiver = Receiver(f"rtmp://127.0.0.1:{port}/live/a'key|[x]\\y", listen="1")
    with front("server.pem", port) as server:
        messages: list[str] = []
        sink = opened(f"rtmps://localhost:{server.port}/live/a'key|[x]\\y?a=b:c", messages.append, has_audio=True)
        send(sink, 60)
        sink.close()
        receiver.join(20)
        assert messages == []
        received = server.received.replace(b"\xc3", b"")  # where RTMP splits messages
        assert f"rtmps://localhost:{server.port}/live".encode() in received
        assert b"a'key|[x]\\y?a=b:c" in received
    assert len(receiver.frames) == 60
    assert receiver.audio_frames > 30


@pytest.mark.parametrize("known", [True, False], ids=["another-name", "nobody"])
def test_a_stranger_gets_nothing(known: bool, trusted: None) -> None:
    with front("server.pem" if known else "stranger.pem") as server:
        message = failure(opened(f"rtmps://{'127.0.0.1' if known else 'localhost'}:{server.port}/live/SECRET"))
        assert server.received == b""
    assert "certificate" in message
    assert "SECRET" not in message


def test_a_stranger_gets_nothing_when_the_stream_reconnects(trusted: None) -> None:
    port, messages = free_port(), list[str]()
    clock = types.SimpleNamespace(now=0.0)
    first = Receiver(f"rtmp://127.0.0.1:{port}/live/SECRET", listen="1", enough=5)
    with front("server.pem", port) as server:
        sink = opened(f"rtmps://localhost:{server.port}/live/SECRET", messages.append, clock=lambda: clock.now)
        send(sink, 2)
        index = 2
        while not messages or server.connections == 1:
            if messages and server.certificate == "server.pem":
                first.join(20)
                received = server.received
                server.certificate, server.behind = "stranger.pem", None
                clock.now += 60
            sink.write(live_frame(index, index / 30))
            index += 1
            time.sleep(0.005)
        sink.close()
    assert server.received == received
    assert b"SECRET" in received
    assert len(messages) == 1
