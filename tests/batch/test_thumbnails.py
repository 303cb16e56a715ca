"""Thumbnails are small, whatever the clip says, and no thumbnail ends a batch."""

import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from pipeline.batch.inputs.jobs import Job
from pipeline.batch.thumbnails import HEIGHT_PX, WIDTH_PX, draw_thumbnails
from pipeline.config import DecodeConfig, StylizeConfig, VideoConfig
from pipeline.decode.source import open_source
from pipeline.errors import InputError
from tests.support.media import Clip, make_clip

ROOT = Path(__file__).resolve().parents[2]
# With a gigabyte more than is loaded.
LIMITED = """
import re, resource, sys
from pathlib import Path
from pipeline.batch.inputs.jobs import Job
from pipeline.batch.thumbnails import draw_thumbnails
from pipeline.config import StylizeConfig, VideoConfig

used = int(re.search(r"VmSize:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, used + 2**30))
config = VideoConfig(source=sys.argv[1], target=sys.argv[1], stylize=StylizeConfig(style="great-wave"))
draw_thumbnails(Job("clip", config), None, Path(sys.argv[2]), Path(sys.argv[3]))
"""


def job_of(clip: Path) -> Job:
    config = VideoConfig(source=str(clip), target=str(clip), stylize=StylizeConfig(style="great-wave"))
    return Job("clip", config)


def clip_with_aspect(path: Path, wide: int, high: int) -> Path:
    """A clip whose header says that pixels are ``wide`` to ``high``, which no encoder accepts."""
    make_clip(path, Clip(pts=(0, 512), sample_aspect_ratio=Fraction(3, 2)))
    before = b"pasp" + struct.pack(">II", 3, 2)
    data = path.read_bytes()
    assert data.count(before) == 1
    path.write_bytes(data.replace(before, b"pasp" + struct.pack(">II", wide, high)))
    return path


def thumbnail_size(clip: Path) -> tuple[int, int]:
    before, after = clip.with_suffix(".0.jpg"), clip.with_suffix(".1.jpg")
    draw_thumbnails(job_of(clip), None, before, after)
    assert after.read_bytes() == before.read_bytes()
    with Image.open(before) as image:
        return image.size


@pytest.mark.parametrize(
    ("aspect", "size"),
    [
        ((1, 1), (144, HEIGHT_PX)),
        ((3, 2), (216, HEIGHT_PX)),
        ((6, 1), (WIDTH_PX, HEIGHT_PX // 2)),
        ((1, 40), (4, HEIGHT_PX)),
        ((32767, 1), (144, HEIGHT_PX)),
        ((1, 2**31 - 1), (144, HEIGHT_PX)),
    ],
)
def test_a_thumbnail_has_the_displayed_shape_within_bounds(
    tmp_path: Path, aspect: tuple[int, int], size: tuple[int, int]
) -> None:
    clip = clip_with_aspect(tmp_path / "a.mp4", *aspect)
    assert thumbnail_size(clip) == size


@pytest.mark.skipif(sys.platform != "linux", reason="reads the used memory from /proc")
def test_the_shape_of_a_pixel_takes_no_memory(tmp_path: Path) -> None:
    clip = clip_with_aspect(tmp_path / "a.mp4", 32767, 1)
    paths = [str(clip), str(tmp_path / "0.jpg"), str(tmp_path / "1.jpg")]
    done = subprocess.run([sys.executable, "-c", LIMITED, *paths], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "1.jpg").exists()


def test_a_clip_without_a_frame_there_has_no_thumbnail(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", Clip(pts=(0, 512)))
    draw_thumbnails(job_of(clip), 1e9, tmp_path / "0.jpg", tmp_path / "1.jpg")
    assert not (tmp_path / "0.jpg").exists()


def test_the_height_that_is_asked_for_makes_no_frame_of_gigabytes(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", Clip(pts=(0, 512), width=8192, height=2, codec="ffv1", options={}))
    config = DecodeConfig(height=1080)
    with (
        pytest.raises(InputError, match=r"a\.mkv: .*--height 1080.*4423680x1080; the limit is"),
        open_source(str(clip), config),
    ):
        pass
