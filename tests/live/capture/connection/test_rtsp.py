"""RTSP servers that ask for a password, and that lead elsewhere."""

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.live.capture.connection.rtsp import check_redirections
from tests.support.live.servers import LocalServer, first_frame
from tests.support.media import Clip, make_clip

TLS = Path(__file__).parents[3] / "support" / "live" / "tls"
SDP = b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:track\r\n"
BASIC = 'Basic realm="camera"'
DIGEST = 'Digest realm="camera", nonce="abc"'
LOGIN = "me:w%40rd"


class RtspServer(LocalServer):
    """Plays a transport stream, unless ``answer`` says otherwise.

    Args:
        clip: what it plays.
        answer: given method and header of a request, an answer to it, or an empty one.
        certificate: of a server that speaks TLS.

    Attributes:
        requests: all requests, as text.
    """

    def __init__(self, clip: bytes, answer: Callable[[str, str], str], certificate: str | None) -> None:
        self.requests: list[str] = []
        self._clip, self._answer = clip, answer
        self._context: ssl.SSLContext | None = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(TLS / certificate)
        super().__init__()
        self.host = f"localhost:{self.port}"

    def serve(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        if self._context is not None:
            connection = self._context.wrap_socket(connection, server_side=True)
        with connection:
            self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        data = b""
        while received := connection.recv(4096):
            data += received
            while b"\r\n\r\n" in data:
                request, _, data = data.partition(b"\r\n\r\n")
                self.requests.append(request.decode())
                self._reply(connection, request.decode())

    def _reply(self, connection: socket.socket, request: str) -> None:
        method = request.split()[0]
        answer, content = self._answer(method, request) or "200 OK\r\nSession: 1", b""
        if method == "DESCRIBE" and answer.startswith("200"):
            answer, content = f"{answer}\r\nContent-Type: application/sdp", SDP
        if method == "SETUP" and answer.startswith("200"):
            answer += "\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1"
        sequence = re.search(r"CSeq: *(\d+)", request)
        assert sequence is not None
        head = f"RTSP/1.0 {answer}\r\nCSeq: {sequence[1]}\r\nContent-Length: {len(content)}\r\n\r\n"
        connection.sendall(head.encode() + content)
        if method == "PLAY" and answer.startswith("200"):
            for number, start in enumerate(range(0, len(self._clip), 7 * 188)):
                packet = bytes((0x80, 33, 0, number % 256)) + bytes(8) + self._clip[start : start + 7 * 188]
                connection.sendall(b"$\0" + len(packet).to_bytes(2, "big") + packet)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("clip") / "clip.ts"
    return make_clip(path, Clip(pts=range(0, 512 * 30, 512)), form="mpegts").read_bytes()


@pytest.fixture
def serve(clip: bytes) -> Iterator[Callable[..., RtspServer]]:
    with ExitStack() as stack:

        def start(answer: Callable[[str, str], str] = lambda *_: "", certificate: str | None = None) -> RtspServer:
            return stack.enter_context(closing(RtspServer(clip, answer, certificate)))

        yield start


def challenge(kind: str) -> Callable[[str, str], str]:
    return lambda _, request: "" if "Authorization" in request else f"401 Unauthorized\r\nWWW-Authenticate: {kind}"


def moved(url: str, method: str, *, after: str = "") -> Callable[[str, str], str]:
    """Answer the method with a redirection, if the request has the text ``after``, else ask for the password."""

    def answer(asked: str, request: str) -> str:
        if after and after not in request:
            return challenge(BASIC if after == "Basic" else DIGEST)(asked, request)
        return f"302 Moved\r\nLocation: {url}" if asked == method else ""

    return answer


def test_a_server_is_played(serve: Callable[..., RtspServer]) -> None:
    assert first_frame(f"rtsp://{serve().host}/live") == (48, 64, 3)


@pytest.mark.parametrize("kind", [BASIC, DIGEST])
def test_a_server_with_a_password_is_played(serve: Callable[..., RtspServer], kind: str) -> None:
    assert first_frame(f"rtsp://{LOGIN}@{serve(challenge(kind)).host}/live") == (48, 64, 3)


def test_the_password_is_sent_as_ffmpeg_sends_it(serve: Callable[..., RtspServer]) -> None:
    server = serve(challenge(DIGEST))
    first_frame(f"rtsp://{LOGIN}@{server.host}/live?channel=1")
    found = re.findall(r'^DESCRIBE .*response="(\w+)"', "\n".join(" ".join(r.split()) for r in server.requests), re.M)
    assert len(found) == 2
    assert found[0] == found[1]


def test_without_a_password_a_redirection_leads_anywhere(serve: Callable[..., RtspServer]) -> None:
    other = serve()
    assert first_frame(f"rtsp://{serve(moved(f'rtsp://{other.host}/x', 'DESCRIBE')).host}/live") == (48, 64, 3)


@pytest.mark.parametrize("after", ["", "Basic", "Digest"])
@pytest.mark.parametrize("method", ["OPTIONS", "DESCRIBE"])
def test_a_password_goes_to_no_other_server(serve: Callable[..., RtspServer], method: str, after: str) -> None:
    other = serve(challenge(BASIC))
    server = serve(moved(f"rtsp://{other.host}/x", method, after=after))
    with pytest.raises(InputError, match=rf"^rtsp://{server.host}: .*redirect.*rtsp://{other.host}"):
        first_frame(f"rtsp://{LOGIN}@{server.host}/live")
    assert not any("Authorization" in request for request in other.requests)


def test_a_redirection_on_the_same_server_is_followed(serve: Callable[..., RtspServer]) -> None:
    def answer(method: str, request: str) -> str:
        is_old = "/old" in request.partition("\r\n")[0]
        return f"302 Moved\r\nLocation: rtsp://{server.host}/new" if is_old else challenge(BASIC)(method, request)

    server = serve(answer)
    assert first_frame(f"rtsp://{LOGIN}@{server.host}/old") == (48, 64, 3)


def test_a_second_redirection_leads_to_no_other_server(serve: Callable[..., RtspServer]) -> None:
    def answer(method: str, request: str) -> str:
        is_old = "/old" in request.partition("\r\n")[0]
        return f"302 Moved\r\nLocation: rtsp://{(server if is_old else other).host}/new"

    other, server = serve(challenge(BASIC)), serve(answer)
    with pytest.raises(InputError, match=f"redirects to rtsp://{other.host}"):
        first_frame(f"rtsp://{LOGIN}@{server.host}/old")
    assert other.requests == []


@pytest.mark.parametrize("location", ["", "/live", "http://localhost/live", "rtsp://[x", "rtsp://localhost:x/\x1b[2J"])
def test_a_redirection_to_nowhere_is_an_error(serve: Callable[..., RtspServer], location: str) -> None:
    with pytest.raises(InputError, match="cannot be opened") as caught:
        first_frame(f"rtsp://{LOGIN}@{serve(moved(location, 'OPTIONS')).host}/live")
    assert "w@rd" not in str(caught.value)


def test_a_circle_is_an_error(serve: Callable[..., RtspServer]) -> None:
    server = serve(lambda *_: f"302 Moved\r\nLocation: rtsp://{server.host}/live")
    with pytest.raises(InputError, match="too many redirections"):
        first_frame(f"rtsp://{LOGIN}@{server.host}/live")


@pytest.mark.parametrize("target", ["rtsp", "rtsps"])
@pytest.mark.parametrize("login", ["", f"{LOGIN}@"], ids=["open", "password"])
def test_an_encrypted_source_leads_to_no_stranger(
    serve: Callable[..., RtspServer], monkeypatch: pytest.MonkeyPatch, login: str, target: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "authority.pem"))
    stranger = serve(certificate="stranger.pem" if target == "rtsps" else None)
    server = serve(moved(f"{target}://{stranger.host}/x", "DESCRIBE"), "server.pem")
    with pytest.raises(InputError, match="redirects to" if login or target == "rtsp" else "certificate"):
        first_frame(f"rtsps://{login}{server.host}/live")
    assert stranger.requests == []


def test_an_encrypted_source_may_lead_to_another(
    serve: Callable[..., RtspServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "authority.pem"))
    other = serve(certificate="server.pem")
    server = serve(moved(f"rtsps://{other.host}/x", "DESCRIBE"), "server.pem")
    assert first_frame(f"rtsps://{server.host}/live") == (48, 64, 3)


@pytest.mark.parametrize("certificate", ["server.pem", "stranger.pem"])
def test_an_encrypted_source_with_a_password_is_verified(
    serve: Callable[..., RtspServer], monkeypatch: pytest.MonkeyPatch, certificate: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "authority.pem"))
    server = serve(challenge(BASIC), certificate)
    if certificate == "server.pem":
        assert first_frame(f"rtsps://{LOGIN}@{server.host}/live") == (48, 64, 3)
        return
    with pytest.raises(InputError, match="--insecure"):
        first_frame(f"rtsps://{LOGIN}@{server.host}/live")
    assert server.requests == []
    assert first_frame(f"rtsps://{LOGIN}@{server.host}/live", insecure=True) == (48, 64, 3)


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        (b"R", "^$|timed out"),
        (b"RTSP/1.0 200 OK\r\nX: " + b"x" * 5000 + b"\r\n", "too long"),
        (b"HTTP/1.0 200 OK\r\n\r\n", "not RTSP"),
        (b"", "hung up"),
    ],
    ids=["slow", "long", "other", "silent"],
)
def test_no_answer_is_waited_for_without_end(sent: bytes, problem: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def trickle() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.recv(4096)
                while sent and not stopped.wait(0.001 if len(sent) > 100 else 0.02):
                    connection.sendall(sent)

        stopped = threading.Event()
        thread = threading.Thread(target=trickle)
        thread.start()
        with pytest.raises(OSError, match=problem):
            check_redirections(f"rtsp://{LOGIN}@127.0.0.1:{server.getsockname()[1]}/x", ssl.create_default_context(), 1)
        stopped.set()
        thread.join()


def test_a_malformed_address_does_not_show_its_password() -> None:
    with pytest.raises(InputError, match="malformed") as caught:
        first_frame("rtsp://me:SECRET/x@localhost/live")
    assert "SECRET" not in str(caught.value)


def test_a_realm_of_other_letters_is_no_crash() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                while connection.recv(4096):
                    head = b'RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: Digest realm="\xe9t\xe9", nonce="a"\r\n'
                    connection.sendall(head + b"Content-Length: \xe9\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        check_redirections(f"rtsp://{LOGIN}@127.0.0.1:{server.getsockname()[1]}/x", ssl.create_default_context(), 5)
        thread.join()
