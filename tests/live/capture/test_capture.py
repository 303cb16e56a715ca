import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.live.capture.camera import OpenCvCamera
from pipeline.live.capture.device import Device
from pipeline.live.capture.inputs import stream
from pipeline.live.capture.playback import FileAudio, Playback
from pipeline.live.capture.stream import ContainerDevice
from pipeline.live.capture.thread import Capture
from pipeline.live.frames import Captured
from pipeline.live.mailbox import Mailbox
from tests.support.live import FakeCamera
from tests.support.media import Clip, Sound, make_clip, moving_square


def capture(device: Device, lines: list[str]) -> tuple[Capture, Mailbox[Captured]]:
    mailbox: Mailbox[Captured] = Mailbox()
    return Capture(device, mailbox, lines.append, first_pause_seconds=0.05), mailbox


def wait_for(condition: object, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.005)


def test_the_newest_picture_is_there_and_the_source_is_closed_at_its_end() -> None:
    camera, lines = FakeCamera(count=20), list[str]()
    thread, mailbox = capture(camera, lines)
    thread.start()
    thread.join(20)
    last = mailbox.get()
    assert last is not None
    assert last.index == last.pixels[0, 0, 0] == 19
    assert (thread.captured, mailbox.replaced, thread.size) == (20, 19, (48, 64))
    assert mailbox.is_closed
    assert (camera.opened, camera.closed) == (1, 1)
    assert not lines
    assert thread.error is None


def test_what_a_device_says_of_its_rate_counts_until_it_is_measured() -> None:
    camera = FakeCamera(fps=200)
    thread, _ = capture(camera, [])
    thread.start()
    thread.first.wait(20)
    assert thread.fps == 200
    wait_for(lambda: thread.captured > 40)
    camera.fps = 200 * 1000
    assert thread.fps is not None
    assert thread.fps < 210
    thread.stop()
    thread.join(20)
    assert not thread.is_alive()


def test_a_camera_that_goes_is_opened_again_and_both_is_said() -> None:
    camera, lines = FakeCamera(gone=(0.1, 0.5)), list[str]()
    thread, mailbox = capture(camera, lines)
    thread.start()
    wait_for(lambda: len(lines) == 2)
    before = thread.captured
    wait_for(lambda: thread.captured > before + 3)
    thread.stop()
    thread.join(20)
    assert lines[0].startswith("fake camera: gives no more pictures; the last picture stays")
    assert lines[1].startswith("fake camera is back after 0.")
    assert len(lines) == 2
    # Pauses double: 0.05 + 0.1 + 0.2 + 0.4 s, so that it is tried few times.
    assert 3 <= camera.opened <= 6
    last = mailbox.get()
    assert last is not None
    assert last.index == thread.captured - 1


def test_a_camera_that_was_never_there_is_an_error() -> None:
    camera = FakeCamera(gone=(-1.0, 1e9))
    thread, mailbox = capture(camera, [])
    thread.start()
    thread.join(20)
    assert isinstance(thread.error, InputError)
    assert thread.first.is_set()
    assert mailbox.is_closed


def test_stopping_ends_a_wait_for_a_camera() -> None:
    camera = FakeCamera(gone=(0.05, 1e9))
    thread, _ = capture(camera, [])
    thread._first_pause = 60.0
    thread.start()
    wait_for(lambda: not camera.is_open and thread.captured)
    thread.stop()
    thread.join(20)
    assert not thread.is_alive()
    assert thread.error is None


def test_a_file_that_breaks_is_not_opened_again() -> None:
    camera = FakeCamera(gone=(0.05, 1e9))
    camera.returns = False
    thread, _ = capture(camera, [])
    thread.start()
    thread.join(20)
    assert isinstance(thread.error, InputError)
    assert camera.opened == 1


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a second: 15 pictures, the last of which ends at 0.5 s, and as much sound."""
    sound = Sound("flac", seconds=Fraction(1, 2))
    return make_clip(tmp_path_factory.mktemp("live") / "clip.mkv", Clip(pts=range(0, 512 * 15, 512), sounds=[sound]))


def read_all(device: Device, count: int) -> list[tuple[float, np.ndarray]]:  # type: ignore[type-arg]
    device.open()
    taken = []
    while len(taken) < count and (picture := device.read()) is not None:
        taken.append((picture.at, picture.pixels))
    device.close()
    return taken


def read_on(device: Device) -> None:
    for _ in range(100):
        device.read()


def test_a_file_plays_at_its_own_pace(clip: Path) -> None:
    begun = time.monotonic()
    playback = Playback(str(clip))
    taken = read_all(playback, 100)
    assert len(taken) == 15
    assert playback.fps == pytest.approx(30, rel=0.05)
    origin = playback.clock.origin(0, 0)
    assert origin is not None
    # Never before it is due; how much later is the machine's affair.
    assert all(at >= origin + number / 30 - 0.001 for number, (at, _) in enumerate(taken))
    assert taken[-1][0] - begun >= 14 / 30
    assert np.abs(taken[7][1].astype(int) - moving_square(7)).mean() < 6


def test_a_loop_goes_on_without_a_pause(clip: Path) -> None:
    playback = Playback(str(clip), loop=True)
    taken = read_all(playback, 40)
    assert len(taken) == 40
    origins = [playback.clock.origin(number, 0) for number in range(3)]
    first, second, third = (origin for origin in origins if origin is not None)
    assert second - first == pytest.approx(0.5, abs=0.02)
    assert third - second == pytest.approx(0.5, abs=0.02)
    assert np.array_equal(taken[0][1], taken[15][1])
    assert np.array_equal(taken[9][1], taken[39][1])


def test_stopping_ends_the_wait_for_the_next_picture(tmp_path: Path) -> None:
    slow = make_clip(tmp_path / "slow.mkv", Clip(pts=[0, 15360 * 600]))
    playback = Playback(str(slow))
    playback.open()
    assert playback.read() is not None
    threading.Timer(0.1, playback.stop).start()
    assert playback.read() is None
    playback.close()


def test_who_is_late_by_much_moves_the_rest(clip: Path) -> None:
    playback = Playback(str(clip))
    playback.open()
    playback.read()
    before = playback.clock.origin(0, 0)
    time.sleep(0.7)
    playback.read()
    after = playback.clock.origin(0, 0)
    playback.close()
    assert before is not None
    assert after is not None
    assert after - before > 0.5


def test_the_sound_of_a_file_runs_on_the_clock_of_its_pictures(clip: Path) -> None:
    playback = Playback(str(clip), loop=True)
    sound = FileAudio(str(clip), playback.clock, loop=True)
    assert sound.read() is None  # no picture has begun the round
    reader = threading.Thread(target=read_all, args=(playback, 22))
    reader.start()
    heard = []
    while reader.is_alive():
        frame = sound.read()
        if frame is not None:
            heard.append((time.monotonic(), frame))
    playback.stop()
    reader.join()
    sound.close()
    origin, second = playback.clock.origin(0, 0), playback.clock.origin(1, 0)
    assert origin is not None
    assert second is not None
    times = [float(frame.pts * frame.time_base) for _, frame in heard]
    assert times[0] == pytest.approx(origin, abs=0.01)
    assert all(now >= at - 0.001 for (now, _), at in zip(heard, times, strict=True))
    first_of_second = min(at for at in times if at > second - 0.005)
    assert first_of_second == pytest.approx(second, abs=0.01)
    in_first = [frame for (_, frame), at in zip(heard, times, strict=True) if at < second - 0.005]
    assert sum(frame.samples for frame in in_first) == pytest.approx(24000, abs=2500)


def test_a_file_without_sound_is_silent(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "silent.mkv")
    playback = Playback(str(path))
    playback.clock.begin(time.monotonic())
    sound = FileAudio(str(path), playback.clock)
    assert sound.read() is None
    sound.close()


def test_a_damaged_piece_of_sound_is_left_out_and_the_rest_is_heard(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mkv", Clip(sounds=[Sound()]))
    with av.open(str(path)) as container:
        pieces = [bytes(packet) for packet in container.demux(audio=0)]
    data = path.read_bytes()
    path.write_bytes(data.replace(pieces[10], b"\xff" * len(pieces[10])))
    playback = Playback(str(path))
    playback.clock.begin(time.monotonic() - 100)
    sound = FileAudio(str(path), playback.clock)
    heard = 0
    while (frame := sound.read()) is not None:
        heard += frame.samples
    assert 40_000 < heard < 48_000
    sound.close()


def test_sound_that_cannot_be_read_any_further_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_clip(tmp_path / "clip.mkv", Clip(sounds=[Sound()]))
    playback = Playback(str(path))
    playback.clock.begin(time.monotonic())

    def fail(*_: object) -> None:
        raise av.PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(FileAudio, "_round", fail)
    sound = FileAudio(str(path), playback.clock)
    with pytest.raises(InputError, match=r"cannot be read any further \(Operation not permitted\)"):
        sound.read()


def test_a_test_picture_of_ffmpeg_is_read_like_a_device() -> None:
    device = ContainerDevice("test", "testsrc2=size=64x48:rate=30:duration=0.2", "lavfi", {})
    device.open()
    taken = device.read()
    assert taken is not None
    assert taken.pixels.shape == (48, 64, 3)
    assert taken.pixels.dtype == np.uint8
    assert device.fps == 30
    with pytest.raises(InputError, match="test: has ended"):
        read_on(device)
    device.close()
    device.close()


def test_a_stream_comes_over_udp(tmp_path: Path) -> None:
    """A sender made with PyAV; colours come through as they were sent."""
    url = "udp://127.0.0.1:52743"
    stopped = threading.Event()

    def send() -> None:
        with av.open(url, "w", format="mpegts") as output:
            video = output.add_stream(
                "libx264", rate=30, options={"preset": "ultrafast", "tune": "zerolatency", "g": "5"}
            )
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
            for number in range(600):
                frame = av.VideoFrame.from_ndarray(moving_square(7), format="rgb24")
                frame.pts = number
                output.mux(video.encode(frame))
                if stopped.wait(1 / 30):
                    return

    sender = threading.Thread(target=send)
    sender.start()
    device = stream(url)
    try:
        device.open()
        taken = [device.read() for _ in range(3)][-1]
    finally:
        stopped.set()
        sender.join()
        device.close()
    assert taken is not None
    assert taken.pixels.shape == (48, 64, 3)
    assert np.abs(taken.pixels.astype(int) - moving_square(7)).mean() < 8
    assert device.returns


def test_a_stream_that_is_not_there_is_told_in_one_line() -> None:
    with pytest.raises(InputError, match=r"^rtmp://127.0.0.1:1: cannot be opened \(.+\)$"):
        stream("rtmp://user:secret@127.0.0.1:1/app").open()


def test_a_playlist_from_the_net_opens_no_file(tmp_path: Path) -> None:
    """Served over http: a playlist whose only entry is a local clip."""
    from http.server import BaseHTTPRequestHandler, HTTPServer

    local = make_clip(tmp_path / "local.ts", form="mpegts")
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{local}\n#EXT-X-ENDLIST\n".encode()

    class Serve(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/vnd.apple.mpegurl")
            self.end_headers()
            self.wfile.write(playlist)

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Serve)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    device = stream(f"http://127.0.0.1:{server.server_port}/list.m3u8")
    try:
        with pytest.raises(InputError):
            read_all(device, 1)
    finally:
        device.close()
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_camera_that_is_not_there_is_told_in_one_line() -> None:
    with pytest.raises(InputError, match="camera 97: cannot be opened; `flowbrush cameras` lists") as caught:
        OpenCvCamera("97").open()
    assert "\n" not in str(caught.value)


def test_opencv_reads_blue_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in the camera's place, as OpenCV reads both alike."""
    import cv2

    clip = make_clip(tmp_path / "clip.mp4")
    camera = OpenCvCamera("0")
    monkeypatch.setattr("pipeline.live.capture.camera._backend", lambda: cv2.CAP_FFMPEG)
    monkeypatch.setattr(camera, "_source", str(clip))
    monkeypatch.setattr(camera, "_wishes", lambda: [])
    camera.open()
    taken = camera.read()
    assert taken is not None
    assert np.abs(taken.pixels.astype(int) - moving_square(0)).mean() < 8
    with pytest.raises(InputError, match="gives no more pictures"):
        read_on(camera)
    camera.close()
