"""The output appears complete or not at all."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.errors import EncodeError, InputError, OutputError
from tests.support import media
from tests.support.clips.transcoding import transcode_file
from tests.support.media import AWKWARD_NAMES, Audio, Clip, make_clip

HIDDEN = ".flowbrush-"


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clip") / "in.mp4", Clip(audio=[Audio()]))


def temporary_files(folder):
    return [name for name in os.listdir(folder) if name.startswith(HIDDEN)]


class Trouble(Exception):
    pass


@pytest.mark.parametrize("codec", ["h264", "h265", "av1", "vp9"])
@pytest.mark.parametrize("error", [Trouble("the model broke"), KeyboardInterrupt(), InputError("x", "gone")])
def test_a_failure_leaves_nothing_and_is_raised_unchanged(tmp_path, error, codec, capfd):
    path = make_clip(tmp_path / "in.mp4", Clip(width=128, height=128, audio=[Audio()]))
    target = tmp_path / "out.mp4"
    target.write_text("the old file")

    def fail(frames):
        for number, frame in enumerate(frames):
            if number == 20:
                raise error
            yield frame

    with pytest.raises(type(error)) as caught:
        transcode_file(path, target, change=fail, overwrite=True, codec=codec)
    assert caught.value is error
    assert target.read_text() == "the old file"
    assert temporary_files(tmp_path) == []
    assert capfd.readouterr().err == ""


FULL_DISK = """
import resource, signal, sys
from pipeline.decode.decoder import decode
from pipeline.encode.writer import encode
from pipeline.errors import OutputError
from pipeline.encode.planner import plan_output
from pipeline.decode.source import open_source

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with open_source(sys.argv[1]) as source:
    plan = plan_output(source, sys.argv[2])
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
    try:
        encode(decode(source), plan)
    except OutputError as error:
        print(error)
"""


@pytest.mark.parametrize("size", [100, 4_000, 9_000])
@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files")
def test_a_full_disk_is_an_error_of_one_line_and_leaves_nothing(tmp_path, size):
    path = make_clip(tmp_path / "in.mp4", Clip(width=320, height=240, pts=range(0, 512 * 60, 512)))
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", FULL_DISK, str(path), str(tmp_path / "out.mp4"), str(size)]
    environment = dict(os.environ, PYTHONPATH=str(root))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environment)
    assert done.stdout.count("\n") == 1
    assert "cannot be written (File too large)" in done.stdout
    assert done.stderr == ""
    assert os.listdir(tmp_path) == ["in.mp4"]


def test_a_file_that_cannot_be_renamed_leaves_nothing(tmp_path, monkeypatch):
    path = make_clip(tmp_path / "in.mp4")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(OutputError, match="Permission denied"):
        transcode_file(path, tmp_path / "out.mp4")
    assert os.listdir(tmp_path) == ["in.mp4"]


def test_a_file_that_appears_meanwhile_stays(clip, tmp_path):
    target = tmp_path / "o.mkv"

    def put(items):
        target.write_bytes(b"someone else's")
        yield from items

    with pytest.raises(OutputError, match="meanwhile"):
        transcode_file(clip, target, change=put)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("o.mkv", b"someone else's")]
    transcode_file(clip, target, change=put, overwrite=True)
    assert target.read_bytes() != b"someone else's"


def test_a_link_still_points_at_the_file_that_is_replaced(tmp_path):
    path = make_clip(tmp_path / "in.mp4")
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "film.mp4").write_text("old")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "real" / "film.mp4")
    transcode_file(path, tmp_path / "link.mp4", overwrite=True)
    assert (tmp_path / "link.mp4").is_symlink()
    assert len(media.contents(tmp_path / "real" / "film.mp4").times) == 30


def test_a_clip_may_replace_itself(tmp_path):
    path = make_clip(tmp_path / "in.mp4", Clip(audio=[Audio()]))
    before = media.contents(path)
    transcode_file(path, path, overwrite=True)
    after = media.contents(path)
    assert (after.times, after.audio) == (before.times, before.audio)


def test_a_pipe_carries_matroska(clip, tmp_path, monkeypatch):
    receiver, sender = os.pipe()
    received = []

    def drain():
        with open(receiver, "rb") as file:
            received.append(file.read())

    thread = threading.Thread(target=drain)
    thread.start()
    with open(sender, "wb") as file:
        monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=file))
        report, _ = transcode_file(clip, "-")
    thread.join()
    (tmp_path / "out.mkv").write_bytes(received[0])
    after = media.contents(tmp_path / "out.mkv")
    assert report.frames == len(after.times) == 30
    assert after.audio == media.contents(clip).audio


def test_a_pipe_that_does_not_block_gets_all(clip, tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    receiver, sender = os.pipe()
    fcntl.fcntl(sender, 1031, 4096)  # F_SETPIPE_SZ: smaller than what is written at once
    os.set_blocking(sender, False)
    received = []

    def drain():
        with open(receiver, "rb", buffering=0) as file:
            while data := file.read(1000):
                received.append(data)
                time.sleep(0.001)

    thread = threading.Thread(target=drain)
    thread.start()
    with open(sender, "wb", buffering=0) as file:
        monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=file))
        report, _ = transcode_file(clip, "-")
    thread.join()
    (tmp_path / "out.mkv").write_bytes(b"".join(received))
    assert report.frames == len(media.contents(tmp_path / "out.mkv").times) == 30
    assert media.contents(tmp_path / "out.mkv").audio == media.contents(clip).audio


def test_a_pipe_that_nobody_reads_is_an_error(clip, monkeypatch):
    receiver, sender = os.pipe()
    os.close(receiver)
    file = open(sender, "wb", buffering=0)  # noqa: SIM115 - closed below
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=file))
    with pytest.raises(EncodeError, match="Broken pipe"):
        transcode_file(clip, "-")
    file.close()


@pytest.mark.parametrize("name", [*AWKWARD_NAMES, "long" * 62 + ".mp4"])
def test_awkward_names_are_file_names(clip, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(name)
    report, _ = transcode_file(clip, name)
    assert report.frames == 30
    assert os.listdir(tmp_path) == [name]
    assert len(media.contents(name).times) == 30
