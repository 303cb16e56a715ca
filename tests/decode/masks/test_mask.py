from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.config import DecodeConfig
from pipeline.decode.masks.mask import Mask
from pipeline.errors import InputError
from tests.support.media import Clip, make_clip, to_yuv

BLACK, WHITE = np.zeros((48, 64, 3), np.uint8), np.full((48, 64, 3), 255, np.uint8)


def test_a_picture_stands_still(tmp_path: Path) -> None:
    picture = np.zeros((24, 32), np.uint8)
    picture[:, 16:] = 255
    picture[:12, 16:] = 51
    Image.fromarray(picture).save(tmp_path / "mask.png")
    with Mask(tmp_path / "mask.png", width=64, height=48) as mask:
        for seconds in (Fraction(0), Fraction(100)):
            mixed = mask(BLACK, WHITE, seconds)
            assert mixed.shape == (48, 64, 3)
            assert (mixed[:, :30] == 0).all()
            assert (mixed[28:, 34:] == 255).all()
            assert (mixed[:20, 34:] == 51).all()


def test_white_is_exactly_stylized_and_black_exactly_original(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 65536, (2, 20, 30, 3)).astype(np.uint16)
    for level, kept in ((0, 0), (255, 1)):
        Image.fromarray(np.full((5, 5), level, np.uint8)).save(tmp_path / "mask.png")
        with Mask(tmp_path / "mask.png", width=30, height=20) as mask:
            mixed = mask(noise[0], noise[1], Fraction(0))
            assert mixed.dtype == np.uint16
            assert (mixed == noise[kept]).all()


def gray_clip(path: Path, rotation: int = 0) -> Path:
    """Three frames at 0, 1 and 3 s: black, white above black, white."""
    pictures = [BLACK, WHITE.copy(), WHITE]
    pictures[1][24:] = 0

    class Grays(Clip):
        def frame(self, number: int):
            self.planes = to_yuv(pictures[number], 6, full_range=False)
            return super().frame(number)

    clip = Grays(pts=(0, 15360, 3 * 15360), pixel_format="yuv444p", tags=(6, 1, 6, 6), rotation=rotation)
    return make_clip(path, clip)


def test_a_clip_runs_along_by_time_not_by_count(tmp_path: Path) -> None:
    with Mask(gray_clip(tmp_path / "mask.mp4"), width=64, height=48) as mask:
        wanted = ((Fraction(0), (0, 0)), (Fraction(9, 10), (0, 0)), (Fraction(1), (255, 0)), (Fraction(5, 2), (255, 0)))
        for seconds, (above, below) in (*wanted, (Fraction(3), (255, 255)), (Fraction(99), (255, 255))):
            mixed = mask(BLACK, WHITE, seconds).astype(int)
            assert abs(mixed[:20] - above).max() <= 2, seconds
            assert abs(mixed[28:] - below).max() <= 2, seconds


def test_a_part_of_the_video_takes_the_same_part_of_the_mask(tmp_path: Path) -> None:
    part = DecodeConfig(start_seconds=Fraction(1), height=24)
    with Mask(gray_clip(tmp_path / "mask.mp4"), width=64, height=48, part=part) as mask:
        assert mask(BLACK, WHITE, Fraction(0))[:20].min() >= 253


def test_a_mask_that_ends_before_the_part_shows_its_last_frame(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "short.mp4", Clip(pts=range(0, 512 * 10, 512)))
    with Mask(clip, width=64, height=48) as whole:
        last = whole.at(Fraction(10)).copy()
        assert np.abs(last - Mask(clip, width=64, height=48).at(Fraction(0))).max() > 0.2
    with Mask(clip, width=64, height=48, part=DecodeConfig(start_seconds=Fraction(5))) as mask:
        assert (mask.at(Fraction(0)) == last).all()
        assert (mask.at(Fraction(9)) == last).all()


def test_a_mask_filmed_upright_is_turned_as_the_video_is(tmp_path: Path) -> None:
    with Mask(gray_clip(tmp_path / "mask.mp4", rotation=90), width=48, height=64) as mask:
        mixed = mask(BLACK.transpose(1, 0, 2), WHITE.transpose(1, 0, 2), Fraction(1)).astype(int)
        assert mixed[:, :20].min() >= 253 or mixed[:, 28:].min() >= 253
        assert mixed[:, :20].max() <= 2 or mixed[:, 28:].max() <= 2


def test_what_is_no_mask_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mask.txt").write_text("no picture")
    with pytest.raises(InputError, match=r"mask\.txt"):
        Mask(tmp_path / "mask.txt", width=64, height=48)
    with pytest.raises(InputError, match="no such file"):
        Mask(tmp_path / "mask.png", width=64, height=48)


def test_what_is_painted_on_a_transparent_layer_is_the_mask(tmp_path: Path) -> None:
    painted = np.full((48, 64, 4), 255, np.uint8)
    painted[:, 32:, 3] = 0
    Image.fromarray(painted).save(tmp_path / "mask.png")
    Image.fromarray(painted).save(tmp_path / "mask1.png")
    for name in ("mask.png", "mask%d.png"):
        with Mask(tmp_path / name, width=64, height=48) as mask:
            mixed = mask(BLACK, WHITE, Fraction(0))
            assert (mixed[:, :30] == 255).all()
            assert (mixed[:, 34:] == 0).all()
