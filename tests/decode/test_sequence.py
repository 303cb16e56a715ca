"""Image sequences are read as clips: each picture a frame, at its time, and no other file is opened."""

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.config import DecodeConfig
from pipeline.decode.decoder import decode
from pipeline.decode.masks.mask import Mask
from pipeline.decode.source import open_source
from pipeline.errors import InputError
from pipeline.frames import Frame
from pipeline.media.image_sequence import find_sequence, is_sequence
from tests.support.media import moving_square
from tests.support.photos import alpha_ramp, deep_scene, scene, write_deep_png


def write_sequence(folder: Path, numbers: range, name: str = "%05d.png") -> str:
    folder.mkdir(exist_ok=True)
    for number in numbers:
        Image.fromarray(moving_square(number)).save(folder / (name % number))
    return str(folder / name)


def read(path: str, **config: object) -> list[Frame]:
    with open_source(path, DecodeConfig(**config), keep_alpha_and_depth=True) as source:  # type: ignore[arg-type]
        return list(decode(source))


def test_pictures_are_frames_at_their_times(tmp_path: Path) -> None:
    path = write_sequence(tmp_path / "frames", range(8, 13))
    frames = read(path, fps=Fraction(24000, 1001))
    assert [frame.seconds for frame in frames] == [index * Fraction(1001, 24000) for index in range(5)]
    for index, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.pixels, moving_square(8 + index))
    with open_source(path) as source:
        assert (source.info.average_rate, source.info.frame_count) == (25, 5)
        assert source.info.duration_seconds == pytest.approx(0.2)


@pytest.mark.parametrize("name", ["%05d.png", "shot_%d.png", "100%%_%03d.png", "a.%04d.png", "x[1]%dy.png"])
def test_names_are_numbers_between_texts(tmp_path: Path, name: str) -> None:
    path = write_sequence(tmp_path / "frames", range(9, 12), name)
    for stranger in ("00009.jpg", "9.png.bak", "shot_09.png", "shot_-1.png"):
        (tmp_path / "frames" / stranger).write_text("not mine")
    assert len(read(path)) == 3


def test_a_file_of_that_name_is_a_file(tmp_path: Path) -> None:
    Image.fromarray(scene()).save(tmp_path / "%03d.png")
    assert not is_sequence(tmp_path / "%03d.png")
    assert find_sequence("frames/plain.png") is None
    assert find_sequence("%03d.mp4") is None
    with pytest.raises(InputError, match="more than one number"):
        find_sequence(tmp_path / "%d_%04d.png")


def test_16_bits_and_alpha_are_read(tmp_path: Path) -> None:
    alpha = np.maximum(alpha_ramp(), 30).astype(np.uint16) * 257
    for number in range(2):
        write_deep_png(tmp_path / f"{number}.png", np.dstack((deep_scene(), alpha)))
    for frame in read(str(tmp_path / "%d.png")):
        np.testing.assert_array_equal(frame.pixels, deep_scene())
        np.testing.assert_array_equal(frame.alpha, alpha)


def test_an_opaque_first_picture_does_not_lose_the_alpha_of_the_others(tmp_path: Path) -> None:
    for number, alpha in enumerate((np.full((64, 96), 255, np.uint8), alpha_ramp())):
        Image.fromarray(np.dstack((scene(), alpha))).save(tmp_path / f"{number}.png")
    frames = read(str(tmp_path / "%d.png"))
    assert frames[0].alpha is not None
    np.testing.assert_array_equal(frames[1].alpha, alpha_ramp())


@pytest.mark.parametrize("start", ["0.1", "0.08", "0.05"])
def test_a_part_is_the_same_pictures(tmp_path: Path, start: str) -> None:
    path = write_sequence(tmp_path / "frames", range(10))
    every = read(path)
    wanted = [frame for frame in every if frame.seconds >= Fraction(start)]
    part = read(path, start_seconds=Fraction(start))
    assert len(part) == len(wanted)
    np.testing.assert_array_equal(part[0].pixels, wanted[0].pixels)
    assert len(read(path, duration_seconds=Fraction("0.12"))) == 3


def test_reading_starts_again_anywhere(tmp_path: Path) -> None:
    path = write_sequence(tmp_path / "frames", range(10))
    with open_source(path) as source:
        every = list(decode(source))
        source.restart(every[6].seconds)
        again = list(decode(source))
    assert [frame.pts for frame in again] == [6, 7, 8, 9]
    np.testing.assert_array_equal(again[0].pixels, every[6].pixels)


def test_a_gap_gets_one_line(tmp_path: Path) -> None:
    path = write_sequence(tmp_path / "frames", range(1, 12))
    for number in (4, 5):
        (tmp_path / "frames" / f"{number:05}.png").unlink()
    with pytest.raises(InputError, match=r"00004\.png is missing, and 1 more, of 00001\.png to 00011\.png") as error:
        read(path)
    assert "--start-number 6" in str(error.value)
    assert len(read(path, start_number=6)) == 6
    with pytest.raises(InputError, match=r"has no 00005\.png; the next is 00006\.png"):
        read(path, start_number=5)
    with pytest.raises(InputError, match="no picture has such a name"):
        read(path, start_number=50)
    with pytest.raises(InputError, match="there is no folder"):
        read(str(tmp_path / "nowhere" / "%05d.png"))


def test_a_picture_that_cannot_be_read_is_damage(tmp_path: Path) -> None:
    path = write_sequence(tmp_path / "frames", range(4))
    (tmp_path / "frames" / "00002.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    with open_source(path) as source:
        assert [frame.pts for frame in decode(source)] == [0, 1, 3]
        (place,) = source.damage
    assert "00002.png" in place.reason
    assert place.seconds == Fraction(2, 25)
    with pytest.raises(InputError, match=r"00002\.png"):
        read(path, strict=True)


def test_a_rate_is_for_sequences_only(tmp_path: Path) -> None:
    Image.fromarray(moving_square(0)).save(
        tmp_path / "clip.gif", save_all=True, append_images=[Image.fromarray(moving_square(1))]
    )
    with pytest.raises(InputError, match="is no image sequence"):
        read(str(tmp_path / "clip.gif"), fps=Fraction(24))


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs links")
def test_no_other_file_is_opened(tmp_path: Path) -> None:
    """A link out of the folder, a playlist, and a number that leads to another folder are not read."""
    path = write_sequence(tmp_path / "frames", range(3))
    secret = tmp_path / "secret.png"
    Image.fromarray(scene(48, 64)).save(secret)
    (tmp_path / "frames" / "00001.png").unlink()
    (tmp_path / "frames" / "00001.png").symlink_to(secret)
    (tmp_path / "frames" / "00002.png").write_text("ffconcat version 1.0\nfile ../secret.png\n")
    with open_source(path) as source:
        assert [frame.pts for frame in decode(source)] == [0]
        reasons = [place.reason for place in source.damage]
    assert "leads out of" in reasons[0]
    assert "not an image" in reasons[1]


def test_a_mask_may_be_a_sequence(tmp_path: Path) -> None:
    for number, grey in enumerate((0, 255, 0)):
        Image.fromarray(np.full((8, 8), grey, np.uint8)).save(tmp_path / f"mask{number}.png")
    with Mask(str(tmp_path / "mask%d.png"), width=4, height=4, rate=Fraction(10)) as mask:
        assert [float(mask.at(Fraction(each, 10)).mean()) for each in range(3)] == [0, 1, 0]
