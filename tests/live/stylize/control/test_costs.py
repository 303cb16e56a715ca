"""Costs of the modes: measured, estimated from others, and multiplied by the load of the machine."""

import pytest

from pipeline.live.stylize.control.costs import LARGEST_DOUBT, Costs
from pipeline.live.stylize.modes import Mode

LARGE, MIDDLE, SMALL = (Mode(size, "eager") for size in ((360, 640), (180, 320), (88, 160)))
SIDE = Mode(MIDDLE.size, "eager", 2)


def new(known: dict[Mode, float] | None = None) -> Costs:
    return Costs("cpu", "fp32", 2, known)


def feed(costs: Costs, mode: Mode, *seconds: float) -> None:
    for each in seconds:
        costs.add(0.0, mode, each)


def test_an_unknown_size_costs_by_its_pixels_and_a_little_at_any_size() -> None:
    costs = new()
    feed(costs, LARGE, *[0.4] * 20)
    assert 0.25 * 0.4 < costs.expected(0.0, MIDDLE) < 0.3 * 0.4
    assert costs.expected(0.0, LARGE) == 0.4
    assert not costs.is_known(MIDDLE)


def test_two_known_sizes_show_what_a_third_costs() -> None:
    """Where half of the pixels take as long as all of them, fewer still do so too."""
    costs = new({LARGE: 0.1, MIDDLE: 0.1})
    assert costs.expected(0.0, SMALL) == pytest.approx(0.1)
    steep = new({LARGE: 0.4, MIDDLE: 0.1})
    assert 0 < steep.expected(0.0, SMALL) < 0.05


def test_between_two_known_sizes_a_step_up_is_not_taken_for_worse_than_its_pixels() -> None:
    between = Mode((240, 428), "eager")
    costs = new({LARGE: 1.0, MIDDLE: 0.01})
    assert costs.expected(0.0, between) < 0.02


def test_nothing_is_known_of_a_mode_before_its_third_frame() -> None:
    costs = new()
    feed(costs, LARGE, 0.1, 0.1)
    assert costs.now(LARGE) is None
    feed(costs, LARGE, 0.1)
    assert costs.now(LARGE) == 0.1
    assert costs.now(MIDDLE) is None


def test_a_busy_machine_makes_every_mode_cost_more_until_it_is_quiet() -> None:
    costs = new({LARGE: 0.08, MIDDLE: 0.02})
    feed(costs, LARGE, *[0.08] * 30)
    assert costs.expected(0.0, MIDDLE) == pytest.approx(0.02, rel=0.05)
    feed(costs, LARGE, *[0.16] * 5)
    assert costs.load == pytest.approx(2)
    assert costs.expected(0.0, MIDDLE) == pytest.approx(0.04)
    feed(costs, LARGE, *[0.08] * 5)
    assert costs.expected(0.0, MIDDLE) == pytest.approx(0.02)


def test_a_mode_measured_on_a_busy_machine_is_cheap_on_a_quiet_one() -> None:
    costs = new({LARGE: 0.08})
    feed(costs, LARGE, *[0.16] * 20)
    feed(costs, MIDDLE, *[0.04] * 20)
    assert costs.known[MIDDLE] == pytest.approx(0.02)


def test_a_machine_that_is_faster_than_known_is_quiet() -> None:
    costs = new({LARGE: 0.4, MIDDLE: 0.1})
    feed(costs, LARGE, *[0.2] * 20)
    assert costs.load == 1
    assert costs.expected(0.0, MIDDLE) == pytest.approx(0.05)


def test_the_first_mode_of_a_session_shows_the_speed_of_the_machine_though_it_is_new() -> None:
    """Otherwise what an earlier session measured on a slow machine would count for ever."""
    costs = new({LARGE: 4.0, MIDDLE: 1.0})
    feed(costs, SMALL, *[0.02] * 20)
    assert costs.expected(0.0, MIDDLE) < 0.2


def test_a_cost_is_believed_less_the_longer_ago_it_was_measured() -> None:
    costs = new({LARGE: 0.4})
    assert costs.expected(0.0, LARGE) == 0.4
    assert 0.37 < costs.expected(100.0, LARGE) < 0.4
    assert costs.expected(1e6, LARGE) == pytest.approx((1 - LARGEST_DOUBT) * 0.4)


def test_side_by_side_a_frame_takes_longer_but_two_of_them_less_than_one_after_the_other() -> None:
    costs = new({MIDDLE: 0.05})
    assert 0.05 < costs.expected(0.0, SIDE) < 0.1


def test_one_slow_frame_counts_for_nothing() -> None:
    costs = new()
    feed(costs, LARGE, 0.1, 0.1, 0.1, 2.0, 0.1)
    assert costs.now(LARGE) == 0.1


def test_on_a_gpu_eager_is_slower_than_compile() -> None:
    costs = Costs("cuda", "fp16", 2, {Mode((360, 640), "eager"): 0.02})
    assert costs.expected(0.0, Mode((360, 640), "compile")) < 0.02


def spend(costs: Costs, mode: Mode, seconds: float, begin: float, end: float) -> None:
    for step in range(int((end - begin) * 20)):
        costs.add(begin + step / 20, mode, seconds)


def test_a_program_that_starts_when_the_mode_changes_is_found_out_in_the_mode_before() -> None:
    """The new mode seems slow; back in the old one, which is well known, it shows that the machine is busy."""
    costs = new()
    spend(costs, LARGE, 0.08, 0, 12)
    spend(costs, MIDDLE, 0.04, 12, 13)
    assert costs.known[MIDDLE] == pytest.approx(0.04)
    spend(costs, LARGE, 0.16, 13, 14)
    assert costs.load == pytest.approx(2)
    assert costs.known[MIDDLE] == pytest.approx(0.02)


def test_a_cost_that_contradicts_smaller_and_larger_frames_is_not_believed_for_long() -> None:
    costs = new()
    spend(costs, SMALL, 0.02, 0, 12)
    spend(costs, MIDDLE, 0.5, 12, 13)
    spend(costs, SMALL, 0.02, 13, 14)
    assert costs.expected(14, MIDDLE) == pytest.approx(0.5, rel=0.01)
    assert costs.expected(30, MIDDLE) < 0.1
    spend(costs, MIDDLE, 0.5, 30, 31)
    spend(costs, SMALL, 0.02, 31, 32)
    assert costs.expected(50, MIDDLE) == pytest.approx(0.5, rel=0.1), "the second time it is believed for longer"
    assert costs.expected(80, MIDDLE) < 0.1


def test_a_mode_that_is_faster_than_it_seemed_at_first_says_nothing_about_the_others() -> None:
    costs = new()
    spend(costs, SMALL, 0.02, 0, 12)
    spend(costs, MIDDLE, 0.2, 12, 13)
    spend(costs, SMALL, 0.02, 13, 14)
    spend(costs, MIDDLE, 0.05, 40, 42)
    assert costs.known[MIDDLE] == pytest.approx(0.05)
    assert costs.known[SMALL] == pytest.approx(0.02)


def test_a_load_under_which_a_mode_was_new_is_not_believed_for_ever() -> None:
    """It may have ended in the moment of the change."""
    costs = new()
    spend(costs, LARGE, 0.08, 0, 12)
    spend(costs, LARGE, 0.16, 12, 13)
    spend(costs, MIDDLE, 0.02, 13, 20)
    assert costs.load == 1
    assert costs.known[MIDDLE] == pytest.approx(0.02)
    assert costs.expected(20, LARGE) == pytest.approx(0.08, rel=0.05)


def test_of_another_engine_is_expected_what_it_gains_over_the_one_in_use_whatever_other_sizes_took() -> None:
    """Measured in a busy moment, a smaller size seemed to take longer."""
    costs = new({MIDDLE: 0.06, LARGE: 0.02})
    feed(costs, LARGE, *[0.02] * 20)
    assert costs.expected(0.0, Mode(LARGE.size, "compile")) < 0.5 * 0.02
