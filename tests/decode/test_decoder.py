import os
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from av.stream import Disposition

from pipeline.config import DecodeConfig
from pipeline.decode.decoder import decode, rotate
from pipeline.decode.demuxer import MediaReader
from pipeline.decode.reader import main_video
from pipeline.decode.source import open_source
from pipeline.decode.trim import FrameTimes
from pipeline.errors import InputError
from pipeline.media.packets import SidePackets
from pipeline.threads import prefetch
from tests.support import media
from tests.support.media import AWKWARD_NAMES, Clip, Sound, make_clip

VFR = (0, 512, 1024, 1500, 2600, 2601, 4000, 9000, 9512, 10000, 12345, 15000)


def read(path, **config):
    """Frames, and bytes and times of the audio packets by stream index."""
    side_packets, packets = SidePackets(), {}
    with open_source(path, DecodeConfig(**config)) as source:
        frames = list(decode(source, side_packets))
        for packet in side_packets.take_before(len(frames)):
            packets.setdefault(packet.stream_index, []).append((packet.pts * packet.time_base, bytes(packet)))
    return frames, packets


def read_piped(path, monkeypatch, **config):
    """As `read`, through a pipe on standard input."""
    receiver, sender = os.pipe()

    def feed():
        with suppress(BrokenPipeError), open(sender, "wb") as file:
            file.write(path.read_bytes())

    thread = threading.Thread(target=feed)
    thread.start()
    with open(receiver, "rb") as file:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=file))
        found = read("-", **config)
    thread.join()
    return found


def far_from_square(frames, numbers=None, **size):
    """The greatest mean difference of a frame to its picture."""
    numbers = range(len(frames)) if numbers is None else numbers
    differences = [
        np.abs(frame.pixels.astype(int) - media.moving_square(number, **size)).mean()
        for frame, number in zip(frames, numbers, strict=True)
    ]
    return max(differences)


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".mov"])
def test_variable_frame_rate_with_b_frames_keeps_every_pts(tmp_path, ending):
    time_base = Fraction(1, 1000) if ending == ".mkv" else Fraction(1, 15360)
    frames, _ = read(make_clip(tmp_path / f"vfr{ending}", Clip(pts=VFR, time_base=time_base)))
    assert [frame.seconds for frame in frames] == [pts * time_base for pts in VFR]
    assert far_from_square(frames) < 4


def test_fractional_rate_is_exact(tmp_path):
    pts = range(0, 1001 * 40, 1001)
    frames, _ = read(make_clip(tmp_path / "ntsc.mp4", Clip(pts=pts, time_base=Fraction(1, 30000))))
    assert [frame.seconds for frame in frames] == [Fraction(1001 * number, 30000) for number in range(40)]


def test_durations_are_told_the_last_one_too(tmp_path):
    clip = Clip(pts=(0, 40, 100, 130), time_base=Fraction(1, 1000), last_duration=700)
    frames, _ = read(make_clip(tmp_path / "uneven.mkv", clip))
    assert [frame.duration * frame.time_base * 1000 for frame in frames] == [40, 60, 30, 700]


@pytest.mark.parametrize("ending", [".mp4", ".ts"])
def test_a_late_start_is_moved_to_zero_with_sound_and_picture_alike(tmp_path, ending):
    time_base = Fraction(1, 90000)
    clip = Clip(
        pts=range(9_000_000, 9_000_000 + 3000 * 20, 3000),
        time_base=time_base,
        sounds=[Sound(start_seconds=Fraction(1001, 10), codec="aac")],
    )
    path = make_clip(tmp_path / f"late{ending}", clip)
    plain = media.contents(path)
    frames, packets = read(path)
    assert 0 <= frames[0].seconds < Fraction(1, 5)
    assert [frame.seconds - frames[0].seconds for frame in frames] == plain.relative_times
    assert packets[1][0][0] - frames[0].seconds == pytest.approx(plain.offset, abs=1 / 48000)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotated_clips_come_upright(tmp_path, rotation):
    frames, _ = read(make_clip(tmp_path / "turned.mp4", Clip(rotation=rotation, pts=range(0, 5120, 512))))
    expected = np.rot90(media.moving_square(0), rotation // 90)
    assert frames[0].pixels.shape == expected.shape
    assert frames[0].pixels.flags.c_contiguous
    assert np.abs(frames[0].pixels.astype(int) - expected).mean() < 4


def test_turning_is_what_numpy_does():
    picture = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    for quarters in range(4):
        assert np.array_equal(rotate(picture, quarters), np.rot90(picture, quarters))


def test_odd_sizes_stay_odd(tmp_path):
    frames, _ = read(make_clip(tmp_path / "odd.mp4", Clip(width=65, height=49, pixel_format="yuv444p")))
    assert {frame.pixels.shape for frame in frames} == {(49, 65, 3)}
    assert far_from_square(frames, width=65, height=49) < 4


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", [1, 6, 9])
def test_tagged_colors_are_read_within_two_levels(tmp_path, matrix, full_range, pixel_format):
    bars = media.color_bars()
    planes = media.to_yuv(bars, matrix, full_range=full_range, bits=10 if "10" in pixel_format else 8)
    clip = Clip(
        pts=(0, 512),
        width=288,
        options={"qp": "0", "preset": "ultrafast"},
        pixel_format=pixel_format,
        tags=(matrix, 2 if full_range else 1, matrix, matrix if matrix != 9 else 14),
        planes=planes,
    )
    frames, _ = read(make_clip(tmp_path / "bars.mp4", clip))
    assert np.abs(media.bar_colors(frames[0].pixels) - media.bar_colors(bars)).max() <= 2


@pytest.mark.parametrize(("width", "height", "matrix"), [(288, 48, 6), (720, 576, 6), (1280, 720, 1), (1280, 536, 1)])
def test_untagged_colors_are_read_as_players_do(tmp_path, width, height, matrix):
    bars = media.color_bars(width, height)
    options = {"qp": "0", "preset": "ultrafast"}
    planes = media.to_yuv(bars, matrix, full_range=False)
    clip = Clip(pts=(0,), width=width, height=height, options=options, planes=planes)
    frames, _ = read(make_clip(tmp_path / "bars.mp4", clip))
    assert np.abs(media.bar_colors(frames[0].pixels) - media.bar_colors(bars)).max() <= 2


def test_all_sound_tracks_travel_along_untouched(tmp_path):
    sounds = [Sound(metadata={"language": "eng"}), Sound(codec="ac3", hertz=880)]
    path = make_clip(tmp_path / "two.mkv", Clip(sounds=sounds, time_base=Fraction(1, 1000), pts=range(0, 1000, 40)))
    _, packets = read(path)
    assert [[data for _, data in packets[index]] for index in (1, 2)] == media.contents(path).sounds


def test_the_last_frames_come_where_sound_is_the_first_stream(tmp_path):
    path = make_clip(tmp_path / "sound_first.mkv", Clip(sounds=[Sound()], has_sound_first=True))
    frames, packets = read(path)
    assert len(frames) == len(media.contents(path).times) == 30
    assert [data for _, data in packets[0]] == media.contents(path).sounds[0]


def test_a_cover_picture_is_not_the_video(tmp_path):
    frames, _ = read(make_clip(tmp_path / "cover.mp4", Clip(has_cover=True)))
    assert len(frames) == 30
    assert frames[0].pixels.shape == (48, 64, 3)


def test_the_main_video_is_the_first_that_is_no_cover():
    cover = SimpleNamespace(codec_context=object(), disposition=Disposition.attached_pic, type="video")
    small = SimpleNamespace(codec_context=object(), disposition=Disposition(0), type="video")
    best = SimpleNamespace(codec_context=object(), disposition=Disposition.default, type="video")
    streams = SimpleNamespace(video=[cover, small, best])
    assert main_video(SimpleNamespace(streams=streams), "x") is small


# --- a part of a clip ---


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory):
    """Eight seconds, a key frame every two, sound of the same length."""
    clip = Clip(
        pts=range(0, 512 * 240, 512),
        options={"crf": "12", "preset": "ultrafast", "bf": "3", "g": "60"},
        sounds=[Sound(seconds=Fraction(8))],
    )
    return make_clip(tmp_path_factory.mktemp("long") / "long.mp4", clip)


@pytest.mark.parametrize("start", ["0", "1/60", "1/30", "1/7", "2", "3.3", "22/7", "5.999", "7.9"])
def test_start_is_exact_by_seeking(long_clip, start):
    start = Fraction(start)
    first = -(-start * 30 // 1)
    frames, packets = read(long_clip, start_seconds=start, duration_seconds=Fraction(1, 2))
    expected = [number for number in range(first, 240) if number / Fraction(30) < start + Fraction(1, 2)]
    assert len(frames) == len(expected)
    shift = start // Fraction(1, 15360) * Fraction(1, 15360)
    assert [frame.seconds for frame in frames] == [Fraction(number, 30) - shift for number in expected]
    assert far_from_square(frames, expected) < 4
    whole = read(long_clip)[1][1]
    inside = [(seconds - shift, data) for seconds, data in whole if seconds < start + Fraction(1, 2)]
    assert packets[1] == [(seconds, data) for seconds, data in inside if seconds + shift >= start or not start]


def test_a_seek_that_lands_too_late_loses_nothing(long_clip, monkeypatch):
    monkeypatch.setattr("pipeline.decode.source.SEEK_MARGINS_SECONDS", (-3, Fraction(-1, 2)))
    frames, _ = read(long_clip, start_seconds=Fraction(19, 5), duration_seconds=Fraction(1, 2))
    assert len(frames) == 15
    assert far_from_square(frames, range(114, 129)) < 4


def test_a_part_decodes_little_of_what_lies_around_it(long_clip, monkeypatch):
    decoded = []
    plain = MediaReader._decode
    monkeypatch.setattr(MediaReader, "_decode", lambda self, packet: decoded.append(packet) or plain(self, packet))
    frames, _ = read(long_clip, start_seconds=Fraction(15, 2))
    assert len(frames) == 15
    assert len(decoded) <= 70
    decoded.clear()
    frames, _ = read(long_clip, duration_seconds=Fraction(1, 2))
    assert len(frames) == 15
    assert len(decoded) <= 70


def test_start_in_a_pipe_gives_the_same_as_seeking(long_clip, tmp_path, monkeypatch):
    path = tmp_path / "long.mkv"
    clip = Clip(pts=range(0, 8000, 40), time_base=Fraction(1, 1000), sounds=[Sound(seconds=Fraction(8))])
    make_clip(path, clip)
    part = {"start_seconds": Fraction(33, 10), "duration_seconds": Fraction(1)}
    sought, piped = read(path, **part), read_piped(path, monkeypatch, **part)
    assert [frame.pts for frame in sought[0]] == [frame.pts for frame in piped[0]]
    assert len(sought[0]) == 25
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(sought[0], piped[0], strict=True))
    assert sought[1] == piped[1]


def test_a_start_behind_the_end_is_an_error(long_clip):
    with pytest.raises(InputError, match="no frame from 99 s on"):
        open_source(long_clip, DecodeConfig(start_seconds=Fraction(99)))


def test_a_height_scales_and_keeps_the_aspect(tmp_path):
    path = make_clip(tmp_path / "clip.mp4", Clip(width=96, height=64))
    with open_source(path, DecodeConfig(height=40)) as source:
        frames = list(decode(source))
        assert (source.info.width, source.info.height) == (60, 40)
    assert {frame.pixels.shape for frame in frames} == {(40, 60, 3)}
    whole = media.moving_square(0, width=96, height=64)
    assert abs(frames[0].pixels.mean() - whole.mean()) < 3


# --- awkward streams ---


def test_frames_that_change_size_are_scaled_to_the_first(tmp_path):
    options = {"crf": "12", "preset": "ultrafast"}
    parts = [
        make_clip(
            tmp_path / f"{width}.ts",
            Clip(width=width, options=options, pts=range(first, first + 15 * 3000, 3000), time_base=Fraction(1, 90000)),
        )
        for width, first in ((64, 0), (96, 45000))
    ]
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames, _ = read(path)
    assert len(frames) == 30
    assert {frame.pixels.shape for frame in frames} == {(48, 64, 3)}
    assert all(a.pts < b.pts for a, b in pairwise(frames))


def test_a_bare_stream_without_times_gets_even_ones(tmp_path):
    path = make_clip(tmp_path / "bare.h264", Clip(time_base=Fraction(1, 30), pts=range(20)), form="h264")
    frames, _ = read(path)
    assert len(frames) == 20
    assert len({b.pts - a.pts for a, b in pairwise(frames)}) == 1
    assert far_from_square(frames) < 4


def test_missing_double_and_backward_times_become_increasing():
    times = FrameTimes(Fraction(1, 30), Fraction(0), Fraction(30))
    given = [0, None, 2, 2, 1, 10, None]
    frames = [SimpleNamespace(pts=pts, dts=None, duration=1) for pts in given]
    assert [times.pts(frame) for frame in frames] == [0, 1, 2, 3, 4, 10, 11]


def test_a_damaged_packet_is_skipped_and_noted(tmp_path):
    path = make_clip(tmp_path / "clip.mp4", Clip(options={"crf": "12", "preset": "ultrafast", "g": "5"}))
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packet = next(p for n, p in enumerate(container.demux(video=0)) if n == 10)
        data[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    path.write_bytes(data)
    frames, _ = read(path)
    assert 25 <= len(frames) < 30
    with open_source(path) as source:
        assert len([item for item in decode(source)]) == len(frames)
        assert len(source.damage) == 1
        assert 10 <= source.damage[0].packet_index < 10 + 2 * (os.cpu_count() or 1)  # decoder threads report late


def test_a_clip_whose_first_packets_all_fail_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.decode.demuxer.HOPELESS_PACKETS", 5)
    path = make_clip(tmp_path / "clip.mp4")
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            if packet.size:
                data[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    path.write_bytes(data)
    with pytest.raises(InputError, match="first 5 packets"):
        open_source(path)


@pytest.mark.parametrize("form", ["matroska", "mpegts"])
def test_a_truncated_clip_is_read_to_its_end(tmp_path, form):
    path = make_clip(tmp_path / "clip.mkv", Clip(time_base=Fraction(1, 1000), pts=range(0, 4000, 40)), form=form)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    frames, _ = read(path)
    assert 40 <= len(frames) < 100


def faststart(source, target):
    """Copy the picture of ``source`` into an mp4 with its index in front."""
    with av.open(str(source)) as before, av.open(str(target), "w", options={"movflags": "+faststart"}) as after:
        stream = after.add_stream_from_template(before.streams.video[0])
        for packet in before.demux(video=0):
            if packet.size:
                packet.stream = stream
                after.mux(packet)
    return target


def test_an_mp4_cut_short_is_noted_and_a_whole_one_is_not(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", Clip(pts=range(0, 512 * 120, 512)))
    path = faststart(clip, tmp_path / "front.mp4")
    for whole in (clip, path):
        with open_source(whole) as source:
            assert len(list(decode(source))) == 120
            assert not source.damage
    with open_source(path, DecodeConfig(duration_seconds=Fraction(1))) as source:
        assert len(list(decode(source))) < 120
        assert not source.damage
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with open_source(path) as source:
        count = len(list(decode(source)))
        assert 20 < count < 110
        assert f"ends after {count} of 120 frames" in source.damage[-1].reason


@pytest.mark.parametrize("ending", [".gif", ".webp"])
def test_animated_pictures_are_read(tmp_path, ending):
    Image = pytest.importorskip("PIL.Image")
    pictures = [Image.fromarray(media.moving_square(number)) for number in range(5)]
    path = tmp_path / f"moving{ending}"
    options = {"lossless": True} if ending == ".webp" else {}
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=[40, 80, 120, 40, 200], **options)
    frames, _ = read(path)
    assert [frame.seconds * 1000 for frame in frames] == [0, 40, 120, 240, 280]
    assert frames[-1].duration * frames[-1].time_base == Fraction(1, 5)
    assert far_from_square(frames) < 12


# --- what cannot be read ---


def broken(name, folder):
    path = folder / name
    if name == "folder.mp4":
        path.mkdir()
    elif name == "empty.mp4":
        path.touch()
    elif name == "text.mp4":
        path.write_text("This is a shopping list.\n" * 40)
    elif name == "sound.m4a":
        with av.open(str(path), "w", format="mp4") as container:
            track = media._add_sound(container, Sound())
            media._write_sound(container, Sound(), track)
    elif name == "picture.png":
        from PIL import Image

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
def test_what_is_no_video_is_refused_in_one_line(tmp_path, name):
    with pytest.raises(InputError, match=REASONS[name]) as caught:
        open_source(broken(name, tmp_path))
    assert "\n" not in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)


def test_what_may_not_be_read_is_refused_in_one_line(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    source = make_clip(tmp_path / "in.mkv")
    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr("av.open", refuse)
    with pytest.raises(InputError, match="check its permissions"):
        open_source(source)


def test_an_enormous_picture_is_refused_in_one_line(tmp_path, monkeypatch):
    Image = pytest.importorskip("PIL.Image")
    source = tmp_path / "in.webp"
    Image.fromarray(media.moving_square(0)).save(source)
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 10)
    with pytest.raises(InputError, match="decompression bomb"):
        open_source(source)


@pytest.mark.parametrize("kind", ["ffconcat", "m3u8", "sdp", "pattern"])
def test_lists_and_scripts_open_nothing_else(tmp_path, kind):
    make_clip(tmp_path / "secret.mp4")
    texts = {
        "ffconcat": "ffconcat version 1.0\nfile secret.mp4\n",
        "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nsecret.mp4\n#EXT-X-ENDLIST\n",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        "pattern": "%03d",
    }
    path = tmp_path / "evil.mp4"
    path.write_text(texts[kind])
    with pytest.raises(InputError):
        open_source(path)


@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_strange_names_are_names(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain = make_clip(tmp_path / "plain.mp4", Clip(pts=(0, 512, 1024)))
    name = os.fsdecode(name)
    plain.rename(name)
    frames, _ = read(name)
    assert len(frames) == 3


def test_a_pipe_is_read(tmp_path, monkeypatch):
    clip = Clip(time_base=Fraction(1, 1000), pts=range(0, 1000, 40), sounds=[Sound()])
    path = make_clip(tmp_path / "clip.mkv", clip)
    frames, packets = read_piped(path, monkeypatch)
    assert [frame.seconds for frame in frames] == media.contents(path).times
    assert [data for _, data in packets[1]] == media.contents(path).sounds[0]


def test_an_input_that_fails_midway_is_one_line(tmp_path, monkeypatch):
    path = make_clip(tmp_path / "clip.mkv", Clip(width=320, height=240, options={"qp": "1"}))

    def fail(file, size):
        part = whole(file, size)
        if not part:
            raise OSError(5, "Input/output error")
        return part

    whole = os.read
    monkeypatch.setattr("os.read", fail)
    with path.open("rb") as file:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=file))
        with pytest.raises(InputError, match="Input/output error"):
            read("-")


# --- leaving ---

LEAVE_EARLY = """
import os, sys, time
from contextlib import closing, suppress
from pipeline.decode.decoder import decode
from pipeline.decode.source import open_source
from pipeline.threads import prefetch

def leave(taken):
    with open_source(sys.argv[1]) as source:
        with closing(prefetch(decode(source), depth=2, name="decode")) as items:
            for _ in range(taken):
                next(items)

for taken in range(12):
    leave(taken)
deadline = time.monotonic() + 5
while len(os.listdir("/proc/self/task")) > 1 and time.monotonic() < deadline:
    time.sleep(0.01)
print(len(os.listdir("/proc/self/task")))
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted in /proc")
def test_leaving_early_neither_hangs_nor_leaves_a_thread(tmp_path):
    path = make_clip(tmp_path / "clip.mp4", Clip(width=320, height=240, sounds=[Sound()]))
    root = Path(__file__).resolve().parents[2]
    environment = dict(os.environ, PYTHONPATH=str(root), OPENBLAS_NUM_THREADS="1")
    command = [sys.executable, "-c", LEAVE_EARLY, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environment)
    assert done.stdout.strip() == "1"
    assert done.stderr == ""


def test_a_stage_in_a_thread_gives_the_same(tmp_path):
    path = make_clip(tmp_path / "clip.mp4", Clip(sounds=[Sound()]))
    packets = SidePackets()
    with open_source(path) as source, closing(prefetch(decode(source, packets), depth=3)) as frames:
        assert sum(1 for _ in frames) == 30
    assert len(packets.take_before(30)) == len(media.contents(path).sounds[0])


# --- real clips ---

shared = pytest.mark.skipif(not media.SHARED.is_dir(), reason="no folder of real clips beside the checkout")


@shared
@pytest.mark.shared
@pytest.mark.parametrize(
    "name",
    [
        "exoplayer__bbb_2500ms.ts",
        "exoplayer__sample.avi",
        "exoplayer__sample_with_srt.mkv",
        "exoplayer__video_1.mp4",
        "exoplayer__video_desks.3gp",
        "moviepy__no_duration.webm",
        "torchcodec__discard_first_keyframe.mp4",
        "torchcodec__nasa_13013.mp4",
        "torchcodec__test_non_zero_start.mp4",
    ],
)
def test_real_clips_give_every_frame_at_its_time(name):
    path = media.SHARED / name
    with av.open(str(path), metadata_errors="replace") as container:
        video = container.streams.video[0]
        plain = [frame.pts * video.time_base for frame in container.decode(video)]
    frames, _ = read(path)
    assert [frame.seconds - frames[0].seconds for frame in frames] == [time - plain[0] for time in plain]


@shared
@pytest.mark.shared
def test_a_clip_of_which_nothing_decodes_is_refused_at_once():
    start = time.monotonic()
    with pytest.raises(InputError, match="none of its video frames can be decoded"):
        open_source(media.SHARED / "exoplayer__invalid-bitstream.webm")
    assert time.monotonic() - start < 5
