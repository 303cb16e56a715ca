import io
import os
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from av.stream import Disposition

from pipeline.config import DecodeConfig, EncodeConfig
from pipeline.decode.decoder import decode
from pipeline.decode.source import open_source
from pipeline.encode.encoder import VideoEncoder, add_video_stream
from pipeline.encode.gif_palette import GifPalette
from pipeline.encode.planner import plan_output
from pipeline.errors import EncodeError, InputError, OutputError
from pipeline.frames import Frame
from tests.support import media
from tests.support.media import AWKWARD_NAMES, Clip, Sound, make_clip
from tests.support.transcoding import transcode

VFR = (0, 512, 1024, 1500, 2600, 2601, 4000, 9000, 9512, 10000, 12345, 15000)
HIDDEN = ".flowbrush-"


def repaint(path, target, *, change=lambda frames: frames, tag=None, decoding=None, **config):
    """Through decode and encode; ``change`` maps the items on their way."""
    with open_source(path, DecodeConfig(**(decoding or {}))) as source:
        plan = plan_output(source, target, EncodeConfig(**config))
        report = transcode(source, plan, change=change, tag=tag)
    return report, plan


def left_over(folder):
    return [name for name in os.listdir(folder) if name.startswith(HIDDEN)]


def far_from_square(path, **size):
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return max(
        np.abs(picture.astype(int) - media.moving_square(number, **size)).mean()
        for number, picture in enumerate(frames)
    )


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".mov", ".m4v"])
@pytest.mark.parametrize("source_ending", [".mp4", ".mkv"])
def test_times_and_sound_come_through_exactly(tmp_path, source_ending, ending):
    time_base = Fraction(1, 1000) if source_ending == ".mkv" else Fraction(1, 15360)
    pts = [round(tick * Fraction(1, 15360) / time_base) for tick in VFR if tick != 2601]
    sounds = [Sound(metadata={"language": "deu"}), Sound(codec="ac3", hertz=880, start_seconds=Fraction(1, 5))]
    path = make_clip(tmp_path / f"in{source_ending}", Clip(pts=pts, time_base=time_base, sounds=sounds))
    target = tmp_path / f"out{ending}"
    report, plan = repaint(path, target)
    before, after = media.contents(path), media.contents(target)
    tick = 0 if before.time_base == after.time_base or ending != ".mkv" else Fraction(1, 1000)
    assert report.frames == len(after.times) == len(pts)
    assert all(abs(a - b) <= tick for a, b in zip(before.relative_times, after.relative_times, strict=True))
    assert after.sounds == before.sounds
    assert report.audio_packets == sum(map(len, before.sounds))
    assert abs(after.offset - before.offset) <= max(tick, Fraction(1, 48000) if source_ending == ".mkv" else 0)
    assert plan.notices == ()
    assert left_over(tmp_path) == []


@pytest.mark.parametrize(
    ("codec", "ending", "name"),
    [
        ("auto", ".mp4", "h264"),
        ("auto", ".webm", "vp9"),
        ("h265", ".mp4", "hevc"),
        ("av1", ".mkv", "av1"),
        ("libsvtav1", ".webm", "av1"),
        ("vp9", ".mkv", "vp9"),
        ("prores", ".mov", "prores"),
        ("ffv1", ".mkv", "ffv1"),
    ],
)
def test_every_codec_gives_every_frame_at_its_time(tmp_path, codec, ending, name, capfd):
    path = make_clip(tmp_path / "in.mkv", Clip(pts=range(0, 2400, 40), time_base=Fraction(1, 1000)))
    target = tmp_path / f"out{ending}"
    repaint(path, target, codec=codec)
    after = media.contents(target)
    assert name in after.codec
    assert after.relative_times == media.contents(path).relative_times
    assert far_from_square(target) < 8
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("codec", ["h264", "h265", "av1", "vp9", "prores", "ffv1"])
def test_odd_sizes_stay_odd(tmp_path, codec):
    path = make_clip(tmp_path / "in.mkv", Clip(width=165, height=97, pixel_format="yuv444p", pts=range(0, 5120, 512)))
    target = tmp_path / ("out.mov" if codec == "prores" else "out.mkv")
    _, plan = repaint(path, target, codec=codec)
    after = media.contents(target)
    assert (after.width, after.height) == (165, 97)
    assert far_from_square(target, width=165, height=97) < 8
    assert bool(plan.notices) == (plan.pixel_format != plan.encoder.formats.even)


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", [1, 5, 6])
def test_colors_come_back_within_two_levels_and_are_tagged(tmp_path, matrix, full_range):
    bars = media.color_bars()
    clip = Clip(
        pts=(0, 512, 1024),
        width=288,
        options={"qp": "0", "preset": "ultrafast"},
        tags=(matrix, 2 if full_range else 1, matrix, matrix if matrix != 5 else 6),
        planes=media.to_yuv(bars, matrix, full_range=full_range),
    )
    path = make_clip(tmp_path / "bars.mp4", clip)
    repaint(path, tmp_path / "out.mp4", quality=1)
    after = media.contents(tmp_path / "out.mp4")
    assert after.tags == (matrix, 1, matrix, matrix if matrix != 5 else 6)
    seen = media.to_rgb(after.planes[1], matrix, full_range=False)
    assert np.abs(media.bar_colors(seen) - media.bar_colors(bars)).max() <= 2


def test_wide_gamut_is_written_and_tagged_as_bt709_and_said(tmp_path):
    path = make_clip(tmp_path / "hdr.mp4", Clip(tags=(9, 1, 9, 16)))
    _, plan = repaint(path, tmp_path / "out.mp4")
    assert media.contents(tmp_path / "out.mp4").tags == (1, 1, 1, 1)
    assert "BT.709" in plan.notices[0]


def test_ffv1_is_lossless(tmp_path):
    path = make_clip(tmp_path / "in.mp4")
    stylized = []

    def remember(items):
        for item in items:
            stylized.append(item.pixels)
            yield item

    repaint(path, tmp_path / "out.mkv", codec="ffv1", change=remember)
    with av.open(str(tmp_path / "out.mkv")) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert all(np.array_equal(a, b) for a, b in zip(stylized, pictures, strict=True))


def test_pixels_keep_their_aspect_and_upright_frames_are_not_turned_again(tmp_path):
    path = make_clip(tmp_path / "in.mp4", Clip(sample_aspect_ratio=Fraction(4, 3), rotation=90))
    repaint(path, tmp_path / "out.mp4")
    after = media.contents(tmp_path / "out.mp4")
    assert (after.width, after.height, after.rotation) == (48, 64, 0)
    assert after.sample_aspect_ratio == Fraction(3, 4)


def test_the_last_duration_is_kept(tmp_path):
    clip = Clip(pts=(0, 40, 100, 130), time_base=Fraction(1, 1000), last_duration=700)
    repaint(make_clip(tmp_path / "in.mkv", clip), tmp_path / "out.mkv")
    assert media.contents(tmp_path / "out.mkv").durations[-1] == Fraction(7, 10)


def test_a_late_or_early_sound_keeps_its_offset(tmp_path):
    clip = Clip(pts=range(7680, 7680 + 512 * 30, 512), sounds=[Sound(start_seconds=Fraction(1, 10))])
    path = make_clip(tmp_path / "in.mp4", clip)
    for ending in (".mp4", ".mkv"):
        repaint(path, tmp_path / f"out{ending}")
        after = media.contents(tmp_path / f"out{ending}")
        assert abs(after.offset - media.contents(path).offset) <= Fraction(1, 1000 if ending == ".mkv" else 96000)


@pytest.mark.parametrize("milliseconds", [66, 67, 68])
def test_an_offset_between_samples_reaches_mp4(tmp_path, milliseconds):
    sounds = [Sound(codec="ac3", rate=44100, start_seconds=Fraction(milliseconds, 1000))]
    path = make_clip(tmp_path / "in.mkv", Clip(sounds=sounds))
    repaint(path, tmp_path / "out.mp4")
    assert abs(media.contents(tmp_path / "out.mp4").offset - media.contents(path).offset) <= Fraction(1, 44100)


def test_a_part_keeps_sound_and_picture_together(tmp_path):
    sounds = [Sound(seconds=Fraction(4), click_seconds=2.5)]
    path = make_clip(tmp_path / "in.mp4", Clip(pts=range(0, 512 * 120, 512), sounds=sounds))
    part = {"start_seconds": Fraction(2), "duration_seconds": Fraction(1)}
    report, _ = repaint(path, tmp_path / "out.mp4", decoding=part)
    assert report.frames == 30
    assert media.click_seconds(tmp_path / "out.mp4") == pytest.approx(0.5, abs=0.003)


# --- sound that the container refuses, or that is awkward ---


@pytest.mark.parametrize(("ending", "codec"), [(".webm", "opus"), (".mov", "aac")])
def test_refused_sound_is_transcoded_in_time_and_said(tmp_path, ending, codec):
    source = "pcm_s16le" if ending == ".webm" else "libopus"
    sounds = [Sound(codec=source, seconds=Fraction(2), click_seconds=1.25, start_seconds=Fraction(1, 4))]
    path = make_clip(tmp_path / "in.mkv", Clip(pts=range(0, 2000, 40), time_base=Fraction(1, 1000), sounds=sounds))
    _, plan = repaint(path, tmp_path / f"out{ending}")
    after = media.contents(tmp_path / f"out{ending}")
    assert codec in after.sound_codecs[0]
    assert "audio stream 1" in plan.notices[-1]
    assert media.click_seconds(tmp_path / f"out{ending}") == pytest.approx(media.click_seconds(path), abs=0.003)


def test_transcoded_sound_is_as_long_as_before(tmp_path):
    sounds = [Sound(codec="pcm_s16le", seconds=Fraction(2) + Fraction(700, 48000))]
    path = make_clip(tmp_path / "in.mkv", Clip(time_base=Fraction(1, 1000), pts=range(0, 2000, 40), sounds=sounds))
    repaint(path, tmp_path / "out.webm")
    with av.open(str(tmp_path / "out.webm")) as container:
        last = list(container.decode(audio=0))[-1]
    assert last.layout.nb_channels == 2
    assert float(last.time) + last.samples / last.sample_rate >= float(sounds[0].seconds) - 0.001


def test_pcm_of_a_mov_reaches_mp4(tmp_path):
    sounds = [Sound(codec="pcm_s16le", click_seconds=0.5)]
    path = make_clip(tmp_path / "in.mov", Clip(sounds=sounds))
    repaint(path, tmp_path / "out.mp4")
    assert media.click_seconds(tmp_path / "out.mp4") == pytest.approx(0.5, abs=0.003)


def test_sound_for_a_gif_is_dropped_and_said(tmp_path):
    path = make_clip(tmp_path / "in.mp4", Clip(sounds=[Sound(metadata={"language": "fra"})]))
    report, plan = repaint(path, tmp_path / "out.gif")
    assert report.audio_packets == 0
    assert plan.notices == ("audio stream 1 (aac, fra) is dropped: .gif files do not support it",)


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_double_backward_and_missing_dts_are_mended(tmp_path, ending):
    path = make_clip(tmp_path / "in.mp4", Clip(sounds=[Sound()]))

    def spoil(items):
        number = 0
        for item in items:
            if not isinstance(item, Frame):
                number += 1
                if number in (5, 6):
                    item.dts = item.pts = 4096
                elif number == 10:
                    item.dts = item.pts = 1000
                elif number == 20:
                    item.dts = None
                elif number == 30:
                    item.dts = item.pts = None
            yield item

    repaint(path, tmp_path / f"out{ending}", change=spoil)
    after = media.contents(tmp_path / f"out{ending}")
    assert after.sounds == media.contents(path).sounds
    assert after.sound_times[0] == sorted(after.sound_times[0])


# --- metadata ---


def test_languages_titles_and_dispositions_are_kept(tmp_path):
    sounds = [
        Sound(metadata={"language": "eng", "title": "Film"}),
        Sound(metadata={"language": "deu", "title": "Kommentar"}),
    ]
    path = make_clip(tmp_path / "in.mkv", Clip(sounds=sounds, metadata={"title": "Ein Film", "artist": "wir"}))
    with av.open(str(path)) as container:
        dispositions = [int(stream.disposition) for stream in container.streams.audio]
    repaint(path, tmp_path / "out.mkv", tag={"comment": "painted"})
    after = media.contents(tmp_path / "out.mkv")
    assert [(data["language"], data["title"]) for data in after.sound_metadata] == [
        ("eng", "Film"),
        ("deu", "Kommentar"),
    ]
    assert after.sound_dispositions == dispositions
    assert {key.lower(): text for key, text in after.metadata.items()} | {
        "title": "Ein Film",
        "artist": "wir",
        "comment": "painted",
    } == {key.lower(): text for key, text in after.metadata.items()}


def test_a_default_track_stays_the_default(tmp_path):
    path = make_clip(tmp_path / "in.mp4", Clip(sounds=[Sound(), Sound(hertz=880)]))

    with open_source(path) as source:
        source.other_streams[0].disposition = Disposition(0)
        source.other_streams[1].disposition = Disposition.default | Disposition.visual_impaired
        transcode(source, plan_output(source, tmp_path / "out.mkv"))
    after = media.contents(tmp_path / "out.mkv")
    assert after.sound_dispositions == [0, int(Disposition.default | Disposition.visual_impaired)]


# --- whole or not at all ---


class Trouble(Exception):
    pass


@pytest.mark.parametrize("codec", ["h264", "h265", "av1", "vp9"])
@pytest.mark.parametrize("error", [Trouble("the model broke"), KeyboardInterrupt(), InputError("x", "gone")])
def test_a_failure_leaves_nothing_and_is_told_as_it_was(tmp_path, error, codec, capfd):
    path = make_clip(tmp_path / "in.mp4", Clip(width=128, height=128, sounds=[Sound()]))
    target = tmp_path / "out.mp4"
    target.write_text("the old file")

    def fail(frames):
        for number, frame in enumerate(frames):
            if number == 20:
                raise error
            yield frame

    with pytest.raises(type(error)) as caught:
        repaint(path, target, change=fail, overwrite=True, codec=codec)
    assert caught.value is error
    assert target.read_text() == "the old file"
    assert left_over(tmp_path) == []
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
def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(tmp_path, size):
    path = make_clip(tmp_path / "in.mp4", Clip(width=320, height=240, pts=range(0, 512 * 60, 512)))
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", FULL_DISK, str(path), str(tmp_path / "out.mp4"), str(size)]
    environment = dict(os.environ, PYTHONPATH=str(root))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environment)
    assert done.stdout.count("\n") == 1
    assert "cannot be written (File too large)" in done.stdout
    assert done.stderr == ""
    assert os.listdir(tmp_path) == ["in.mp4"]


def test_a_file_that_cannot_be_put_in_place_leaves_nothing(tmp_path, monkeypatch):
    path = make_clip(tmp_path / "in.mp4")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OutputError, match="Permission denied"):
        repaint(path, tmp_path / "out.mp4")
    assert os.listdir(tmp_path) == ["in.mp4"]


def test_a_file_that_comes_meanwhile_stays(clip, tmp_path):
    target = tmp_path / "o.mkv"

    def put(items):
        target.write_bytes(b"someone else's")
        yield from items

    with pytest.raises(OutputError, match="another file has come there meanwhile"):
        repaint(clip, target, change=put)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("o.mkv", b"someone else's")]
    repaint(clip, target, change=put, overwrite=True)
    assert target.read_bytes() != b"someone else's"


def test_the_index_is_in_front_and_the_permissions_are_usual(tmp_path):
    repaint(make_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4")
    data = (tmp_path / "out.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")
    (tmp_path / "plain").touch()
    assert (tmp_path / "out.mp4").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_link_keeps_pointing_at_the_file_that_is_replaced(tmp_path):
    path = make_clip(tmp_path / "in.mp4")
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "film.mp4").write_text("old")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "real" / "film.mp4")
    repaint(path, tmp_path / "link.mp4", overwrite=True)
    assert (tmp_path / "link.mp4").is_symlink()
    assert len(media.contents(tmp_path / "real" / "film.mp4").times) == 30


def test_a_clip_may_replace_itself(tmp_path):
    path = make_clip(tmp_path / "in.mp4", Clip(sounds=[Sound()]))
    before = media.contents(path)
    repaint(path, path, overwrite=True)
    after = media.contents(path)
    assert (after.times, after.sounds) == (before.times, before.sounds)


# --- said before a model is loaded ---


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clip") / "in.mp4", Clip(sounds=[Sound()]))


@pytest.mark.parametrize(
    ("name", "config", "reason"),
    [
        ("there.mp4", {}, "exists already"),
        ("folder.mp4", {"overwrite": True}, "is a folder"),
        ("fifo.mp4", {"overwrite": True}, "not a regular file"),
        ("missing/out.mp4", {}, "there is no folder"),
        ("out.xyz", {}, "names no container"),
        ("long" * 70 + ".mp4", {}, "longer than the 255 bytes"),
        ("out.avi", {}, "avi"),
        ("out", {}, "a name without an ending"),
        ("out.mp4", {"codec": "prores"}, "do not support prores; they support h264, h265, av1, vp9"),
        ("out.webm", {"codec": "h264"}, "do not support h264; they support av1, vp9"),
        ("out.mov", {"codec": "vp9"}, "libvpx-vp9 cannot be opened"),
        ("out.gif", {"codec": "h264"}, "do not support h264; they support gif"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_work(clip, tmp_path, name, config, reason):
    (tmp_path / "there.mp4").touch()
    (tmp_path / "folder.mp4").mkdir()
    os.mkfifo(tmp_path / "fifo.mp4")
    before = sorted(os.listdir(tmp_path))
    with open_source(clip) as source, pytest.raises(OutputError, match=reason) as caught:
        plan_output(source, tmp_path / name, EncodeConfig(**config))
    assert "\n" not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.skipif(sys.platform == "win32", reason="permissions")
def test_a_folder_that_cannot_be_written_is_refused(clip, tmp_path, monkeypatch):
    def refuse(path, *_):
        raise PermissionError(13, "Permission denied", path)

    with open_source(clip) as source:
        monkeypatch.setattr(os, "open", refuse)
        with pytest.raises(OutputError, match="cannot be written to"):
            plan_output(source, tmp_path / "out.mp4")


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"codec": "divx"}, "unknown codec 'divx'"),
        ({"quality": 99}, "0 to 51"),
        ({"preset": "warp"}, "ultrafast"),
        ({"codec": "ffv1", "quality": 3}, "no constant quality"),
        ({"codec": "ffv1", "preset": "fast"}, "no presets"),
    ],
)
def test_a_wrong_setting_is_a_value_error(clip, tmp_path, config, reason):
    with open_source(clip) as source, pytest.raises(ValueError, match=reason):
        plan_output(source, tmp_path / "out.mkv", EncodeConfig(**config))


def test_an_encoder_of_a_missing_device_names_another(clip, tmp_path):
    with open_source(clip) as source:
        try:
            plan_output(source, tmp_path / "out.mp4", EncodeConfig(codec="h264_nvenc"))
        except OutputError as error:
            assert "choose --codec h264" in str(error)  # noqa: PT017 - a machine with NVENC raises nothing
    assert os.listdir(tmp_path) == []


def test_frames_of_another_size_need_to_be_planned(clip, tmp_path):
    def twice(frames):
        for frame in frames:
            yield frame.with_pixels(np.hstack((frame.pixels, frame.pixels)))

    with pytest.raises(ValueError, match="frame is 128x48, planned were 64x48"):
        repaint(clip, tmp_path / "narrow.mp4", change=twice)
    with open_source(clip) as source:
        transcode(source, plan_output(source, tmp_path / "wide.mp4", size=(128, 48)), change=twice)
    assert media.contents(tmp_path / "wide.mp4").width == 128
    assert os.listdir(tmp_path) == ["wide.mp4"]


# --- other ways out ---


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
        report, _ = repaint(clip, "-")
    thread.join()
    (tmp_path / "out.mkv").write_bytes(received[0])
    after = media.contents(tmp_path / "out.mkv")
    assert report.frames == len(after.times) == 30
    assert after.sounds == media.contents(clip).sounds


def test_a_pipe_that_nobody_reads_is_an_error(clip, monkeypatch):
    receiver, sender = os.pipe()
    os.close(receiver)
    file = open(sender, "wb", buffering=0)  # noqa: SIM115 - closed below
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=file))
    with pytest.raises(EncodeError, match="Broken pipe"):
        repaint(clip, "-")
    file.close()


@pytest.mark.parametrize("ending", [".gif", ".webp"])
def test_animated_pictures_keep_frames_and_times(tmp_path, ending):
    path = make_clip(tmp_path / "in.mp4", Clip(pts=(0, 500, 1536, 2048, 4608), time_base=Fraction(1, 12800)))
    repaint(path, tmp_path / f"out{ending}")
    with open_source(tmp_path / f"out{ending}") as source:
        frames = list(decode(source))
    clock = Fraction(1, 100 if ending == ".gif" else 1000)
    assert [frame.seconds for frame in frames] == [
        round(pts / Fraction(12800) / clock) * clock for pts in (0, 500, 1536, 2048, 4608)
    ]
    differences = [np.abs(frame.pixels.astype(int) - media.moving_square(n)).mean() for n, frame in enumerate(frames)]
    assert max(differences) < 12
    head = (tmp_path / f"out{ending}").read_bytes()
    assert (
        b"NETSCAPE2.0\x03\x01\x00\x00" in head if ending == ".gif" else head[head.index(b"ANIM") + 12 :][:2] == b"\0\0"
    )


def test_a_palette_is_made_without_looking_ahead():
    palette = GifPalette(64, 48, Fraction(1, 100))
    for number in range(3):
        picture = av.VideoFrame.from_ndarray(media.moving_square(number), "rgb24")
        picture.pts, picture.time_base = number * 4, Fraction(1, 100)
        assert [(made.pts, made.format.name) for made in palette(picture)] == [(number * 4, "pal8")]


@pytest.mark.parametrize("name", [*AWKWARD_NAMES, "long" * 62 + ".mp4"])
def test_strange_names_are_names(clip, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(name)
    report, _ = repaint(clip, name)
    assert report.frames == 30
    assert os.listdir(tmp_path) == [name]
    assert len(media.contents(name).times) == 30


def test_a_config_is_checked():
    for wrong in ({"start_seconds": Fraction(-1)}, {"duration_seconds": Fraction(0)}, {"height": 3}, {"threads": -1}):
        with pytest.raises(ValueError, match="not"):
            DecodeConfig(**wrong)
    with pytest.raises(ValueError, match="threads"):
        EncodeConfig(threads=-1)


# --- very short clips ---


@pytest.mark.parametrize(("count", "decoding"), [(1, [0]), (2, [0, 40]), (3, [-80, -40, 0])])
def test_a_clip_of_few_frames_is_written_in_h265(tmp_path, count, decoding):
    """x265 gives one picture, or two, a decoding time that it never set."""
    clip = Clip(pts=range(0, 40 * count, 40), time_base=Fraction(1, 1000), last_duration=40)
    path, target = make_clip(tmp_path / "in.mkv", clip), tmp_path / "out.mp4"
    repaint(path, target, codec="h265")
    assert media.contents(target).relative_times == [Fraction(each, 1000) for each in clip.pts]
    with open_source(path) as source, av.open(io.BytesIO(), "w", format="mp4") as container:
        plan = plan_output(source, tmp_path / "plain.mp4", EncodeConfig(codec="h265"))
        track = VideoEncoder(add_video_stream(container, plan), plan)
        packets = [packet for frame in decode(source) for packet in track.packets(frame)] + list(track.flush())
    assert [packet.dts for packet in packets] == decoding
