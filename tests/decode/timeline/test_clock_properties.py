"""Properties of the clock of joined recordings: each recording stays as it is, and all its streams move alike."""

from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from pipeline.decode.timeline.clock import BACKWARD_TICKS, FORWARD_TICKS, ContinuousClock

VIDEO_TICKS, AUDIO_TICKS = 3600, 1920
# What a clock shows at the start of a recording: below half of what 33 bits count.
starts = st.integers(0, 2**32)


@dataclass
class Packet:
    """What the clock reads of a packet, and where its time was before."""

    stream_index: int
    pts: int
    dts: int
    duration: int
    recording: int
    pos: int
    size: int = 1
    was: int = 0

    def __post_init__(self) -> None:
        self.was = self.dts


def recorded(clock_starts: list[int], seconds: int) -> list[Packet]:
    """Return the packets of recordings with video and audio, in the order of a file."""
    packets: list[Packet] = []
    for recording, start in enumerate(clock_starts):
        times = [(0, VIDEO_TICKS * number) for number in range(25 * seconds)]
        times += [(1, AUDIO_TICKS * number) for number in range(90_000 * seconds // AUDIO_TICKS)]
        for stream, time in sorted(times, key=lambda each: each[1]):
            length = AUDIO_TICKS if stream else VIDEO_TICKS
            packets.append(Packet(stream, start + time, start + time, length, recording, 188 * len(packets)))
    return packets


def continued(packets: list[Packet]) -> list[Packet]:
    """Return the packets with the times that the clock gives them."""
    kinds = [SimpleNamespace(index=index, type=kind, disposition=0) for index, kind in enumerate(("video", "audio"))]
    return cast(list[Packet], list(ContinuousClock(cast(Any, kinds)).continuous(cast(Any, packets))))


@given(st.lists(starts, min_size=1, max_size=4), st.integers(1, 4))
def test_recordings_follow_each_other_and_their_streams_stay_in_step(clock_starts: list[int], seconds: int) -> None:
    packets = continued(recorded(clock_starts, seconds))
    assert [packet.pos for packet in packets] == sorted(packet.pos for packet in packets)
    for recording in range(len(clock_starts)):
        moves = {packet.dts - packet.was for packet in packets if packet.recording == recording}
        assert len(moves) == 1, recording
    for stream in (0, 1):
        times = [packet.dts for packet in packets if packet.stream_index == stream]
        assert all(b - a >= -BACKWARD_TICKS for a, b in pairwise(times))
        assert all(b - a <= FORWARD_TICKS + 2 * VIDEO_TICKS for a, b in pairwise(times))


@given(starts, st.integers(1, 4))
def test_a_single_recording_stays_as_it_is(start: int, seconds: int) -> None:
    assert all(packet.dts == packet.was for packet in continued(recorded([start], seconds)))


@given(starts, st.integers(1, 3), st.integers(VIDEO_TICKS, 4 * VIDEO_TICKS))
def test_a_clock_set_back_by_a_few_frames_moves_all_streams(start: int, seconds: int, back: int) -> None:
    packets = recorded([start, start + seconds * 90_000 - back], seconds)
    continued(packets)
    moves = {packet.dts - packet.was for packet in packets if packet.recording == 1}
    assert len(moves) == 1
    assert min(moves) >= back - AUDIO_TICKS
