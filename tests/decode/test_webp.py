import struct
import sys
from fractions import Fraction

import pytest
from PIL import Image

from pipeline.decode.source import open_source
from pipeline.errors import InputError
from pipeline.media.stills import read_image
from tests.support import media
from tests.support.clips.reading import read, square_error
from tests.support.memory import growth


@pytest.mark.parametrize("ending", [".gif", ".webp"])
def test_animated_images_are_read(tmp_path, ending):
    pictures = [Image.fromarray(media.moving_square(number)) for number in range(5)]
    path = tmp_path / f"moving{ending}"
    options = {"lossless": True} if ending == ".webp" else {}
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=[40, 80, 120, 40, 200], **options)
    frames, _ = read(path)
    assert [frame.seconds * 1000 for frame in frames] == [0, 40, 120, 240, 280]
    assert frames[-1].duration * frames[-1].time_base == Fraction(1, 5)
    assert square_error(frames) < 12


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    source = tmp_path / "in.webp"
    Image.fromarray(media.moving_square(0)).save(source)
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 10)
    with pytest.raises(InputError, match="decompression bomb"):
        open_source(source)


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux does")
def test_a_webp_of_gigabytes_takes_no_memory(tmp_path):
    """Pillow reads a WebP as a whole; most of this one is a hole that takes no space on the disk."""
    path, size = tmp_path / "hole.webp", 3 * 2**30
    Image.fromarray(media.moving_square(0)).save(path)
    data = path.read_bytes()
    with open(path, "r+b") as file:
        file.write(
            data[:4] + struct.pack("<I", size - 8) + data[8:] + b"JUNK" + struct.pack("<I", size - len(data) - 8)
        )
        file.truncate(size)

    def check():
        with pytest.raises(InputError, match=r"a WebP of 3.0 GiB; 1 GiB is the limit"):
            open_source(path)
        with pytest.raises(InputError, match=r"a WebP of 3.0 GiB; 1 GiB is the limit"):
            read_image(path)

    assert growth(check) < 2**26
