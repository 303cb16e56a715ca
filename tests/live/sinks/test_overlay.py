"""What is written over the picture: it fits, can be read, and says what is seen."""

import numpy as np
import pytest

from pipeline.live.controls import Snapshot
from pipeline.live.sinks.overlay import LEGIBLE, PART, WORD, Meter, _width, _wrapped, draw_help, draw_readings, readings


def test_of_the_original_nothing_is_said_that_is_of_the_painting() -> None:
    stylized = Snapshot((1.0,), 0, 0.7, keep_colors=True, mirror=True, show_original=False)
    original = Snapshot((1.0,), 0, 0.7, keep_colors=True, mirror=True, show_original=True)
    figures = "0 fps   0 ms"
    assert readings(stylized, ["great-wave"], Meter()) == f"great-wave   70%   own colours   mirrored   {figures}"
    assert readings(original, ["great-wave"], Meter()) == f"original   mirrored   {figures}"


@pytest.mark.parametrize("room", [60, 160, 300, 2000])
def test_what_is_too_wide_goes_on_in_another_line(room: int) -> None:
    text = "no recording: No space left on device (flowbrush-20261120-190000.mkv)"
    lines = _wrapped(WORD.findall(text), room, LEGIBLE)
    assert max(_width(line, LEGIBLE) for line in lines) <= room
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert (len(lines) == 1) == (room == 2000)
    assert _wrapped([], room, LEGIBLE) == []


def test_a_figure_keeps_its_unit() -> None:
    lines = _wrapped(PART.findall("great-wave   own colours   30 fps   15 ms"), 100, LEGIBLE)
    assert "own colours" in "\n".join(lines)
    assert "15 ms" in lines[-1]


@pytest.mark.parametrize("size", [(360, 640), (180, 320), (120, 160), (640, 360)])
def test_all_that_is_written_is_within_the_picture(size: tuple[int, int]) -> None:
    """Nothing reaches the last column; and of a long message the beginning, which gives the reason, is seen."""
    picture = np.full((*size, 3), 100, np.uint8)
    draw_readings(picture, "great-wave   70%   mirrored   30 fps   15 ms", message="word " * 40, recording=True)
    assert (picture[:, -1] <= 100).all()
    assert (picture > 200).any()
    shown = draw_help(np.full((*size, 3), 100, np.uint8), ["great-wave", "a/long/path/of/styles.safetensors#wave"])
    assert shown.shape[0] / shown.shape[1] == pytest.approx(size[0] / size[1], abs=0.02)
    assert shown.shape[1] >= 320, "the text is no smaller than can be read"
    for edge in (shown[:, :2], shown[:, -2:], shown[:2], shown[-2:]):
        assert (edge < 100).all()
