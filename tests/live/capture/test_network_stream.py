"""Network streams from real senders: their first frame, their pace, their end."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.live.capture.connection.guarded_file import HEAD_BYTES
from pipeline.live.capture.device import CaptureDevice
from pipeline.live.capture.ffmpeg_sources import network_stream
from tests.support.clips.boxes import BOMBS
from tests.support.clips.reading import index_first
from tests.support.media import Clip, make_clip, moving_square

LARGE = {"qp": "0", "preset": "ultrafast", "g": "1"}


@contextmanager
def served(folder: Path, *, has_ranges: bool = False, keeps_alive: bool = False) -> Iterator[str]:
    """The files of ``folder`` over http, from any place if ``has_ranges``, over one connection if ``keeps_alive``."""

    class Serve(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1" if keeps_alive else "HTTP/1.0"

        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))

        def do_GET(self) -> None:
            if not has_ranges:
                return super().do_GET()
            data = (folder / self.path[1:]).read_bytes()
            start = int(self.headers.get("Range", "bytes=0-")[6:].split("-")[0])
            self.send_response(206)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(data[start:])

        def log_message(self, *_: object) -> None: ...

        def copyfile(self, source: Any, outputfile: Any) -> None:
            with suppress(OSError):
                super().copyfile(source, outputfile)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Serve)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def long_clip(path: Path, count: int, every: int) -> Path:
    """A clip at 30 fps whose first frame is white, with a key frame every ``every`` frames."""
    with av.open(str(path), "w", format="mpegts") as output:
        video = output.add_stream("libx264", rate=30, options={"preset": "ultrafast", "tune": "zerolatency"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.gop_size = every
        for number in range(count):
            pixels = moving_square(number % 10) if number else np.full((48, 64, 3), 255, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = number
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
    return path


@contextmanager
def sender(send: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that calls ``send`` with its first connection; gives its host and port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                send(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def test_the_first_key_frame_of_a_stream_is_not_lost(tmp_path: Path) -> None:
    """The next one would arrive six seconds, 180 frames, later."""
    data = long_clip(tmp_path / "long.ts", 200, 180).read_bytes()

    def send(connection: socket.socket) -> None:
        for start in range(0, len(data), 188 * 5):
            connection.sendall(data[start : start + 188 * 5])
            time.sleep(0.01)

    with sender(send) as address:
        device = network_stream(f"tcp://{address}")
        device.open()
        frame = device.read()
        device.close()
    assert frame is not None
    assert frame.pixels.min() > 240


@pytest.mark.parametrize("name", ["clip.mp4", "killed.mkv"])
def test_a_file_on_a_server_plays_in_real_time_and_ends(tmp_path: Path, name: str) -> None:
    """Also an interrupted recording, which states no duration."""
    path = make_clip(tmp_path / name, Clip(pts=range(0, 512 * 15, 512)))
    if name == "killed.mkv":
        path.write_bytes(path.read_bytes().replace(b"\x44\x89\x88", b"\xec\x80\x88"))  # Void for Duration
    with av.open(str(path)) as container:
        assert bool(container.duration) == (name == "clip.mp4")
    with served(tmp_path) as address:
        device = network_stream(f"{address}/{name}")
        device.open()
        times = [frame.captured_at for frame in iter(device.read, None)]
        device.close()
    assert len(times) >= 14  # the decoder completes the last ones together, of which the newest is delivered
    assert all(seconds - times[0] >= number / 30 - 0.002 for number, seconds in enumerate(times))


def test_a_file_that_is_cut_off_has_not_ended(tmp_path: Path) -> None:
    data = long_clip(tmp_path / "long.ts", 10, 5).read_bytes()

    def send(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data))
        connection.sendall(data[: len(data) // 2])

    with sender(send) as address:
        device = network_stream(f"http://{address}/long.ts")
        device.open()
        with pytest.raises(InputError, match="cannot be read"):
            list(iter(device.read, None))
        device.close()


def test_a_stream_arrives_over_udp() -> None:
    """The colors are those that were sent."""
    url = "udp://127.0.0.1:52743"
    stopped = threading.Event()

    def send() -> None:
        with av.open(url, "w", format="mpegts") as output:
            options = {"preset": "ultrafast", "tune": "zerolatency", "g": "5"}
            video = output.add_stream("libx264", rate=30, options=options)
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
            for number in range(600):
                frame = av.VideoFrame.from_ndarray(moving_square(7), format="rgb24")
                frame.pts = number
                output.mux(video.encode(frame))
                if stopped.wait(1 / 30):
                    return

    thread = threading.Thread(target=send)
    thread.start()
    device = network_stream(url)
    try:
        device.open()
        frame = [device.read() for _ in range(3)][-1]
    finally:
        stopped.set()
        thread.join()
        device.close()
    assert frame is not None
    assert frame.pixels.shape == (48, 64, 3)
    assert np.abs(frame.pixels.astype(int) - moving_square(7)).mean() < 8
    assert device.reconnects


@pytest.mark.parametrize("name", ["plain", "in dinf", "fragments of many tracks"])
@pytest.mark.parametrize("scheme", ["http", "tcp"])
def test_an_index_of_more_samples_than_bytes_is_refused(tmp_path: Path, name: str, scheme: str) -> None:
    (tmp_path / "clip.mp4").write_bytes(BOMBS[name]())
    with ExitStack() as stack:
        if scheme == "http":
            url = f"{stack.enter_context(served(tmp_path))}/clip.mp4"
        else:
            data = (tmp_path / "clip.mp4").read_bytes()
            url = f"tcp://{stack.enter_context(sender(lambda connection: connection.sendall(data)))}"
        device = network_stream(url)
        with pytest.raises(InputError, match=r"declares at least \d+ samples"):
            open_and_read(device)
        device.close()


@pytest.mark.parametrize(
    ("place", "has_ranges", "keeps_alive"),
    [("front", False, False), ("front", True, False), ("end", True, False), ("front", True, True)],
)
def test_a_long_mp4_plays_from_a_server(tmp_path: Path, place: str, has_ranges: bool, keeps_alive: bool) -> None:
    """An index at the end needs a server that sends parts of files."""
    whole = make_clip(tmp_path / "end.mp4", Clip(width=1280, height=720, pts=range(0, 512 * 20, 512), options=LARGE))
    assert whole.stat().st_size > 2 * HEAD_BYTES
    index_first(whole, tmp_path / "front.mp4")
    with served(tmp_path, has_ranges=has_ranges, keeps_alive=keeps_alive) as address:
        device = network_stream(f"{address}/{place}.mp4")
        device.open()
        assert len(list(iter(device.read, None))) >= 18
        device.close()


def test_a_playlist_of_fragments_plays(tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4")
    options = {"hls_segment_type": "fmp4", "hls_playlist_type": "vod"}
    target = str(tmp_path / "list.m3u8")
    with av.open(str(tmp_path / "clip.mp4")) as clip, av.open(target, "w", format="hls", options=options) as output:
        stream = output.add_stream_from_template(clip.streams.video[0])
        for packet in clip.demux(video=0):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    assert list(tmp_path.glob("*.m4s"))
    with served(tmp_path) as address:
        device = network_stream(f"{address}/list.m3u8")
        device.open()
        assert device.read() is not None
        device.close()


def test_a_missing_server_is_an_error_of_one_line() -> None:
    with pytest.raises(InputError, match=r"^rtmp://127.0.0.1:1: cannot be opened \(.+\)$"):
        network_stream("rtmp://user:secret@127.0.0.1:1/app").open()


def test_a_malformed_url_is_an_error() -> None:
    with pytest.raises(InputError, match=r"^http://\[bad: cannot be opened"):
        network_stream("http://[bad/x").open()


def open_and_read(device: CaptureDevice) -> None:
    device.open()
    device.read()


def test_a_playlist_from_the_network_opens_no_local_file(tmp_path: Path) -> None:
    local = make_clip(tmp_path / "local.ts", form="mpegts")
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{local}\n#EXT-X-ENDLIST\n"
    (tmp_path / "list.m3u8").write_text(playlist)
    with served(tmp_path) as address:
        device = network_stream(f"{address}/list.m3u8")
        with pytest.raises(InputError), closing(device):
            open_and_read(device)


def test_the_udp_queue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[dict[str, str]] = []

    def refuse(url: str, mode: str, format: str | None, options: dict[str, str], **_: object) -> None:
        used.append(options)
        raise OSError("refused")

    monkeypatch.setattr(av, "open", refuse)
    with pytest.raises(InputError, match="refused"):
        network_stream("udp://127.0.0.1:5000").open()
    assert int(used[0]["fifo_size"]) * 188 <= 2.1e6


@contextmanager
def answering(answer: Callable[[str], str]) -> Iterator[tuple[str, list[str]]]:
    """A server that sends ``answer`` to each request; gives its host and port, and the requests."""
    requests: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        requests.append(connection.recv(4096).decode())
                        connection.sendall(f"HTTP/1.0 {answer(requests[-1])}\r\n\r\n".encode())

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}", requests
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_password_does_not_follow_a_redirection() -> None:
    """Both servers ask for it."""
    question = '401 Unauthorized\r\nWWW-Authenticate: Basic realm="x"'

    def redirect(request: str) -> str:
        return f"302 Found\r\nLocation: http://{other}/" if "Authorization" in request else question

    with answering(lambda _: question) as (other, seen), answering(redirect) as (host, asked):
        device = network_stream(f"http://me:word@{host}/clip.mp4")
        with pytest.raises(InputError, match="401"):
            device.open()
    assert "Authorization: Basic" in asked[-1]
    assert seen
    assert not any("Authorization" in request for request in seen)
