import io
import os
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.config import EncodeConfig
from pipeline.decode.decoder import decode
from pipeline.decode.source import open_source
from pipeline.encode.encoder import VideoEncoder, add_video_stream
from pipeline.encode.gif_palette import GifPalette
from pipeline.encode.planner import plan_output
from tests.support import media
from tests.support.clips.transcoding import transcode, transcode_file
from tests.support.media import Audio, Clip, make_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "in.mp4", Clip(audio=[Audio()]))


def square_error(path, **size):
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return max(
        np.abs(picture.astype(int) - media.moving_square(number, **size)).mean()
        for number, picture in enumerate(frames)
    )


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
def test_every_codec_writes_every_frame_at_its_time(tmp_path, codec, ending, name, capfd):
    path = make_clip(tmp_path / "in.mkv", Clip(pts=range(0, 2400, 40), time_base=Fraction(1, 1000)))
    target = tmp_path / f"out{ending}"
    transcode_file(path, target, codec=codec)
    after = media.contents(target)
    assert name in after.codec
    assert after.relative_times == media.contents(path).relative_times
    assert square_error(target) < 8
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a scheduling of their own on Linux")
def test_the_encoder_of_av1_has_no_real_time_threads(tmp_path: Path, clip: Path) -> None:
    """SVT-AV1 does where it may, as in a container of root: nothing else got a core that it wanted."""

    def real_time_threads() -> int:
        threads = map(int, os.listdir("/proc/self/task"))
        return sum(os.sched_getscheduler(thread) in (os.SCHED_FIFO, os.SCHED_RR) for thread in threads)

    with open_source(clip) as source:
        plan = plan_output(source, str(tmp_path / "out.mkv"), EncodeConfig(codec="av1"))
        with av.open(str(tmp_path / "out.mkv"), "w") as container:
            stream = add_video_stream(container, plan)
            encoder = VideoEncoder(stream, plan)
            container.start_encoding()
            frames = list(decode(source))
            for frame in frames[:2]:
                container.mux(list(encoder.packets(frame)))
            assert real_time_threads() == 0
            container.mux(list(encoder.flush()))


@pytest.mark.parametrize("codec", ["h264", "h265", "av1", "vp9", "prores", "ffv1"])
def test_odd_sizes_stay_odd(tmp_path, codec):
    path = make_clip(tmp_path / "in.mkv", Clip(width=165, height=97, pixel_format="yuv444p", pts=range(0, 5120, 512)))
    target = tmp_path / ("out.mov" if codec == "prores" else "out.mkv")
    _, plan = transcode_file(path, target, codec=codec)
    after = media.contents(target)
    assert (after.width, after.height) == (165, 97)
    assert square_error(target, width=165, height=97) < 8
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
    transcode_file(path, tmp_path / "out.mp4", quality=1)
    after = media.contents(tmp_path / "out.mp4")
    assert after.tags == (matrix, 1, matrix, matrix if matrix != 5 else 6)
    seen = media.to_rgb(after.planes[1], matrix, full_range=False)
    assert np.abs(media.bar_colors(seen) - media.bar_colors(bars)).max() <= 2


def test_hdr_is_written_and_tagged_as_bt709_with_a_notice(tmp_path):
    path = make_clip(tmp_path / "hdr.mp4", Clip(tags=(9, 1, 9, 16)))
    _, plan = transcode_file(path, tmp_path / "out.mp4")
    assert media.contents(tmp_path / "out.mp4").tags == (1, 1, 1, 1)
    assert "BT.709" in plan.notices[0]


def test_ffv1_is_lossless(tmp_path):
    path = make_clip(tmp_path / "in.mp4")
    stylized = []

    def remember(items):
        for item in items:
            stylized.append(item.pixels)
            yield item

    transcode_file(path, tmp_path / "out.mkv", codec="ffv1", change=remember)
    with av.open(str(tmp_path / "out.mkv")) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert all(np.array_equal(a, b) for a, b in zip(stylized, pictures, strict=True))


def test_pixels_keep_their_aspect_and_rotated_frames_are_upright(tmp_path):
    path = make_clip(tmp_path / "in.mp4", Clip(sample_aspect_ratio=Fraction(4, 3), rotation=90))
    transcode_file(path, tmp_path / "out.mp4")
    after = media.contents(tmp_path / "out.mp4")
    assert (after.width, after.height, after.rotation) == (48, 64, 0)
    assert after.sample_aspect_ratio == Fraction(3, 4)


def test_frames_of_another_size_need_to_be_planned(clip, tmp_path):
    def twice(frames):
        for frame in frames:
            yield frame.with_pixels(np.hstack((frame.pixels, frame.pixels)))

    with pytest.raises(ValueError, match="frame is 128x48, planned were 64x48"):
        transcode_file(clip, tmp_path / "narrow.mp4", change=twice)
    with open_source(clip) as source:
        transcode(source, plan_output(source, tmp_path / "wide.mp4", size=(128, 48)), change=twice)
    assert media.contents(tmp_path / "wide.mp4").width == 128
    assert os.listdir(tmp_path) == ["wide.mp4"]


@pytest.mark.parametrize("ending", [".gif", ".webp"])
def test_animated_images_keep_frames_and_times(tmp_path, ending):
    path = make_clip(tmp_path / "in.mp4", Clip(pts=(0, 500, 1536, 2048, 4608), time_base=Fraction(1, 12800)))
    transcode_file(path, tmp_path / f"out{ending}")
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


def test_a_palette_needs_no_lookahead():
    palette = GifPalette(64, 48, Fraction(1, 100))
    for number in range(3):
        picture = av.VideoFrame.from_ndarray(media.moving_square(number), "rgb24")
        picture.pts, picture.time_base = number * 4, Fraction(1, 100)
        assert [(made.pts, made.format.name) for made in palette(picture)] == [(number * 4, "pal8")]


def test_a_picture_that_comes_back_in_a_gif_is_the_same_again(tmp_path):
    """FFmpeg takes equal indexes in two palettes for equal colors, and leaves such pixels as they are."""
    white_left, white_right, red = np.full((3, 48, 64, 3), 20, np.uint8)
    white_left[:, :16] = white_right[:, 32:] = 235
    red[:] = (200, 30, 30)
    shown = [white_left, white_right, red, white_left, white_left, white_right]
    path = make_clip(tmp_path / "in.mkv", Clip(pts=range(0, 40 * len(shown), 40), time_base=Fraction(1, 1000)))
    transcode_file(
        path,
        tmp_path / "out.gif",
        change=lambda frames: (frame.with_pixels(each) for frame, each in zip(frames, shown, strict=True)),
    )
    with av.open(str(tmp_path / "out.gif")) as container:
        written = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [int(np.abs(a.astype(int) - b).max()) for a, b in zip(written, shown, strict=True)] == [0] * len(shown)


@pytest.mark.parametrize(("count", "decoding"), [(1, [0]), (2, [0, 40]), (3, [-80, -40, 0])])
def test_a_clip_of_few_frames_is_written_in_h265(tmp_path, count, decoding):
    """x265 gives the first two frames a dts that it never set."""
    clip = Clip(pts=range(0, 40 * count, 40), time_base=Fraction(1, 1000), last_duration=40)
    path, target = make_clip(tmp_path / "in.mkv", clip), tmp_path / "out.mp4"
    transcode_file(path, target, codec="h265")
    assert media.contents(target).relative_times == [Fraction(each, 1000) for each in clip.pts]
    with open_source(path) as source, av.open(io.BytesIO(), "w", format="mp4") as container:
        plan = plan_output(source, tmp_path / "plain.mp4", EncodeConfig(codec="h265"))
        track = VideoEncoder(add_video_stream(container, plan), plan)
        packets = [packet for frame in decode(source) for packet in track.packets(frame)] + list(track.flush())
    assert [packet.dts for packet in packets] == decoding
