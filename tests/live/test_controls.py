"""What each key changes in the snapshot that frames are stylized by."""

import pytest

from pipeline.live.controls import CROSS_FADE_SECONDS, Controls
from pipeline.live.keys import BINDINGS, Action


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def controls(clock: Clock, *, styles: int = 3, **settings) -> Controls:
    return Controls([f"style-{number}" for number in range(styles)], clock=clock, **settings)


def tap(clock: Clock, control: Controls, key: str) -> None:
    clock.now += 2
    control.press(key)


def test_each_key_has_one_action_and_each_action_a_key() -> None:
    keys = [key for binding in BINDINGS for key in binding.keys]
    assert len(keys) == len(set(keys))
    assert {binding.action for binding in BINDINGS} == set(Action)


def test_numbers_and_arrows_choose_the_style(clock: Clock) -> None:
    control = controls(clock)
    for key, expected in (("3", 2), ("right", 0), ("left", 2), ("left", 1), ("9", 1), ("0", 1), ("1", 0)):
        tap(clock, control, key)
        assert control.snapshot().style == expected, key


def test_zero_is_the_tenth_style(clock: Clock) -> None:
    control = controls(clock, styles=11)
    tap(clock, control, "0")
    assert control.snapshot().style == 9


def test_a_style_fades_in_and_an_interrupted_fade_does_not_jump(clock: Clock) -> None:
    control = controls(clock)
    assert control.snapshot().weights == (1, 0, 0)
    control.press("2")
    clock.now += CROSS_FADE_SECONDS / 2
    assert control.snapshot().weights == pytest.approx((0.5, 0.5, 0))
    control.press("3")
    assert control.snapshot().weights == pytest.approx((0.5, 0.5, 0))
    clock.now += CROSS_FADE_SECONDS / 2
    assert control.snapshot().weights == pytest.approx((0.25, 0.25, 0.5))
    clock.now += CROSS_FADE_SECONDS
    assert control.snapshot().weights == (0, 0, 1)


def test_choosing_the_shown_style_starts_no_fade(clock: Clock) -> None:
    control = controls(clock)
    tap(clock, control, "1")
    clock.now += CROSS_FADE_SECONDS / 2
    assert control.snapshot().weights == (1, 0, 0)


def test_strength_changes_in_tenths_from_0_to_1(clock: Clock) -> None:
    control = controls(clock, strength=0.75)
    seen = []
    for key in ("up", "up", "up", "up", "down"):
        tap(clock, control, key)
        seen.append(control.snapshot().strength)
    assert seen == [0.8, 0.9, 1, 1, 0.9]
    for _ in range(12):
        tap(clock, control, "down")
    assert control.snapshot().strength == 0


@pytest.mark.parametrize(
    ("key", "state"),
    [
        ("c", lambda control: control.snapshot().keep_colors),
        ("m", lambda control: control.snapshot().mirror),
        ("b", lambda control: control.snapshot().show_original),
        ("r", lambda control: control.recording),
        ("f", lambda control: control.full_screen),
        ("h", lambda control: control.help),
    ],
)
def test_a_tap_switches_and_another_switches_back(clock: Clock, key: str, state) -> None:
    control = controls(clock)
    for expected in (True, False, True):
        tap(clock, control, key)
        assert state(control) is expected


def test_a_key_held_down_switches_once(clock: Clock) -> None:
    control = controls(clock)
    for _ in range(10):
        control.press("m")
        clock.now += 0.03
    assert control.snapshot().mirror


@pytest.mark.parametrize("delay", [0.16, 0.5, 0.7])
def test_a_keyboard_that_repeats_late_switches_once(clock: Clock, delay: float) -> None:
    control = controls(clock)
    for key in "mcrfhs":
        control.press(key)
        clock.now += delay
        assert control.press(key) is None, key
    assert control.snapshot().mirror
    control.press("c")  # after another key, it counts as pressed again
    clock.now += 0.1
    control.press("m")
    assert not control.snapshot().mirror


def test_a_refused_recording_shows_the_reason_at_each_press(clock: Clock) -> None:
    control = controls(clock, recording=True)
    control.refuse_recording("the disk is full")
    clock.now += 10
    tap(clock, control, "r")
    assert not control.recording
    assert control.message == "the disk is full"


def test_the_original_is_shown_while_its_key_is_held(clock: Clock) -> None:
    control = controls(clock)
    control.press("b")
    clock.now += 0.66
    for _ in range(20):
        control.press("b")
        assert control.snapshot().show_original
        clock.now += 0.04
    assert control.snapshot().show_original
    clock.now += 0.5
    assert not control.snapshot().show_original


def test_each_still_is_taken_once(clock: Clock) -> None:
    control = controls(clock)
    assert not control.take_still()
    tap(clock, control, "s")
    tap(clock, control, "s")
    assert [control.take_still() for _ in range(3)] == [True, True, False]


def test_messages_disappear(clock: Clock) -> None:
    control = controls(clock)
    control.show("saved")
    assert control.message == "saved"
    clock.now += 10
    assert control.message == ""


def test_unknown_keys_do_nothing(clock: Clock) -> None:
    control = controls(clock)
    before = control.snapshot()
    assert control.press("x") is None
    assert control.snapshot() == before


@pytest.mark.parametrize("key", ["q", "escape"])
def test_quit(clock: Clock, key: str) -> None:
    control = controls(clock)
    assert not control.quitting.is_set()
    assert control.press(key) is Action.QUIT
    assert control.quitting.is_set()


@pytest.mark.parametrize("wrong", [{"styles": 0}, {"strength": 1.5}, {"strength": float("nan")}])
def test_wrong_arguments_are_refused(clock: Clock, wrong: dict) -> None:
    with pytest.raises(ValueError, match=r"style|strength"):
        controls(clock, **wrong)


def test_a_style_that_is_added_is_faded_to() -> None:
    now = 0.0
    controls = Controls(["a", "b"], clock=lambda: now)
    controls.add_style("c", is_chosen=False)
    assert (controls.names, controls.snapshot().weights) == (("a", "b", "c"), (1.0, 0.0, 0.0))
    controls.add_style("d", is_chosen=True)
    now = CROSS_FADE_SECONDS / 2
    controls.add_style("e", is_chosen=False)
    assert controls.snapshot().style == 3
    assert controls.snapshot().weights == pytest.approx((0.5, 0, 0, 0.5, 0))
    now = CROSS_FADE_SECONDS
    assert controls.snapshot().weights == (0.0, 0.0, 0.0, 1.0, 0.0)
    controls.press("right")
    assert controls.snapshot().style == 4
    controls.press("3")
    assert controls.snapshot().style == 2
