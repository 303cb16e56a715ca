"""Hands on: what keys change, and what the painter is told of it."""

import pytest

from pipeline.live.controls import CROSS_FADE_SECONDS, Controls
from pipeline.live.keys import BINDINGS, Action


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def controls(clock: Clock, *, styles: int = 3, **settings) -> Controls:
    return Controls([f"style-{number}" for number in range(styles)], clock=clock, **settings)


def tap(clock: Clock, hands: Controls, key: str) -> None:
    clock.now += 2
    hands.press(key)


def test_each_key_has_one_meaning_and_each_action_a_key() -> None:
    keys = [key for binding in BINDINGS for key in binding.keys]
    assert len(keys) == len(set(keys))
    assert {binding.action for binding in BINDINGS} == set(Action)


def test_numbers_and_arrows_choose_the_style(clock: Clock) -> None:
    hands = controls(clock)
    for key, expected in (("3", 2), ("right", 0), ("left", 2), ("left", 1), ("9", 1), ("0", 1), ("1", 0)):
        tap(clock, hands, key)
        assert hands.snapshot().style == expected, key


def test_zero_is_the_tenth_style(clock: Clock) -> None:
    hands = controls(clock, styles=11)
    tap(clock, hands, "0")
    assert hands.snapshot().style == 9


def test_a_style_comes_in_slowly_and_a_broken_off_fade_does_not_jump(clock: Clock) -> None:
    hands = controls(clock)
    assert hands.snapshot().weights == (1, 0, 0)
    hands.press("2")
    clock.now += CROSS_FADE_SECONDS / 2
    assert hands.snapshot().weights == pytest.approx((0.5, 0.5, 0))
    hands.press("3")
    assert hands.snapshot().weights == pytest.approx((0.5, 0.5, 0))
    clock.now += CROSS_FADE_SECONDS / 2
    assert hands.snapshot().weights == pytest.approx((0.25, 0.25, 0.5))
    clock.now += CROSS_FADE_SECONDS
    assert hands.snapshot().weights == (0, 0, 1)


def test_the_style_that_is_shown_is_not_faded_to(clock: Clock) -> None:
    hands = controls(clock)
    tap(clock, hands, "1")
    clock.now += CROSS_FADE_SECONDS / 2
    assert hands.snapshot().weights == (1, 0, 0)


def test_strength_goes_in_tenths_between_nothing_and_all(clock: Clock) -> None:
    hands = controls(clock, strength=0.75)
    seen = []
    for key in ("up", "up", "up", "up", "down"):
        tap(clock, hands, key)
        seen.append(hands.snapshot().strength)
    assert seen == [0.8, 0.9, 1, 1, 0.9]
    for _ in range(12):
        tap(clock, hands, "down")
    assert hands.snapshot().strength == 0


@pytest.mark.parametrize(
    ("key", "state"),
    [
        ("c", lambda hands: hands.snapshot().keep_colors),
        ("m", lambda hands: hands.snapshot().mirror),
        ("b", lambda hands: hands.snapshot().show_original),
        ("r", lambda hands: hands.recording),
        ("f", lambda hands: hands.full_screen),
        ("h", lambda hands: hands.help),
    ],
)
def test_a_tap_switches_and_another_switches_back(clock: Clock, key: str, state) -> None:
    hands = controls(clock)
    for expected in (True, False, True):
        tap(clock, hands, key)
        assert state(hands) is expected


def test_a_key_held_down_switches_once(clock: Clock) -> None:
    hands = controls(clock)
    for _ in range(10):
        hands.press("m")
        clock.now += 0.03
    assert hands.snapshot().mirror


@pytest.mark.parametrize("delay", [0.16, 0.5, 0.7])
def test_a_keyboard_that_repeats_late_switches_once(clock: Clock, delay: float) -> None:
    hands = controls(clock)
    for key in "mcrfhs":
        hands.press(key)
        clock.now += delay
        assert hands.press(key) is None, key
    assert hands.snapshot().mirror
    hands.press("c")  # another key between them: pressed anew, however soon
    clock.now += 0.1
    hands.press("m")
    assert not hands.snapshot().mirror


def test_a_recording_that_cannot_be_had_is_told_to_who_asks(clock: Clock) -> None:
    hands = controls(clock, recording=True)
    hands.refuse_recording("the disk is full")
    clock.now += 10
    tap(clock, hands, "r")
    assert not hands.recording
    assert hands.message == "the disk is full"


def test_the_original_is_shown_while_its_key_is_held(clock: Clock) -> None:
    hands = controls(clock)
    hands.press("b")
    clock.now += 0.66
    for _ in range(20):
        hands.press("b")
        assert hands.snapshot().show_original
        clock.now += 0.04
    assert hands.snapshot().show_original
    clock.now += 0.5
    assert not hands.snapshot().show_original


def test_each_wish_for_a_still_is_answered_once(clock: Clock) -> None:
    hands = controls(clock)
    assert not hands.take_still()
    tap(clock, hands, "s")
    tap(clock, hands, "s")
    assert [hands.take_still() for _ in range(3)] == [True, True, False]


def test_messages_go_away(clock: Clock) -> None:
    hands = controls(clock)
    hands.show("saved")
    assert hands.message == "saved"
    clock.now += 10
    assert hands.message == ""


def test_keys_without_a_meaning_do_nothing(clock: Clock) -> None:
    hands = controls(clock)
    before = hands.snapshot()
    assert hands.press("x") is None
    assert hands.snapshot() == before


@pytest.mark.parametrize("key", ["q", "escape"])
def test_quit(clock: Clock, key: str) -> None:
    hands = controls(clock)
    assert not hands.quitting.is_set()
    assert hands.press(key) is Action.QUIT
    assert hands.quitting.is_set()


@pytest.mark.parametrize("wrong", [{"styles": 0}, {"strength": 1.5}, {"strength": float("nan")}])
def test_what_makes_no_sense_is_refused(clock: Clock, wrong: dict) -> None:
    with pytest.raises(ValueError, match=r"style|strength"):
        controls(clock, **wrong)
