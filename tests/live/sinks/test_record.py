"""Recordings: moments, sound in step, many files in one session, and a file that plays after a kill."""

import os
import signal
import subprocess
import sys
from fractions import Fraction
from itertools import count, pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.live.controls import Controls
from pipeline.live.frames import LiveFrame
from pipeline.live.sinks.audio_track import RATE, AudioTrack
from pipeline.live.sinks.muxer import SOUND_SECONDS, AudioQueue
from pipeline.live.sinks.record import FORMS, RecordSink
from pipeline.live.sinks.sink import AudioSink, SinkError
from pipeline.live.sinks.thread import SinkThread
from tests.support.media import click_seconds, color_bars, contents, moving_square

ROOT = Path(__file__).resolve().parents[3]
START = 1000.0
# As a camera gives them: never quite even, once a long wait.
MOMENTS = [0.0, 0.033, 0.07, 0.1, 0.131, 0.2, 0.7, 0.733, 0.77, 0.8]


def frame(index: int, moment: float, *, width: int = 64, height: int = 48) -> LiveFrame:
    pixels = moving_square(index, width=width, height=height)
    return LiveFrame(pixels, pixels, START + moment, index)


def sound_piece(begin: float, seconds: float, *, click: float | None = None, rate: int = 44100) -> av.AudioFrame:
    """Mono, as microphones are: silence, with a loud 10 ms at ``click``; times count from `START`."""
    samples = np.zeros((1, round(seconds * rate)), np.int16)
    if click is not None:
        first = round((click - begin) * rate)
        if 0 <= first < samples.shape[1]:
            samples[:, first : first + rate // 100] = 25000
    piece = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
    piece.sample_rate, piece.time_base, piece.pts = rate, Fraction(1, 1_000_000), round((START + begin) * 1_000_000)
    return piece


def record(path: Path, moments: list[float], *, audio: bool = False, click: float | None = None) -> list[str]:
    notes: list[str] = []
    sink = RecordSink(Controls(["a"], recording=True), notes.append, path, audio=audio)
    sink.open(64, 48, Fraction(30))
    heard = -0.5
    for index, moment in enumerate(moments):
        while audio and heard < moment:
            sink.audio(sound_piece(heard, 0.02, click=click))
            heard = round(heard + 0.02, 6)
        sink.write(frame(index, moment))
    sink.close()
    return notes


@pytest.mark.parametrize("ending", sorted(FORMS))
def test_each_picture_is_at_the_moment_it_was_captured(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"live{ending}"
    notes = record(path, MOMENTS)
    found = contents(path)
    assert [float(moment) for moment in found.relative_times] == pytest.approx(MOMENTS, abs=0.0011)
    assert notes == [f"recording {path}", f"recorded {path}"]
    assert found.sounds == []


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
    sink.write(frame(0, 0, width=65, height=49))
    sink.close()
    assert (contents(path).width, contents(path).height) == (64, 48)


@pytest.mark.parametrize("ending", [".mkv", ".mp4"])
def test_sound_is_in_step_with_the_picture(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"live{ending}"
    record(path, [number / 30 for number in range(45)], audio=True, click=0.913)
    assert len(contents(path).sounds) == 1
    assert click_seconds(path) == pytest.approx(0.913, abs=0.025)  # an AAC encoder begins 21 ms early


def test_sound_that_is_expected_and_never_comes_stops_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "silent.mkv"
    sink = RecordSink(Controls(["a"], recording=True), print, path, audio=True)
    sink.open(64, 48, Fraction(30))
    for index in range(60):
        sink.write(frame(index, index / 30))
    sink.close()
    assert len(contents(path).times) == 60


def test_the_key_ends_a_file_and_begins_another(tmp_path: Path) -> None:
    controls, notes = Controls(["a"], recording=True, clock=count().__next__), []
    sink = RecordSink(controls, notes.append, tmp_path / "first.mkv")
    sink.open(64, 48, Fraction(30))
    for index in range(30):
        if index in (10, 15):
            controls.press("r")
        assert sink.is_idle == (10 < index <= 14 or (not controls.recording and index > 10))
        sink.write(frame(index, index / 30))
    sink.close()
    assert len(contents(tmp_path / "first.mkv").times) == 10
    (second,) = tmp_path.glob("flowbrush-*.mkv")
    assert len(contents(second).times) == 15
    assert notes[-1] == f"recorded {second}"


def test_a_recording_that_is_not_running_delivers_nothing() -> None:
    sink_thread = SinkThread(RecordSink(Controls(["a"]), print), print)
    sink_thread.start(64, 48, Fraction(30))
    sink_thread.put(frame(0, 0))
    sink_thread.finish()
    sink_thread.join()
    assert sink_thread.summary().delivered == 0
    assert sink_thread.failure is None


def test_a_file_ends_while_the_camera_is_gone(tmp_path: Path) -> None:
    controls = Controls(["a"], recording=True)
    sink = RecordSink(controls, print, tmp_path / "a.mkv")
    sink.open(64, 48, Fraction(30))
    sink.write(frame(0, 0))
    controls.press("r")
    sink.idle()
    assert len(contents(tmp_path / "a.mkv").times) == 1
    sink.close()


def test_what_cannot_be_recorded_is_said_before_anything_begins(tmp_path: Path) -> None:
    controls = Controls(["a"], recording=True)
    (tmp_path / "there.mkv").write_bytes(b"kept")
    with pytest.raises(SinkError, match="--overwrite"):
        RecordSink(controls, print, tmp_path / "there.mkv")
    with pytest.raises(SinkError, match="no folder"):
        RecordSink(controls, print, tmp_path / "no" / "live.mkv")
    with pytest.raises(ValueError, match=r"\.mkv"):
        RecordSink(controls, print, tmp_path / "live.avi")
    assert (tmp_path / "there.mkv").read_bytes() == b"kept"


def write_many(sink: RecordSink, count: int) -> None:
    for index in range(count):
        sink.write(frame(index, index / 30, width=640, height=480))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a disk that is always full")
def test_a_full_disk_ends_the_recording_with_one_line(tmp_path: Path) -> None:
    controls = Controls(["a"], recording=True)
    path = tmp_path / "full.mkv"
    path.symlink_to("/dev/full")
    sink = RecordSink(controls, print, path, overwrite=True)
    sink.open(640, 480, Fraction(30))
    with pytest.raises(SinkError, match="No space left") as caught:
        write_many(sink, 200)
    assert str(caught.value).count(str(path)) == 1
    assert not controls.recording
    sink.close()
    controls.press("r")
    assert not controls.recording
    assert controls.message == "no recording: No space left on device (full.mkv)"


KILLED = """
import os, sys, time
from fractions import Fraction
from pathlib import Path
from pipeline.live.controls import Controls
from pipeline.live.sinks.record import RecordSink
from tests.live.sinks.test_record import frame, sound_piece
sink = RecordSink(Controls(["a"], recording=True), lambda line: None, Path(sys.argv[1]), audio=True)
sink.open(64, 48, Fraction(30))
for index in range(300):
    sink.audio(sound_piece(index / 30, 1 / 30))
    sink.write(frame(index, index / 30))
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("ending", sorted(FORMS))
def test_a_recording_plays_after_a_kill(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"killed{ending}"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    found = contents(path)
    most_lost_seconds = 2.1 if ending in (".mp4", ".mov") else 1.1  # up to the last key picture; up to the last cluster
    assert len(found.times) >= 300 - 30 * most_lost_seconds
    assert found.sounds[0]


def test_the_sink_takes_sound() -> None:
    assert isinstance(RecordSink(Controls(["a"]), print), AudioSink)


def joined(pieces: list[av.AudioFrame]) -> tuple[int, np.ndarray]:
    """First sample's number, and the samples; asserts that nothing is missing between."""
    for before, after in pairwise(pieces):
        assert after.pts == before.pts + before.samples
    return pieces[0].pts, np.concatenate([piece.to_ndarray() for piece in pieces], axis=1)


def test_what_is_missing_between_pieces_is_silence_and_overlaps_are_cut() -> None:
    track = AudioTrack(START)
    pieces = []
    for begin, seconds in ((-0.3, 0.4), (0.1, 0.2), (1.0, 0.5), (1.1, 1.0), (2.1, 0.1)):
        pieces += list(track.pieces(sound_piece(begin, seconds, rate=RATE)))
    first, samples = joined(pieces)
    assert first == 0
    assert samples.shape == (2, round(2.2 * RATE))


def test_small_differences_of_clocks_are_let_be() -> None:
    track = AudioTrack(START)
    pieces = [piece for number in range(50) for piece in track.pieces(sound_piece(number * 0.0205, 0.02, rate=RATE))]
    _, samples = joined(pieces)
    assert samples.shape[1] == pytest.approx(50 * 0.0205 * RATE, abs=0.06 * RATE)


def test_two_sinks_may_take_the_same_piece() -> None:
    piece = sound_piece(0.5, 0.02)
    starts = [next(AudioTrack(START).pieces(piece)).pts for _ in range(2)]
    assert starts == [RATE // 2] * 2


def test_sound_that_nobody_fetches_does_not_pile_up() -> None:
    queue = AudioQueue()
    for number in range(1000):
        queue.put(sound_piece(number * 0.02, 0.02))
    pieces = queue.take()
    assert len(pieces) == pytest.approx(SOUND_SECONDS / 0.02, abs=1)
    assert pieces[-1].pts == sound_piece(999 * 0.02, 0.02).pts
    assert queue.take() == []
