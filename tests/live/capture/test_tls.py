"""Encrypted sources are who they say they are, and so is all that they name."""

import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.live.capture.ffmpeg_sources import network_stream
from pipeline.live.capture.source import find_capture_device
from tests.support.live import plain_config
from tests.support.media import Clip, make_clip

# Made for these tests: an authority, a certificate for localhost that it signed, and one that nobody signed.
TLS = Path(__file__).parents[2] / "support" / "tls"


class Server:
    """Files over https.

    Attributes:
        address: scheme, host and port.
        paths: what was asked for.
        header: of the last request.
    """

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
            if self.path == "/moved.m3u8":
                self.send_response(302)
                self.send_header("Location", found.address.replace("https", "http") + "/list.m3u8")
                self.end_headers()
            else:
                super().do_GET()

        def log_message(self, *_: object) -> None: ...

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None: ...  # a client that hangs up is what is tested

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


def first_frame(url: str, *, insecure: bool = False) -> tuple[int, ...]:
    """Return the shape of the first frame."""
    with closing(network_stream(url, insecure=insecure)) as device:
        device.open()
        frame = device.read()
        assert frame is not None
        return frame.pixels.shape


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
