from fractions import Fraction

import pytest
from PIL import Image

from pipeline.decode.source import open_source
from pipeline.errors import InputError
from tests.support import media
from tests.support.reading import read, square_error


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
