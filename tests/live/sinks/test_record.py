"""Recordings: time stamps, audio in sync, several files in one session, files that play after a kill."""

import os
import signal
import subprocess
import sys
from fractions import Fraction
from itertools import count
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.live.controls import Controls
from pipeline.live.frames import LiveFrame
from pipeline.live.sinks.record import FORMATS, RecordSink
from pipeline.live.sinks.sink import SinkError, unused_path
from pipeline.live.sinks.thread import SinkThread
from tests.support.live import audio_frame, live_frame
from tests.support.media import click_seconds, color_bars, contents

ROOT = Path(__file__).resolve().parents[3]
START = 1000.0
# As a camera delivers them: never quite regular, once after a long wait.
TIMES = [0.0, 0.033, 0.07, 0.1, 0.131, 0.2, 0.7, 0.733, 0.77, 0.8]


def opened(path: Path | None = None, **options: bool) -> RecordSink:
    """A sink that records frames of 64x48."""
    sink = RecordSink(Controls(["a"], recording=True), print, path, **options)
    sink.open(64, 48, Fraction(30))
    return sink


def write(sink: RecordSink, times: list[float], *, click: float | None = None) -> None:
    """Write frames captured at ``times`` after `START`, each followed by the audio up to then."""
    heard = -0.5
    for index, seconds in enumerate(times):
        sink.write(live_frame(index, START + seconds))
        while heard < seconds:
            sink.write_audio(audio_frame(heard, 0.02, origin=START, click=click))
            heard = round(heard + 0.02, 6)


@pytest.mark.parametrize("suffix", sorted(FORMATS))
def test_each_frame_has_the_time_it_was_captured(tmp_path: Path, suffix: str) -> None:
    path, messages = tmp_path / f"live{suffix}", list[str]()
    sink = RecordSink(Controls(["a"], recording=True), messages.append, path)
    sink.open(64, 48, Fraction(30))
    write(sink, TIMES)
    sink.close()
    found = contents(path)
    assert [float(seconds) for seconds in found.relative_times] == pytest.approx(TIMES, abs=0.0011)
    assert messages == [f"recording {path}", f"recorded {path}"]
    assert found.audio == []


def test_colors_are_right_and_tagged(tmp_path: Path) -> None:
    path = tmp_path / "bars.mkv"
    sink = RecordSink(Controls(["a"], recording=True), print, path)
    bars = color_bars()
    sink.open(288, 48, Fraction(30))
    for index in range(3):
        sink.write(LiveFrame(bars, bars, START + index / 30, index))
    sink.close()
    assert contents(path).tags == (1, 1, 1, 1)
    with av.open(str(path)) as container:
        decoded = next(container.decode(video=0)).to_ndarray(format="rgb24", src_colorspace=1, dst_color_range=2)
    assert np.abs(decoded[24, 12::24].astype(int) - bars[24, 12::24]).max() <= 6


def test_odd_sizes_lose_a_row_and_a_column(tmp_path: Path) -> None:
    path = tmp_path / "odd.mkv"
    sink = RecordSink(Controls(["a"], recording=True), print, path)
    sink.open(65, 49, Fraction(30))
    sink.write(live_frame(width=65, height=49))
    sink.close()
    assert (contents(path).width, contents(path).height) == (64, 48)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_audio_is_in_sync(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"live{suffix}"
    sink = opened(path, has_audio=True)
    write(sink, [number / 30 for number in range(45)], click=0.913)
    sink.close()
    assert len(contents(path).audio) == 1
    assert click_seconds(path) == pytest.approx(0.913, abs=0.025)  # an AAC encoder starts 21 ms early


def test_missing_audio_stops_no_frame(tmp_path: Path) -> None:
    path = tmp_path / "silent.mkv"
    sink = opened(path, has_audio=True)
    for index in range(60):
        sink.write(live_frame(index, START + index / 30))
    sink.close()
    assert len(contents(path).times) == 60


def test_the_key_ends_a_file_and_starts_another(tmp_path: Path) -> None:
    controls, messages = Controls(["a"], recording=True, clock=count().__next__), list[str]()
    sink = RecordSink(controls, messages.append, tmp_path / "first.mkv")
    sink.open(64, 48, Fraction(30))
    for index in range(30):
        if index in (10, 15):
            controls.press("r")
        assert sink.is_active == (not 10 < index < 15)
        sink.write(live_frame(index, index / 30))
    sink.close()
    assert len(contents(tmp_path / "first.mkv").times) == 10
    (second,) = tmp_path.glob("flowbrush-*.mkv")
    assert len(contents(second).times) == 15
    assert messages[-1] == f"recorded {second}"


def test_a_paused_recording_delivers_nothing() -> None:
    thread = SinkThread(RecordSink(Controls(["a"]), print), print)
    thread.start(64, 48, Fraction(30))
    thread.put(live_frame())
    thread.finish()
    thread.join()
    assert thread.summary().delivered == 0
    assert thread.failure is None


def test_a_file_ends_while_the_camera_is_unplugged(tmp_path: Path) -> None:
    controls = Controls(["a"], recording=True)
    sink = RecordSink(controls, print, tmp_path / "a.mkv")
    sink.open(64, 48, Fraction(30))
    sink.write(live_frame())
    controls.press("r")
    sink.poll()
    assert len(contents(tmp_path / "a.mkv").times) == 1
    sink.close()


def test_wrong_paths_are_refused_at_once(tmp_path: Path) -> None:
    existing = tmp_path / "existing.mkv"
    existing.write_bytes(b"content")
    with pytest.raises(SinkError, match="--overwrite"):
        RecordSink(Controls(["a"]), print, existing)
    with pytest.raises(SinkError, match="folder"):
        RecordSink(Controls(["a"]), print, tmp_path / "no" / "live.mkv")
    with pytest.raises(ValueError, match=r"\.mkv"):
        RecordSink(Controls(["a"]), print, tmp_path / "live.avi")
    assert existing.read_bytes() == b"content"


def test_files_of_the_same_second_have_different_names(tmp_path: Path) -> None:
    for _ in range(3):
        unused_path(tmp_path, ".mkv").touch(exist_ok=False)
    assert len(list(tmp_path.glob("flowbrush-*.mkv"))) == 3


def write_large(sink: RecordSink, count: int) -> None:
    for index in range(count):
        sink.write(live_frame(index, index / 30, width=640, height=480))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_ends_recording_with_one_message(tmp_path: Path) -> None:
    controls = Controls(["a"], recording=True)
    path = tmp_path / "full.mkv"
    path.symlink_to("/dev/full")
    sink = RecordSink(controls, print, path, overwrite=True)
    sink.open(640, 480, Fraction(30))
    with pytest.raises(SinkError, match="No space left") as caught:
        write_large(sink, 200)
    assert str(caught.value).count(str(path)) == 1
    assert not controls.recording
    sink.close()
    controls.press("r")
    assert not controls.recording
    assert "No space left" in controls.message


KILLED = """
import sys, time
from fractions import Fraction
from pathlib import Path
from pipeline.live.controls import Controls
from pipeline.live.sinks.record import RecordSink
from tests.support.live import audio_frame, live_frame
sink = RecordSink(Controls(["a"], recording=True), lambda line: None, Path(sys.argv[1]), has_audio=True)
sink.open(64, 48, Fraction(30))
for index in range(300):
    sink.write(live_frame(index, index / 30))
    sink.write_audio(audio_frame(index / 30, 1 / 30))
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("suffix", sorted(FORMATS))
def test_a_recording_plays_after_a_kill(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"killed{suffix}"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    found = contents(path)
    lost_seconds = 2.1 if suffix in (".mp4", ".mov") else 1.1  # at most a fragment between key frames, or a cluster
    assert len(found.times) >= 300 - 30 * lost_seconds
    assert found.audio[0]


@pytest.mark.skipif(os.name != "posix", reason="needs links")
def test_a_link_that_appears_at_the_name_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    for target in ("precious", "nowhere"):
        controls, path = Controls(["a"], recording=True), tmp_path / f"{target}.mkv"
        sink = RecordSink(controls, print, path)
        sink.open(64, 48, Fraction(30))
        path.symlink_to(tmp_path / target)
        with pytest.raises(SinkError, match="exists"):
            sink.write(live_frame())
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.skipif(os.name != "posix", reason="needs links")
def test_a_link_at_the_name_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "live.mkv").symlink_to(tmp_path / "nowhere")
    with pytest.raises(SinkError, match=r"live\.mkv: is a link; remove it, give another name or --overwrite"):
        RecordSink(Controls(["a"]), print, tmp_path / "live.mkv")


@pytest.mark.skipif(os.name != "posix", reason="needs links")
def test_a_link_has_the_name_of_no_recording(tmp_path: Path) -> None:
    (tmp_path / unused_path(tmp_path, ".mkv").name).symlink_to(tmp_path / "nowhere")
    assert not os.path.lexists(unused_path(tmp_path, ".mkv"))
