import numpy as np

from pipeline.media.pixels.orientation import rotate


def test_rotation_is_that_of_numpy():
    picture = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    for quarters in range(4):
        assert np.array_equal(rotate(picture, quarters), np.rot90(picture, quarters))
