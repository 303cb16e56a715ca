"""Packets that waited in buffers are skipped; files from the network are slowed down."""

from collections.abc import Callable

from pipeline.live.capture.pacing import BacklogFilter, ClockOffset, PacketAction, RealTimePacer

SHOW, DECODE_ONLY, DROP = PacketAction.SHOW, PacketAction.DECODE_ONLY, PacketAction.DROP


def actions(
    backlog: BacklogFilter, numbers: range, now: Callable[[int], float], *, waited: float, jump: float = 0
) -> list[PacketAction]:
    """Actions for frames at 10 fps with a key frame every 10."""
    return [backlog.action(n / 10 + jump, n % 10 == 0, now(n), waited) for n in numbers]


def in_time(number: int) -> float:
    return 100 + number / 10


def test_late_packets_are_decoded_and_the_newest_is_shown() -> None:
    backlog = BacklogFilter()
    assert set(actions(backlog, range(15), in_time, waited=0.1)) == {SHOW}
    at_once = actions(backlog, range(15, 25), lambda n: 102.5, waited=0.0)  # nobody read for a second
    assert at_once == [DECODE_ONLY] * 5 + [SHOW] * 5
    assert set(actions(backlog, range(25, 60), in_time, waited=0.1)) == {SHOW}


def test_if_decoding_is_too_slow_packets_are_dropped_up_to_a_key_frame() -> None:
    backlog = BacklogFilter()
    actions(backlog, range(15), in_time, waited=0.1)
    slow = actions(backlog, range(15, 60), lambda n: 110 + n / 10, waited=0.0)
    assert slow[:21] == [DECODE_ONLY] * 21
    assert slow[21:25] == [DROP] * 4
    assert slow[25:36] == [SHOW] + [DROP] * 9 + [SHOW]


def test_in_a_stream_of_key_frames_late_packets_are_dropped() -> None:
    backlog = BacklogFilter()
    assert {backlog.action(n / 10, True, in_time(n), 0.1) for n in range(15)} == {SHOW}
    late = [backlog.action(n / 10, True, 102.5, 0.0) for n in range(15, 25)]
    assert late == [DROP] * 5 + [SHOW] * 5


def test_a_clock_that_jumps_is_no_backlog() -> None:
    """After the source's clock has jumped, packets are waited for as before."""
    backlog = BacklogFilter()
    actions(backlog, range(15), in_time, waited=0.1)
    assert actions(backlog, range(15, 45), in_time, waited=0.1, jump=-1000) == [DECODE_ONLY] + [SHOW] * 29


def test_the_offset_is_the_smallest_difference_and_follows_a_drift() -> None:
    offset = ClockOffset()
    assert [offset.update(difference, 1.0) for difference in (5.0, 4.0, 9.0)] == [5.0, 4.0, 4.0]
    assert offset.update(9.0, 101.0) == 4.0 + 100 * ClockOffset.DRIFT


def test_frames_wait_until_they_are_due() -> None:
    pacer = RealTimePacer()
    assert pacer.wait_seconds(0.0, 100.0) == 0
    assert pacer.wait_seconds(1.0, 100.25) == 0.75
    assert pacer.wait_seconds(2.0, 102.3) == 0, "a little late"
    assert pacer.wait_seconds(3.0, 102.5) == 0.5, "which shifts nothing"


def test_a_long_delay_shifts_the_rest() -> None:
    pacer = RealTimePacer()
    pacer.wait_seconds(0.0, 100.0)
    assert pacer.wait_seconds(1.0, 103.0) == 0
    assert pacer.wait_seconds(2.0, 103.5) == 0.5


def test_time_stamps_that_jump_are_not_waited_for() -> None:
    pacer = RealTimePacer()
    pacer.wait_seconds(0.0, 100.0)
    assert pacer.wait_seconds(1000.0, 100.0) == 0
    assert pacer.wait_seconds(1001.0, 100.25) == 0.75
