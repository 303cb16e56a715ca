"""Where segments end, and how they are written."""

import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import EncodeConfig
from pipeline.encode.encoder import VideoEncoder
from pipeline.errors import EncodeError
from pipeline.frames import Frame
from pipeline.resume.segments import mark_segments
from pipeline.run import stylize_video
from tests.support.interrupted.resuming import ROOT, UNSTYLIZED, config
from tests.support.media import Clip, contents, make_clip


def marked(seconds: list[int], index: int = 0) -> list[Frame]:
    frames = (Frame(np.full((2, 2, 3), second, np.uint8), second, Fraction(1)) for second in seconds)
    return list(mark_segments(frames, index, seconds=Fraction(4), length=5))


def ends(seconds: list[int], index: int = 0) -> list[int]:
    return [frame.boundary.next_index for frame in marked(seconds, index) if frame.boundary is not None]


def test_segments_end_by_time_and_number_of_frames_alone() -> None:
    seconds = [0, 1, 3, 4, 5, 6, 7, 8, 9, 20, 21]
    assert ends(seconds) == [3, 7, 9, 11]
    assert ends(seconds[7:], 7) == [9, 11], "a resumed run has the same"
    assert ends([]) == []


def test_frames_at_boundaries_have_a_digest_of_their_pixels() -> None:
    frames = marked([0, 1, 4])
    assert [frame.pts for frame in frames] == [0, 1, 4]
    assert [frame.digest is not None for frame in frames] == [False, True, True]
    assert frames[1].digest != frames[2].digest


@pytest.mark.parametrize(("count", "ending"), [(9, "mp4"), (10, "mkv")])
def test_a_last_segment_of_one_or_two_frames_is_written_in_h265(tmp_path: Path, count: int, ending: str) -> None:
    source = make_clip(tmp_path / "in.mkv", Clip(pts=range(0, 40 * count, 40), time_base=Fraction(1, 1000)))
    encode = EncodeConfig(codec="h265")
    stylize_video(config(source, tmp_path / f"out.{ending}", stylize=UNSTYLIZED, encode=encode))
    assert contents(tmp_path / f"out.{ending}").relative_times == contents(source).relative_times


@pytest.mark.parametrize("ending", ["mkv", "mp4"])
def test_frames_may_last_long_in_a_fine_time_base(tmp_path: Path, ending: str) -> None:
    """Segments have a coarser time base than the output; two frames are closer than one tick of it."""
    times = (0, 40_000_000, 40_001_000, 3_000_000_000, 6_000_000_000, 6_040_000_000)
    source = make_clip(tmp_path / "in.nut", Clip(pts=times, time_base=Fraction(1, 10**9)))
    target = tmp_path / f"out.{ending}"
    assert stylize_video(config(source, target)).frames == 6
    assert [round(float(seconds), 2) for seconds in contents(target).relative_times] == [0, 0.04, 0.04, 3, 6, 6.04]


def test_an_encoder_that_loses_a_frame_is_an_error(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flush = VideoEncoder.flush

    def loses(self: VideoEncoder) -> Iterator[Any]:
        yield from list(flush(self))[1:]

    monkeypatch.setattr(VideoEncoder, "flush", loses)
    with pytest.raises(EncodeError, match="7 packets of 8 frames"):
        stylize_video(config(clip, tmp_path / "out.mp4"))


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from pipeline.errors import OutputError
from pipeline.run import stylize_video
from tests.support.interrupted.resuming import UNSTYLIZED, at_frame, config

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
run = config(Path(sys.argv[1]), Path(sys.argv[2]), stylize=UNSTYLIZED)

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

try:
    stylize_video(run, progress=at_frame(int(sys.argv[3]), lambda: limit(int(sys.argv[4]))))
except OutputError as error:
    print(error, *getattr(error, "__notes__", ()))
    limit(resource.RLIM_INFINITY)
    summary = stylize_video(run)
    print(summary.frames, summary.frames_reused)
"""


@pytest.mark.parametrize(
    ("frame", "size", "reused"),
    [
        pytest.param(1, 500, 0, id="first segment"),
        pytest.param(20, 500, 16, id="third segment"),
        pytest.param(1, 13_000, 40, id="concatenation"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files")
def test_a_full_disk_is_one_line_and_keeps_the_finished_segments(
    tmp_path: Path, clip: Path, frame: int, size: int, reused: int
) -> None:
    target = tmp_path / "out.mp4"
    command = [sys.executable, "-c", FULL_DISK, str(clip), str(target), str(frame), str(size)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=ROOT)
    message, counted = done.stdout.splitlines()
    assert "File too large" in message
    assert ("finished in" in message) == bool(reused)
    assert counted == f"40 {reused}"
    assert not (tmp_path / "out.mp4.flowbrush").exists()
