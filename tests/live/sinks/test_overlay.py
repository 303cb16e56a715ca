"""What is drawn over the frame: it fits and is readable."""

import numpy as np
import pytest

from pipeline.live.controls import Snapshot
from pipeline.live.sinks.overlay import FrameMeter, draw_help, draw_status, status_line

GRAY = 100


def snapshot(*, show_original: bool = False) -> Snapshot:
    return Snapshot((1.0,), 0, 0.7, keep_colors=True, mirror=True, show_original=show_original)


def gray(size: tuple[int, int]) -> np.ndarray:
    return np.full((*size, 3), GRAY, np.uint8)


def text_rows(image: np.ndarray) -> np.ndarray:
    """The rows that contain text."""
    return np.flatnonzero((image > 200).any((1, 2)))


def test_the_original_has_no_style_settings() -> None:
    figures = "0 fps   0 ms"
    assert (
        status_line(snapshot(), ["great-wave"], FrameMeter()) == f"great-wave   70%   own colors   mirrored   {figures}"
    )
    original = status_line(snapshot(show_original=True), ["great-wave"], FrameMeter())
    assert original == f"original   mirrored   {figures}"


def test_the_meter_measures_rate_and_latency() -> None:
    meter = FrameMeter()
    for number in range(100):
        meter.count(number / 25, number / 25 + 0.02)
    assert (round(meter.fps, 6), round(meter.latency_ms, 6)) == (25, 20)


@pytest.mark.parametrize("size", [(360, 640), (180, 320), (120, 160), (640, 360)])
def test_text_stays_within_the_frame(size: tuple[int, int]) -> None:
    image = gray(size)
    draw_status(image, "great-wave   70%   mirrored   30 fps   15 ms", message="word " * 40, recording=True)
    assert (image[:, -1] <= GRAY).all()
    assert (image > 200).any()
    shown = draw_help(gray(size), ["great-wave", "a/long/path/of/styles.safetensors#wave"])
    assert shown.shape[0] / shown.shape[1] == pytest.approx(size[0] / size[1], abs=0.02)
    assert shown.shape[1] >= 320, "smaller text cannot be read"
    for edge in (shown[:, :2], shown[:, -2:], shown[:2], shown[-2:]):
        assert (edge < GRAY).all()


@pytest.mark.parametrize("width", [60, 160, 300, 2000])
def test_wide_text_is_wrapped(width: int) -> None:
    """Also a single word that is too wide; nothing is cut off at the right edge."""
    message = "no recording: No space left on device (flowbrush-20261120-190000.mkv)"
    wrapped, single = gray((1200, width)), gray((1200, width))
    draw_status(wrapped, "", message=message)
    draw_status(single, "", message="a")
    assert (wrapped[:, -1] <= GRAY).all()
    darkened = [int((image[:, 1] < GRAY).sum()) for image in (wrapped, single)]
    assert (darkened[0] == darkened[1]) == (width == 2000), "one line at 2000 pixels only"


def test_a_long_message_leaves_room_for_the_status() -> None:
    """On a low frame the start of the message is shown, which gives the reason."""
    image, status = gray((60, 640)), gray((60, 640))
    draw_status(image, "great-wave", message="word " * 400)
    draw_status(status, "great-wave")
    bottom = text_rows(status)
    assert np.array_equal(image[bottom], status[bottom])


@pytest.mark.parametrize("width", range(100, 240, 20))
def test_a_figure_is_not_separated_from_its_unit(width: int) -> None:
    """The last line is a whole number of figures."""
    figures = ["great-wave", "own colours", "30 fps", "15 ms"]

    def last_line(text: str) -> np.ndarray:
        image = gray((400, width))
        draw_status(image, text)
        return image[-15:]

    possible = [last_line("   ".join(figures[start:])) for start in (1, 2, 3)]
    assert any(np.array_equal(last_line("   ".join(figures)), line) for line in possible)
