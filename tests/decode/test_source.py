import os
import struct
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

import cli
from pipeline.decode.source import open_source
from pipeline.errors import InputError
from tests.support import media
from tests.support.clips.reading import read, square_error
from tests.support.media import AWKWARD_NAMES, Audio, Clip, make_clip

ROOT = Path(cli.__file__).parent


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds with a key frame every two."""
    options = {"crf": "12", "preset": "ultrafast", "bf": "3", "g": "60"}
    clip = Clip(pts=range(0, 512 * 240, 512), options=options)
    return make_clip(tmp_path_factory.mktemp("long") / "long.mp4", clip)


def test_a_seek_that_lands_too_late_loses_nothing(long_clip: Path, tmp_path: Path) -> None:
    """The index names frame 80 as a key frame instead of 61, so that the first frame that decodes is number 120."""
    data = bytearray(long_clip.read_bytes())
    entries = data.index(b"stss") + 12
    assert struct.unpack_from(">4I", data, entries) == (1, 61, 121, 181)
    struct.pack_into(">I", data, entries + 4, 80)
    path = tmp_path / "wrong.mp4"
    path.write_bytes(data)
    with av.open(str(path)) as container:
        container.seek(int(Fraction(14, 5) / Fraction(1, 15360)), stream=container.streams.video[0])
        first = next(container.decode(video=0))
        assert first.pts * first.time_base >= Fraction(19, 5)
    frames, _ = read(path, start_seconds=Fraction(19, 5), duration_seconds=Fraction(1, 2))
    assert len(frames) == 15
    assert square_error(frames, range(114, 129)) < 4


READ_BYTES = """
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from tests.support.clips.reading import count_frames

def read_bytes():
    return int(Path("/proc/self/io").read_text().split("rchar: ")[1].split()[0])

count_frames(Path(sys.argv[1]), duration_seconds=Fraction(1, 10))  # imports and opens whatever it needs
before = read_bytes()
start, duration = (Fraction(text) if text else None for text in sys.argv[2:])
print(count_frames(Path(sys.argv[1]), start_seconds=start, duration_seconds=duration)[0], read_bytes() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="bytes are counted in /proc")
@pytest.mark.parametrize("part", [("15/2", ""), ("", "1/2")])
def test_a_part_reads_little_of_the_rest(tmp_path: Path, part: tuple[str, str]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 120, 160)).astype(np.uint16)
    clip = Clip(pts=range(0, 512 * 240, 512), width=160, height=120, planes=noise)
    path = make_clip(tmp_path / "long.mov", replace(clip, codec="mjpeg", pixel_format="yuvj420p", options={}))
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    command = [sys.executable, "-c", READ_BYTES, str(path), *part]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environment)
    frames, count = map(int, done.stdout.split())
    assert frames == 15
    assert count < path.stat().st_size * 0.3


def broken(name: str, folder: Path) -> Path:
    """Make a file of this name that is not a video."""
    path = folder / name
    if name == "folder.mp4":
        path.mkdir()
    elif name == "empty.mp4":
        path.touch()
    elif name == "text.mp4":
        path.write_text("This is a shopping list.\n" * 40)
    elif name == "sound.m4a":
        with (
            av.open(str(make_clip(folder / "clip.mp4", Clip(audio=[Audio()])))) as before,
            av.open(str(path), "w", format="mp4") as after,
        ):
            track = after.add_stream_from_template(before.streams.audio[0])
            for packet in before.demux(audio=0):
                if packet.size:
                    packet.stream = track
                    after.mux(packet)
    elif name == "picture.png":
        Image.fromarray(media.moving_square(0)).save(path)
    return path


REASONS = {
    "missing.mp4": "no such file",
    "folder.mp4": "is a folder",
    "empty.mp4": "is empty",
    "text.mp4": "is not a video",
    "sound.m4a": "has no video",
    "picture.png": "is not a video format",
}


@pytest.mark.parametrize("name", REASONS)
def test_what_is_not_a_video_is_an_error_of_one_line(tmp_path, name):
    with pytest.raises(InputError, match=REASONS[name]) as caught:
        open_source(broken(name, tmp_path))
    assert "\n" not in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)


def test_missing_permission_is_an_error(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    source = make_clip(tmp_path / "in.mkv")
    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr("av.open", refuse)
    with pytest.raises(InputError, match="check its permissions"):
        open_source(source)


@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_awkward_names_are_file_names(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain = make_clip(tmp_path / "plain.mp4", Clip(pts=(0, 512, 1024)))
    name = os.fsdecode(name)
    plain.rename(name)
    frames, _ = read(name)
    assert len(frames) == 3


shared = pytest.mark.skipif(not media.SHARED.is_dir(), reason="no folder of real clips beside the checkout")


@shared
@pytest.mark.shared
def test_a_clip_without_a_frame_that_decodes_is_refused_at_once():
    start = time.monotonic()
    with pytest.raises(InputError, match="none of its video frames"):
        open_source(media.SHARED / "exoplayer__invalid-bitstream.webm")
    assert time.monotonic() - start < 5
