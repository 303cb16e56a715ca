"""A file played in real time, and its audio on the same clock."""

import threading
import time
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.live.capture.playback import FileAudio, Playback
from pipeline.live.frames import CapturedFrame
from tests.support.live import WrappedContainer
from tests.support.media import Audio, Clip, make_clip, moving_square


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a second: 15 frames, the last of which ends at 0.5 s, and as much audio."""
    sound = Audio("flac", seconds=Fraction(1, 2))
    return make_clip(tmp_path_factory.mktemp("live") / "clip.mkv", Clip(pts=range(0, 512 * 15, 512), audio=[sound]))


def read_all(playback: Playback, count: int = 1000) -> list[CapturedFrame]:
    """Open, read up to ``count`` frames, close."""
    playback.open()
    frames = list(islice(iter(playback.read, None), count))
    playback.close()
    return frames


def test_a_file_plays_in_real_time(clip: Path) -> None:
    started = time.monotonic()
    playback = Playback(str(clip))
    frames = read_all(playback)
    assert len(frames) == 15
    assert playback.fps == pytest.approx(30, rel=0.05)
    # Never before it is due; how much later depends on the machine.
    times = [frame.captured_at for frame in frames]
    assert all(seconds >= playback.clock.origins[0] + number / 30 - 0.001 for number, seconds in enumerate(times))
    assert times[-1] - started >= 14 / 30
    assert np.abs(frames[7].pixels.astype(int) - moving_square(7)).mean() < 6


def test_a_loop_has_no_pause(clip: Path) -> None:
    playback = Playback(str(clip), loop=True)
    frames = read_all(playback, 40)
    assert len(frames) == 40
    assert playback.clock.origins[1] - playback.clock.origins[0] == pytest.approx(0.5, abs=0.02)
    assert playback.clock.origins[2] - playback.clock.origins[1] == pytest.approx(0.5, abs=0.02)
    assert np.array_equal(frames[0].pixels, frames[15].pixels)
    assert np.array_equal(frames[9].pixels, frames[39].pixels)


def test_stopping_ends_the_wait_for_the_next_frame(tmp_path: Path) -> None:
    slow = make_clip(tmp_path / "slow.mkv", Clip(pts=[0, 15360 * 600]))
    playback = Playback(str(slow))
    playback.open()
    assert playback.read() is not None
    threading.Timer(0.1, playback.stop).start()
    assert playback.read() is None
    playback.close()


def test_a_long_delay_shifts_the_rest(clip: Path) -> None:
    playback = Playback(str(clip))
    playback.open()
    playback.read()
    before = playback.clock.origins[0]
    time.sleep(0.7)
    playback.read()
    playback.close()
    assert playback.clock.origins[0] - before > 0.5


def test_audio_and_frames_share_a_clock(clip: Path) -> None:
    playback = Playback(str(clip), loop=True)
    audio = FileAudio(str(clip), playback.clock, loop=True)
    assert audio.read() is None  # before the first frame
    reader = threading.Thread(target=read_all, args=(playback, 22))
    reader.start()
    heard = []
    while reader.is_alive():
        frame = audio.read()
        if frame is not None:
            heard.append((time.monotonic(), frame))
    playback.stop()
    reader.join()
    audio.close()
    first, second = playback.clock.origins
    times = [float(frame.pts * frame.time_base) for _, frame in heard]
    assert times[0] == pytest.approx(first, abs=0.01)
    assert all(now >= due - 0.001 for (now, _), due in zip(heard, times, strict=True))
    assert min(due for due in times if due > second - 0.005) == pytest.approx(second, abs=0.01)
    first_pass = [frame for (_, frame), due in zip(heard, times, strict=True) if due < second - 0.005]
    assert sum(frame.samples for frame in first_pass) == pytest.approx(24000, abs=2500)


def test_a_file_without_audio_is_silent(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "silent.mkv")
    playback = Playback(str(path))
    playback.clock.origins.append(time.monotonic())
    audio = FileAudio(str(path), playback.clock)
    assert audio.read() is None
    audio.close()


def test_a_damaged_audio_packet_is_skipped(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mkv", Clip(audio=[Audio()]))
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(audio=0)]
    data = path.read_bytes()
    path.write_bytes(data.replace(packets[10], b"\xff" * len(packets[10])))
    playback = Playback(str(path))
    playback.clock.origins.append(time.monotonic() - 100)
    audio = FileAudio(str(path), playback.clock)
    samples = sum(frame.samples for frame in iter(audio.read, None))
    assert 40_000 < samples < 48_000
    audio.close()


def test_a_failing_read_of_audio_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_clip(tmp_path / "clip.mkv", Clip(audio=[Audio()]))
    playback = Playback(str(path))
    playback.clock.origins.append(time.monotonic())
    real = av.open

    def fail(*_: object) -> None:
        raise av.PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(av, "open", lambda *args, **options: WrappedContainer(real(*args, **options), demux=fail))
    audio = FileAudio(str(path), playback.clock)
    with pytest.raises(InputError, match="Operation not permitted"):
        audio.read()
