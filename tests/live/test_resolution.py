"""A machine made of numbers: it takes so long for each pixel, fast or slow, and the quality has to find its way."""

from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from pipeline.live.resolution import SMALLEST_PX, ResolutionControl, first_step, working_sizes

SIZES = working_sizes(360, 640)


@dataclass
class Machine:
    """Paints pictures that come ``fps`` times a second, one at a time.

    Attributes:
        fast_ms: that the full size takes with the fast engine.
        fixed_ms: on top, at any size.
        elsewhere_ms: between painter and sink.
        ready: steps whose fast engine is there.
    """

    fast_ms: float
    slow_ms: float = 80.0
    fixed_ms: float = 2.0
    elsewhere_ms: float = 5.0
    ready: set[int] = field(default_factory=set)
    now: float = 0.0
    changes: int = 0

    def run(self, quality: ResolutionControl, seconds: float, *, fps: float = 30.0) -> None:
        end = self.now + seconds
        while self.now < end:
            before = quality.step
            step = quality.choose(self.now, self.ready)
            self.changes += step != before
            fast = step in self.ready
            share = SIZES[step][0] * SIZES[step][1] / (SIZES[0][0] * SIZES[0][1])
            took = (self.fixed_ms + (self.fast_ms if fast else self.slow_ms) * share) / 1000
            self.now += max(took, 1 / fps)
            quality.add(self.now, took, fast=fast)
            quality.add_latency(took + self.elsewhere_ms / 1000)


def new(**changes: float) -> ResolutionControl:
    settings = {"step": 0, "fps": 30.0, "latency_seconds": 0.1} | changes
    return ResolutionControl(SIZES, **settings)  # type: ignore[arg-type]


def test_steps_go_down_in_multiples_of_four_and_end_in_time() -> None:
    assert SIZES[0] == (360, 640)
    assert all(height % 4 == width % 4 == 0 for height, width in SIZES)
    assert list(SIZES) == sorted(SIZES, reverse=True)
    assert min(min(size) for size in working_sizes(1080, 1920)) >= SMALLEST_PX
    assert working_sizes(49, 65) == ((49, 65),)


def test_the_first_step_fits_the_machine() -> None:
    sizes = working_sizes(1080, 1920)
    assert sizes[first_step(sizes, 640 * 360)] == (360, 640)
    assert first_step(sizes, 1e9) == 0
    assert first_step(sizes, 1) == len(sizes) - 1


def test_what_fits_stays() -> None:
    quality, machine = new(), Machine(fast_ms=25, ready=set(range(9)))
    machine.run(quality, 60)
    assert quality.step == 0
    assert machine.changes == 0


def test_too_slow_goes_down_within_a_second_and_settles() -> None:
    quality, machine = new(), Machine(fast_ms=75, ready=set(range(9)))
    machine.run(quality, 2)
    assert SIZES[quality.step] == (180, 320)
    machine.changes = 0
    machine.run(quality, 120)
    assert machine.changes <= 4  # tries, each after a longer wait
    assert quality.step >= 2


def test_a_spike_changes_nothing() -> None:
    quality, machine = new(), Machine(fast_ms=25, ready=set(range(9)))
    machine.run(quality, 5)
    quality.add(machine.now, 0.3, fast=True)
    machine.run(quality, 5)
    assert machine.changes == 0


def test_room_is_used_again_step_by_step_but_not_at_once() -> None:
    quality, machine = new(), Machine(fast_ms=75, ready=set(range(9)))
    machine.run(quality, 50)  # what the larger steps did cost is no longer believed
    lowest = quality.step
    machine.fast_ms = 20
    machine.run(quality, 1)
    assert quality.step == lowest > 0
    machine.run(quality, 60)
    assert quality.step == 0


def test_between_comfort_and_lateness_neither_size_is_left() -> None:
    """At 30 ms of 33 the full size is kept; the next smaller one, once chosen, is kept too."""
    for step in (0, 1):
        quality, machine = new(step=step), Machine(fast_ms=29, fixed_ms=1, ready=set(range(9)))
        machine.run(quality, 60)
        assert (quality.step, machine.changes) == (step, 0)


def test_tries_that_fail_become_rare() -> None:
    """The smaller size promises more than the larger one keeps, as its fixed costs are small: still no flutter."""
    quality, machine = new(step=1), Machine(fast_ms=25, fixed_ms=0, ready=set(range(9)))
    steps = []
    for _ in range(480):
        machine.fixed_ms = 12 if quality.step == 0 else 0
        machine.run(quality, 1)
        steps.append(quality.step)
    ups = sum(before > after for before, after in pairwise(steps))
    assert 1 <= ups <= 10


def test_the_fast_engine_takes_over_at_once() -> None:
    quality, machine = new(), Machine(fast_ms=25, slow_ms=65)
    machine.run(quality, 10)
    slow_step = quality.step
    assert slow_step > 0
    assert quality.worth_preparing(machine.now) == 0
    machine.ready = {0}
    machine.run(quality, 0.1)
    assert quality.step == 0
    machine.run(quality, 30)
    assert (quality.step, machine.changes) == (0, 2)


def test_the_slow_engine_serves_where_the_fast_one_is_too_large() -> None:
    quality, machine = new(), Machine(fast_ms=75, slow_ms=150, ready={0})
    machine.run(quality, 10)
    assert quality.step > 0
    assert quality.step not in machine.ready
    wanted = quality.worth_preparing(machine.now)
    assert wanted is not None
    assert 0 < wanted < quality.step
    machine.ready.add(wanted)
    machine.run(quality, 1)
    assert quality.step == wanted


def test_a_tight_latency_asks_for_less_painting() -> None:
    loose, tight = new(fps=10.0, latency_seconds=0.2), new(fps=10.0, latency_seconds=0.05)
    for quality in (loose, tight):
        Machine(fast_ms=60, elsewhere_ms=20, ready=set(range(9))).run(quality, 10, fps=10)
    assert loose.step == 0
    assert tight.step > 0


def test_a_slow_sink_is_no_reason_to_paint_next_to_nothing() -> None:
    quality = new()
    Machine(fast_ms=25, elsewhere_ms=5000, ready=set(range(9))).run(quality, 20)
    assert quality.budget_seconds == pytest.approx(0.1 / 3, rel=0.01)
    assert quality.step <= 1


def test_a_slower_camera_leaves_more_time() -> None:
    quality, machine = new(), Machine(fast_ms=60, ready=set(range(9)))
    machine.run(quality, 3)
    assert quality.step > 0
    quality.set_fps(10)
    machine.run(quality, 60, fps=10)
    assert quality.step == 0


def test_a_step_without_memory_is_never_tried_again() -> None:
    quality, machine = new(), Machine(fast_ms=5, ready=set(range(9)))
    quality.forbid(1)
    assert quality.step == 2
    machine.run(quality, 120)
    assert quality.step == 2
    assert quality.worth_preparing(machine.now) == 2


def test_nothing_is_known_at_first() -> None:
    quality = new()
    assert quality.choose(0.0, ()) == 0
    assert quality.worth_preparing(0.0) is None
