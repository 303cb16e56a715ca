import os
import subprocess
import sys
from contextlib import closing
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.config import DecodeConfig
from pipeline.decode.decoder import decode
from pipeline.decode.source import open_source
from pipeline.media.packets import SidePackets
from pipeline.threads import prefetch
from tests.support import media
from tests.support.clips.reading import read, square_error
from tests.support.media import Audio, Clip, make_clip

VFR = (0, 512, 1024, 1500, 2600, 2601, 4000, 9000, 9512, 10000, 12345, 15000)


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".mov"])
def test_variable_frame_rate_with_b_frames_keeps_every_pts(tmp_path, ending):
    time_base = Fraction(1, 1000) if ending == ".mkv" else Fraction(1, 15360)
    frames, _ = read(make_clip(tmp_path / f"vfr{ending}", Clip(pts=VFR, time_base=time_base)))
    assert [frame.seconds for frame in frames] == [pts * time_base for pts in VFR]
    assert square_error(frames) < 4


def test_fractional_rate_is_exact(tmp_path):
    pts = range(0, 1001 * 40, 1001)
    frames, _ = read(make_clip(tmp_path / "ntsc.mp4", Clip(pts=pts, time_base=Fraction(1, 30000))))
    assert [frame.seconds for frame in frames] == [Fraction(1001 * number, 30000) for number in range(40)]


def test_durations_are_exact_including_the_last(tmp_path):
    clip = Clip(pts=(0, 40, 100, 130), time_base=Fraction(1, 1000), last_duration=700)
    frames, _ = read(make_clip(tmp_path / "uneven.mkv", clip))
    assert [frame.duration * frame.time_base * 1000 for frame in frames] == [40, 60, 30, 700]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotated_clips_become_upright(tmp_path, rotation):
    frames, _ = read(make_clip(tmp_path / "turned.mp4", Clip(rotation=rotation, pts=range(0, 5120, 512))))
    expected = np.rot90(media.moving_square(0), rotation // 90)
    assert frames[0].pixels.shape == expected.shape
    assert frames[0].pixels.flags.c_contiguous
    assert np.abs(frames[0].pixels.astype(int) - expected).mean() < 4


def test_odd_sizes_stay_odd(tmp_path):
    frames, _ = read(make_clip(tmp_path / "odd.mp4", Clip(width=65, height=49, pixel_format="yuv444p")))
    assert {frame.pixels.shape for frame in frames} == {(49, 65, 3)}
    assert square_error(frames, width=65, height=49) < 4


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


def test_a_height_scales_and_keeps_the_aspect(tmp_path):
    path = make_clip(tmp_path / "clip.mp4", Clip(width=96, height=64))
    with open_source(path, DecodeConfig(height=40)) as source:
        frames = list(decode(source))
        assert (source.info.width, source.info.height) == (60, 40)
    assert {frame.pixels.shape for frame in frames} == {(40, 60, 3)}
    whole = media.moving_square(0, width=96, height=64)
    assert abs(frames[0].pixels.mean() - whole.mean()) < 3


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
    path = make_clip(tmp_path / "clip.mp4", Clip(width=320, height=240, audio=[Audio()]))
    root = Path(__file__).resolve().parents[2]
    environment = dict(os.environ, PYTHONPATH=str(root), OPENBLAS_NUM_THREADS="1")
    command = [sys.executable, "-c", LEAVE_EARLY, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environment)
    assert done.stdout.strip() == "1"
    assert done.stderr == ""


def test_decoding_in_a_thread_gives_the_same(tmp_path):
    path = make_clip(tmp_path / "clip.mp4", Clip(audio=[Audio()]))
    packets = SidePackets()
    with open_source(path) as source, closing(prefetch(decode(source, packets), depth=3)) as frames:
        assert sum(1 for _ in frames) == 30
    assert len(packets.take_before(30)) == len(media.contents(path).audio[0])


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
