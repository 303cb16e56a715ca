"""A simulated machine takes some time for each pixel; the resolution control has to find the right size."""

from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from pipeline.live.stylize.resolution import SMALLEST_PX, ResolutionControl, first_step, working_sizes

SIZES = working_sizes(360, 640)


@dataclass
class Machine:
    """Stylizes frames that come ``fps`` times a second, one at a time.

    Attributes:
        fast_ms: time of a fast engine at the full size.
        slow_ms: time of eager at the full size.
        fixed_ms: additional time at any size.
        other_ms: time from the stylizer to the sink.
        ready: the steps with a fast engine.
    """

    fast_ms: float
    slow_ms: float = 80.0
    fixed_ms: float = 2.0
    other_ms: float = 5.0
    ready: set[int] = field(default_factory=set)
    now: float = 0.0
    changes: int = 0

    def run(self, control: ResolutionControl, seconds: float, *, fps: float = 30.0) -> None:
        end = self.now + seconds
        while self.now < end:
            before = control.step
            step = control.choose(self.now, self.ready)
            self.changes += step != before
            fast = step in self.ready
            share = SIZES[step][0] * SIZES[step][1] / (SIZES[0][0] * SIZES[0][1])
            took = (self.fixed_ms + (self.fast_ms if fast else self.slow_ms) * share) / 1000
            self.now += max(took, 1 / fps)
            control.add(self.now, took, fast=fast)
            control.add_latency(took + self.other_ms / 1000)


def new(**changes: float) -> ResolutionControl:
    settings = {"step": 0, "fps": 30.0, "latency_seconds": 0.1} | changes
    return ResolutionControl(SIZES, **settings)  # type: ignore[arg-type]


def test_sizes_are_multiples_of_four_and_not_too_small() -> None:
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


def test_a_size_that_fits_stays() -> None:
    control, machine = new(), Machine(fast_ms=25, ready=set(range(9)))
    machine.run(control, 60)
    assert control.step == 0
    assert machine.changes == 0


def test_a_slow_machine_goes_down_within_two_seconds_and_settles() -> None:
    control, machine = new(), Machine(fast_ms=75, ready=set(range(9)))
    machine.run(control, 2)
    assert SIZES[control.step] == (180, 320)
    machine.changes = 0
    machine.run(control, 120)
    assert machine.changes <= 4  # attempts, each after a longer wait
    assert control.step >= 2


def test_a_spike_changes_nothing() -> None:
    control, machine = new(), Machine(fast_ms=25, ready=set(range(9)))
    machine.run(control, 5)
    control.add(machine.now, 0.3, fast=True)
    machine.run(control, 5)
    assert machine.changes == 0


def test_time_to_spare_is_used_step_by_step_but_not_at_once() -> None:
    control, machine = new(), Machine(fast_ms=75, ready=set(range(9)))
    machine.run(control, 50)  # the costs of the larger steps are no longer valid
    lowest = control.step
    machine.fast_ms = 20
    machine.run(control, 1)
    assert control.step == lowest > 0
    machine.run(control, 60)
    assert control.step == 0


def test_between_comfort_and_lateness_neither_size_is_left() -> None:
    """At 30 ms of 33 the full size is kept; the next smaller one, once chosen, is kept too."""
    for step in (0, 1):
        control, machine = new(step=step), Machine(fast_ms=29, fixed_ms=1, ready=set(range(9)))
        machine.run(control, 60)
        assert (control.step, machine.changes) == (step, 0)


def test_attempts_that_fail_become_rare() -> None:
    """The estimate for the larger size is too low: the size still changes rarely."""
    control, machine = new(step=1), Machine(fast_ms=25, fixed_ms=0, ready=set(range(9)))
    steps = []
    for _ in range(480):
        machine.fixed_ms = 12 if control.step == 0 else 0
        machine.run(control, 1)
        steps.append(control.step)
    ups = sum(before > after for before, after in pairwise(steps))
    assert 1 <= ups <= 10


def test_the_fast_engine_takes_over_at_once() -> None:
    control, machine = new(), Machine(fast_ms=25, slow_ms=65)
    machine.run(control, 10)
    slow_step = control.step
    assert slow_step > 0
    assert control.worth_preparing(machine.now) == 0
    machine.ready = {0}
    machine.run(control, 0.1)
    assert control.step == 0
    machine.run(control, 30)
    assert (control.step, machine.changes) == (0, 2)


def test_eager_is_used_where_the_fast_engine_is_too_large() -> None:
    control, machine = new(), Machine(fast_ms=75, slow_ms=150, ready={0})
    machine.run(control, 10)
    assert control.step > 0
    assert control.step not in machine.ready
    wanted = control.worth_preparing(machine.now)
    assert wanted is not None
    assert 0 < wanted < control.step
    machine.ready.add(wanted)
    machine.run(control, 1)
    assert control.step == wanted


def test_a_low_latency_target_makes_the_size_smaller() -> None:
    loose, tight = new(fps=10.0, latency_seconds=0.2), new(fps=10.0, latency_seconds=0.05)
    for control in (loose, tight):
        Machine(fast_ms=60, other_ms=20, ready=set(range(9))).run(control, 10, fps=10)
    assert loose.step == 0
    assert tight.step > 0


def test_a_slow_sink_does_not_make_the_size_tiny() -> None:
    control = new()
    Machine(fast_ms=25, other_ms=5000, ready=set(range(9))).run(control, 20)
    assert control.budget_seconds == pytest.approx(0.1 / 3, rel=0.01)
    assert control.step <= 1


def test_a_slower_camera_allows_a_larger_size() -> None:
    control, machine = new(), Machine(fast_ms=60, ready=set(range(9)))
    machine.run(control, 3)
    assert control.step > 0
    control.set_fps(10)
    machine.run(control, 60, fps=10)
    assert control.step == 0


def test_a_forbidden_step_is_never_chosen_again() -> None:
    control, machine = new(), Machine(fast_ms=5, ready=set(range(9)))
    control.forbid(1)
    assert control.step == 2
    machine.run(control, 120)
    assert control.step == 2
    assert control.worth_preparing(machine.now) == 2


def test_nothing_is_known_at_first() -> None:
    control = new()
    assert control.choose(0.0, ()) == 0
    assert control.worth_preparing(0.0) is None
