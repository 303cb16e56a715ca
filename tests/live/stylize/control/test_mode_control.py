"""Simulated machines, with a clock of their own: the control has to find the right mode, and to stay there."""

from typing import Any

import pytest

from pipeline.live.stylize.control.costs import Costs
from pipeline.live.stylize.control.mode_control import ENOUGH_FPS, MODEST_PIXELS, ModeControl
from pipeline.live.stylize.modes import Mode
from pipeline.stylize.engine import engine_choice
from tests.support.live.machine import SIZES, Machine

FULL, MODEST = SIZES[0], (180, 320)
assert MODEST in SIZES


def slow(**changes: Any) -> Machine:
    """Two cores without bf16, measured: eager gains little from the second one."""
    return Machine(**({"core_ms": {"eager": 165.0}, "shared_gain": 0.3, "noise": 0.05} | changes))


def fast(**changes: Any) -> Machine:
    """Stylizes the full size in 22 ms."""
    return Machine(**({"core_ms": {"eager": 35.0}, "shared_gain": 0.7, "noise": 0.05} | changes))


def avx2(**changes: Any) -> Machine:
    """Two cores without bf16, as `benchmarks/latency.py --avx2` showed them: eager gains nothing from the second."""
    settings: dict[str, Any] = {
        "core_ms": {"eager": 165.0, "openvino": 165.0, "compile": 75.0},
        "factor": lambda mode: 1.7 if mode.engine == "eager" and mode.workers == 1 else 1.0,
        "prepare_seconds": {"openvino": 6.0, "compile": 6.0},
        "in_all_modes": frozenset({"compile"}),
        "noise": 0.05,
    }
    return Machine(**(settings | changes))


def is_kept(machine: Machine, since: float, until: float = 1e9) -> bool:
    """Whether the machine reaches what `docs/live.md` promises."""
    enough = machine.fps(since, until) >= ENOUGH_FPS and machine.p95(since, until) <= 0.12
    return enough and min(height * width for height, width in machine.sizes(since, until)) >= MODEST_PIXELS


def test_a_fast_machine_keeps_the_full_size() -> None:
    machine = fast()
    machine.run(machine.control(), 120)
    assert machine.sizes(0) == {FULL}
    assert machine.changes() == 0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_a_slow_machine_keeps_the_promise_side_by_side(noise: float, seed: int) -> None:
    machine = slow(noise=noise, spike_every=40, seed=seed)
    machine.run(machine.control(), 120)
    assert is_kept(machine, 10)
    assert machine.log[-1][1] == Mode(MODEST, "eager", 2)
    assert machine.changes(10) <= 2


def test_it_is_there_within_two_seconds() -> None:
    machine = slow()
    machine.run(machine.control(), 30)
    assert machine.sizes(2) == {MODEST}


def test_half_a_core_that_another_program_takes_costs_no_size() -> None:
    machine = slow()
    control = machine.control()
    machine.run(control, 20)
    machine.load = 0.5
    machine.run(control, 60)
    assert machine.fps(21) >= 20
    assert machine.p95(21) <= 0.12
    assert machine.sizes(21) == {MODEST}


@pytest.mark.parametrize("seed", range(3))
def test_a_sudden_load_leads_to_a_smaller_size_at_once_and_back_when_it_ends(seed: int) -> None:
    machine = fast(seed=seed)
    control = machine.control()
    machine.run(control, 20)
    machine.load = 1.2
    machine.run(control, 60)
    assert machine.fps(21, 80) >= ENOUGH_FPS
    assert FULL not in machine.sizes(21, 26)
    assert machine.changes(21) <= 2, "tried once: the load might have ended in the moment of the change"
    machine.load = 0
    machine.run(control, 60)
    assert machine.sizes(86) == {FULL}
    assert machine.changes() <= 6


def test_a_smaller_size_that_gains_nothing_is_taken_back() -> None:
    machine = slow(core_ms={"eager": 5.0}, fixed_ms=120, shared_gain=0.0)
    machine.run(machine.control(), 120)
    modes = {mode for at, mode in machine.log if at > 10}
    assert len(modes) == 1, "tried once, and not again"
    assert machine.log[-1][1].pixels >= MODEST_PIXELS


@pytest.mark.parametrize("seed", range(3))
def test_the_library_for_all_sizes_is_compiled_first_and_runs_from_then_on(seed: int) -> None:
    machine = avx2(seed=seed, spike_every=40)
    machine.run(machine.control(), 60)
    assert [mode.engine for mode in machine.asked] == ["compile"]
    assert is_kept(machine, 10)
    assert {mode.engine for at, mode in machine.log if at > 10} == {"compile"}
    assert machine.log[-1][1].pixels >= 428 * 240


@pytest.mark.parametrize("seed", range(3))
def test_under_a_sudden_load_the_library_runs_at_smaller_sizes_too(seed: int) -> None:
    machine = avx2(seed=seed, noise=0.1)
    control = machine.control()
    machine.run(control, 30)
    machine.load = 0.5
    machine.run(control, 60)
    assert is_kept(machine, 30)
    assert {mode.engine for at, mode in machine.log if at > 10} == {"compile"}


@pytest.mark.parametrize(("make", "pixels"), [(slow, 320 * 180), (fast, 640 * 360), (avx2, 428 * 240)])
@pytest.mark.parametrize("length", [0.5, 1.5, 4.0])
def test_a_program_that_runs_for_a_moment_leaves_no_trace(make: Any, pixels: int, length: float) -> None:
    """Whatever is measured meanwhile: a mode that is new then is not believed to be slow for long."""
    for start in (0.0, 0.4, 3.2, 7.4, 9.0, 12.2):
        machine = make()
        control = machine.control()
        machine.run(control, start)
        machine.load = 1.2
        machine.run(control, length)
        machine.load = 0.0
        machine.run(control, 60)
        assert machine.log[-1][1].pixels >= pixels, start
        assert machine.changes(45) <= 2, start


@pytest.mark.parametrize("seed", range(3))
def test_what_an_earlier_session_took_for_too_fast_is_corrected(seed: int) -> None:
    """It looks like a load that never ends. The costs are those that a session had kept."""
    kept = {(180, 320, 2): 0.00535, (180, 320, 1): 0.00845, (240, 428, 1): 0.00886, (300, 532, 1): 0.02484}
    known = {Mode((height, width), "compile", workers): each for (height, width, workers), each in kept.items()}
    known |= {Mode(MODEST, "eager", 2): 0.02282, Mode(FULL, "eager"): 0.06639}
    cores: dict[str, Any] = {"core_ms": {"eager": 165.0, "compile": 75.0}}
    machine = avx2(seed=seed, load=0.5, prepare_seconds={"compile": 12.0}, **cores)
    control = machine.control(known=known)
    machine.run(control, 20)
    machine.load = 0.0
    machine.run(control, 40)
    assert machine.sizes(30) <= {SIZES[1], SIZES[2]}
    assert is_kept(machine, 25)


def test_threads_that_only_wait_for_each_other_are_not_used() -> None:
    """At small sizes two threads took twice the time of one."""
    machine = slow(factor=lambda mode: 3.0 if mode.workers == 1 else 1.0)
    machine.run(machine.control(), 60)
    assert machine.log[-1][1].workers == 2
    assert is_kept(machine, 10)


def test_side_by_side_is_taken_back_where_it_gains_nothing() -> None:
    machine = slow(shared_gain=0.9, factor=lambda mode: 2.2 if mode.workers == 2 else 1.0)
    machine.run(machine.control(), 120)
    assert {mode.workers for at, mode in machine.log if at > 10} == {1}


def test_a_spike_changes_nothing() -> None:
    machine = fast(noise=0.0)
    control = machine.control()
    machine.run(control, 5)
    control.add(machine.now, 0.5)
    machine.run(control, 5)
    assert machine.changes() == 0


def test_attempts_that_fail_become_rare() -> None:
    """The full size costs more than the estimate: it is tried, and seldom again."""
    machine = fast(factor=lambda mode: 2.5 if mode.size == FULL else 1.0)
    machine.run(machine.control(), 500)
    assert machine.sizes(10) <= {FULL, SIZES[1]}
    assert machine.changes() <= 13
    assert machine.changes(250) <= 6


def test_between_comfort_and_lateness_no_size_is_left() -> None:
    """A mode that takes 30 of 33 ms is kept; so is the next smaller one, once chosen."""
    machine = fast(core_ms={"eager": 51.0}, shared_gain=0.8, noise=0.0)
    machine.run(machine.control(), 60)
    assert machine.sizes(0) == {FULL}
    control = machine.control(known={Mode(FULL, "eager"): 0.030, Mode(SIZES[1], "eager"): 0.0213})
    assert control.mode.size == SIZES[1]
    machine.run(control, 60)
    assert control.mode.size == SIZES[1]


def test_what_earlier_sessions_measured_is_used_from_the_first_frame() -> None:
    first = slow()
    control = first.control()
    first.run(control, 60)
    second = slow(seed=1)
    second.run(second.control(known=control.costs.known), 30)
    assert second.sizes(0) == {MODEST}
    assert second.changes() == 0


@pytest.mark.parametrize("factor", [0.2, 5.0])
def test_what_earlier_sessions_measured_wrongly_is_corrected(factor: float) -> None:
    """On a battery, after an update, on another machine with the same name."""
    first = slow()
    control = first.control()
    first.run(control, 60)
    machine = slow(seed=1)
    machine.run(machine.control(known={mode: seconds * factor for mode, seconds in control.costs.known.items()}), 60)
    assert is_kept(machine, 15)


def test_a_fast_engine_is_prepared_and_takes_over_at_once() -> None:
    machine = Machine({"eager": 160.0, "openvino": 60.0}, noise=0.05)
    machine.run(machine.control(), 60)
    ready_at = next(at for at, mode in machine.log if mode.engine == "openvino")
    assert ready_at < 8
    assert {mode.engine for at, mode in machine.log if at > ready_at} == {"openvino"}
    assert len(machine.asked) <= 2
    assert machine.fps(10) >= ENOUGH_FPS


def test_an_engine_that_gains_nothing_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(engine_choice.CORE_SECONDS["fp32"], "compile", 0.41)
    machine = Machine({"eager": 165.0, "openvino": 150.0, "compile": 145.0}, shared_gain=0.8)
    machine.run(machine.control(), 120)
    assert {mode.engine for mode in machine.asked} == {"openvino"}


def test_a_fast_engine_that_turns_out_slower_is_not_used() -> None:
    machine = Machine({"eager": 100.0, "compile": 200.0}, shared_gain=0.7, noise=0.03)
    machine.run(machine.control(), 120)
    assert machine.asked
    assert machine.log[-1][1].engine == "eager"
    assert machine.changes(70) == 0


@pytest.mark.parametrize("compiling", [1.08, 1.25])
def test_a_compiler_in_the_background_costs_no_frames(compiling: float) -> None:
    """The size may fall meanwhile, the rate does not; afterwards the size is larger than before."""
    settings: dict[str, Any] = {"core_ms": {"eager": 90.0, "compile": 48.0}, "shared_gain": 0.5, "precision": "bf16"}
    machine = Machine(**settings, noise=0.05, compiling=compiling)
    control = machine.control()
    machine.run(control, 10)
    assert machine.asked
    machine.run(control, 30)
    assert machine.fps(8, 40) >= 28
    machine.run(control, 60)
    assert machine.log[-1][1].engine == "compile"
    assert machine.log[-1][1].pixels > max(mode.pixels for at, mode in machine.log if 2 < at < 40)
    assert machine.changes(60) == 0


def test_the_engine_that_the_user_wants_is_prepared_though_it_gains_nothing() -> None:
    machine = Machine({"eager": 40.0, "openvino": 45.0}, noise=0.02)
    machine.names = lambda size, workers: (  # type: ignore[method-assign]
        ["openvino"] if Mode(size, "openvino", workers) in machine.ready else ["eager"]
    )
    machine.run(machine.control(is_engine_given=True), 30)
    assert {mode.engine for at, mode in machine.log if at > 10} == {"openvino"}


def test_a_stored_engine_is_wanted_at_once_and_a_compilation_only_after_a_while() -> None:
    machine = Machine({"eager": 60.0})
    control = machine.control()
    machine.run(control, 3)
    asked = [control.worth_preparing(at, machine.names, ["compile"], lambda mode: 25.0) is not None for at in range(9)]
    assert asked.index(True) == 5
    assert control.worth_preparing(9, machine.names, [], lambda mode: 25.0) is None
    control.set_fps(20)  # another size is wanted
    assert control.worth_preparing(10, machine.names, ["compile"], lambda mode: 0.0) is not None


def test_a_compilation_is_wanted_though_the_size_that_needs_it_changes() -> None:
    """Otherwise nothing is compiled where it is needed most: on a machine whose size goes up and down."""
    machine = Machine({"eager": 160.0})
    control = machine.control()
    machine.run(control, 3)
    asked = []
    for at in range(8):
        control.set_fps(30.0 if at % 2 else 10.0)
        asked.append(control.worth_preparing(at, machine.names, ["compile"], lambda mode: 25.0))
    assert asked[:5] == [None] * 5
    assert asked[6] is not None
    assert asked[7] is not None
    assert asked[6].size != asked[7].size


def test_a_low_latency_target_makes_the_size_smaller() -> None:
    loose, tight = (Machine({"eager": 110.0}, other_ms=20) for _ in range(2))
    loose.run(loose.control(fps=10, latency_seconds=0.2), 10, fps=10)
    tight.run(tight.control(fps=10, latency_seconds=0.05), 10, fps=10)
    assert loose.log[-1][1].size == FULL
    assert tight.log[-1][1].size != FULL


def test_a_slow_sink_does_not_make_the_size_tiny() -> None:
    machine = fast(other_ms=5000)
    control = machine.control()
    machine.run(control, 20)
    assert control.latency_budget == pytest.approx(0.1 / 3, rel=0.01)
    assert machine.log[-1][1].pixels >= SIZES[1][0] * SIZES[1][1]


def test_a_slower_camera_allows_a_larger_size() -> None:
    machine = Machine({"eager": 100.0})
    control = machine.control()
    machine.run(control, 3)
    assert control.mode.size != FULL
    control.set_fps(10)
    machine.run(control, 60, fps=10)
    assert control.mode.size == FULL


def test_a_forbidden_size_is_never_chosen_again() -> None:
    machine = Machine({"eager": 5.0})
    control = machine.control()
    assert control.forbid(SIZES[1]) == list(SIZES[:2])
    assert not control.is_smallest(SIZES[2])
    assert control.is_smallest(SIZES[-1])
    machine.run(control, 120)
    assert machine.sizes(0) == {SIZES[2]}


def test_nothing_is_known_at_first() -> None:
    control = ModeControl(SIZES, Costs("cpu", "fp32", 2), Mode(FULL, "eager"), fps=30.0, latency_seconds=0.1)
    assert control.choose(0.0, lambda size, workers: ["eager"]) == Mode(FULL, "eager")
    assert control.worth_preparing(0.0, lambda size, workers: ["eager"], ["compile"], lambda mode: 0.0) is None
