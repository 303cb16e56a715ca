"""Encrypted sources are who they say they are, and so is all that they name."""

import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.live.capture import ffmpeg_device
from pipeline.live.capture.ffmpeg_sources import network_stream
from pipeline.live.capture.source import find_capture_device
from tests.support.live import plain_config
from tests.support.live.servers import first_frame
from tests.support.media import Clip, make_clip

# Made for these tests: an authority, a certificate for localhost that it signed, and one that nobody signed.
TLS = Path(__file__).parents[3] / "support" / "live" / "tls"


class Server:
    """Files over https.

    Attributes:
        address: scheme, host and port.
        paths: what was asked for.
        header: of the last request.
        endless_start: how /endless.m3u8 and /endless.ts start.
        endless: what they repeat then without an end.
        endless_header: whether it does so in its header already.
        pause: seconds between two of these.
    """

    endless_start = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n"
    endless, endless_header, pause = b"#EXTINF:1,\npart.ts?%01000d\n" % 0 * 100, False, 0.0

    def __init__(self, port: int) -> None:
        self.address = f"https://localhost:{port}"
        self.paths: list[str] = []
        self.header: Mapping[str, str] = {}


@contextmanager
def served(folder: Path, certificate: str) -> Iterator[Server]:
    class Serve(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))

        def do_GET(self) -> None:
            found.paths.append(self.path)
            found.header = dict(self.headers)
            if self.path.startswith("/endless"):
                self._send_without_end()
            elif self.path == "/moved.m3u8":
                self.send_response(302)
                self.send_header("Location", found.address.replace("https", "http") + "/list.m3u8")
                self.end_headers()
            else:
                super().do_GET()

        def _send_without_end(self) -> None:
            if found.endless_header and found.paths.count(self.path) > 1:  # FFmpeg itself asks first
                self.wfile.write(b"HTTP/1.0 200 OK\r\n")
            else:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(found.endless_start)
            try:
                while not closing_down.is_set():
                    self.wfile.write(found.endless)
                    closing_down.wait(found.pause)
            except OSError:
                self.close_connection = True

        def log_message(self, *_: object) -> None: ...

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None: ...  # a client that hangs up is what is tested

    closing_down = threading.Event()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / certificate)
    server = Quiet(("127.0.0.1", 0), Serve)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    found = Server(server.server_port)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield found
    finally:
        closing_down.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_clip(tmp_path / "clip.mp4", Clip(pts=(0, 512, 1024)))
    make_clip(tmp_path / "part.ts", Clip(pts=(0, 512, 1024)), form="mpegts")
    write_playlist(tmp_path, "part.ts")
    return tmp_path


def write_playlist(folder: Path, url: str, *tags: str) -> None:
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:1", "#EXT-X-VERSION:4", *tags, "#EXTINF:1,", url, "#EXT-X-ENDLIST", ""]
    (folder / "list.m3u8").write_text("\n".join(lines))


@pytest.fixture
def known(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that the system trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "authority.pem"))
    with served(folder, "server.pem") as server:
        yield server


@pytest.fixture
def stranger(folder: Path) -> Iterator[Server]:
    with served(folder, "stranger.pem") as server:
        yield server


@pytest.mark.parametrize("name", ["clip.mp4", "list.m3u8"])
def test_a_server_with_a_valid_certificate_is_played(known: Server, name: str) -> None:
    assert first_frame(f"{known.address}/{name}") == (48, 64, 3)


@pytest.mark.parametrize("name", ["clip.mp4", "list.m3u8"])
def test_a_stranger_gets_no_request(stranger: Server, name: str) -> None:
    with pytest.raises(InputError, match=r"^https://localhost:\d+: .*certificate.*--insecure"):
        first_frame(f"{stranger.address}/{name}?key=SECRET")
    assert stranger.paths == []


@pytest.mark.parametrize("scheme", ["rtmps", "rtsps"])
def test_other_encrypted_schemes_are_verified(stranger: Server, scheme: str) -> None:
    with pytest.raises(InputError, match="certificate"):
        first_frame(f"{scheme}://{stranger.address.partition('://')[2]}/live/SECRET")
    assert stranger.paths == []


def test_a_certificate_for_another_name_is_refused(known: Server) -> None:
    with pytest.raises(InputError, match="certificate"):
        first_frame(known.address.replace("localhost", "127.0.0.1") + "/clip.mp4")
    assert known.paths == []


@pytest.mark.parametrize("name", ["clip.mp4", "list.m3u8"])
def test_insecure_accepts_any_certificate(stranger: Server, name: str) -> None:
    device = find_capture_device(plain_config(source=f"{stranger.address}/{name}", insecure=True))
    with closing(device):
        device.open()
        assert device.read() is not None


@pytest.mark.parametrize("tags", [(), ('#EXT-X-MAP:URI="{}/part.ts"',)], ids=["segment", "header"])
def test_a_playlist_cannot_lead_to_a_stranger(
    folder: Path, known: Server, stranger: Server, tags: tuple[str, ...]
) -> None:
    write_playlist(folder, f"{stranger.address}/part.ts", *(tag.format(stranger.address) for tag in tags))
    with pytest.raises(InputError):
        first_frame(f"{known.address}/list.m3u8")
    assert stranger.paths == []


@pytest.mark.parametrize("url", ["http://localhost:1/part.ts", "file:///etc/hostname", "/../../../etc/hostname"])
def test_a_playlist_leads_to_https_only(folder: Path, known: Server, url: str) -> None:
    write_playlist(folder, url)
    with pytest.raises(InputError):
        first_frame(f"{known.address}/list.m3u8")


def test_a_redirection_leads_to_https_only(known: Server) -> None:
    with pytest.raises(InputError, match="not https"):
        first_frame(f"{known.address}/moved.m3u8")


def test_an_encrypted_playlist_needs_the_way_out(folder: Path, known: Server) -> None:
    (folder / "key").write_bytes(bytes(16))
    write_playlist(folder, "part.ts", '#EXT-X-KEY:METHOD=AES-128,URI="key"')
    with pytest.raises(InputError, match="--insecure"):
        first_frame(f"{known.address}/list.m3u8")


def test_a_password_is_sent_to_the_server_alone(known: Server) -> None:
    assert first_frame(known.address.replace("://", "://me:w%40rd@") + "/list.m3u8") == (48, 64, 3)
    assert known.header["Authorization"] == "Basic bWU6d0ByZA=="


def test_a_part_of_a_file_is_a_segment(folder: Path, known: Server) -> None:
    write_playlist(folder, "part.ts", "#EXT-X-BYTERANGE:376@188")
    with pytest.raises(InputError):  # this server sends all of it
        first_frame(f"{known.address}/list.m3u8")
    assert known.header["Range"] == "bytes=188-563"


def test_a_playlist_without_an_end_is_given_up(known: Server) -> None:
    """Rather than kept in memory, as fast as it arrives."""
    with pytest.raises(InputError, match="too long"):
        first_frame(f"{known.address}/endless.m3u8")


@pytest.mark.parametrize("is_header", [True, False], ids=["header", "content"])
def test_a_playlist_that_arrives_in_drops_is_given_up(
    known: Server, monkeypatch: pytest.MonkeyPatch, is_header: bool
) -> None:
    monkeypatch.setattr(ffmpeg_device, "OPEN_SECONDS", 1)
    known.endless, known.endless_header, known.pause = b"#", is_header, 0.1
    with pytest.raises(InputError, match="no answer within 1 s"):
        first_frame(f"{known.address}/endless.m3u8")


def test_a_segment_that_arrives_in_drops_is_given_up(
    folder: Path, known: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ffmpeg_device, "READ_SECONDS", 1)
    make_clip(folder / "part.ts", Clip(pts=range(0, 512 * 60, 512)), form="mpegts")
    write_playlist(folder, "endless.ts", "#EXTINF:2,", "part.ts")
    known.endless_start, known.endless, known.pause = b"G", b"G", 0.1
    with closing(network_stream(f"{known.address}/list.m3u8")) as device:
        device.open()
        with pytest.raises(InputError, match="no answer within 1 s"):
            list(iter(device.read, None))


def test_a_password_that_python_does_not_take_is_not_shown(known: Server) -> None:
    with pytest.raises(InputError, match="malformed") as caught:
        first_frame(known.address.replace("://", "://me:SECRET\u2100@") + "/list.m3u8")
    assert "SECRET" not in str(caught.value)
