"""What judges the outputs of the fuzzer finds each kind of fault, and none in a healthy file."""

from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import pytest

from tests.support.fuzz.oracle import Played, Sounds, part_faults, play, report_faults, truth_faults
from tests.support.fuzz.recordings import Recording, Truth, numbered_frame, record, shown_number


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Truth, Played]:
    """A clip of two recordings, and what a player shows of it."""
    path = tmp_path_factory.mktemp("clip") / "clip.mkv"
    first = Recording(frames=12)
    second = Recording(first=12, frames=12, start=first.seconds, seed=1)
    cues = (("one", Fraction(1, 10), Fraction(3, 10)),)
    return record(path, [first, second], form="matroska", cues=cues), play(path)


def faults_of(truth: Truth, played: Played, *, is_damaged: bool = False) -> str:
    """Return the faults as one text."""
    return "; ".join(truth_faults(truth, played, is_damaged=is_damaged))


def moved(played: Played, move: "dict[int, Fraction] | Fraction") -> Played:
    """Return it with audio packets later: those of these indexes, or all."""
    track = played.tracks[0]
    packets = [
        (time + (move if isinstance(move, Fraction) else move.get(index, Fraction(0))), length, data)
        for index, (time, length, data) in enumerate(track.packets)
    ]
    return replace(played, tracks=[Sounds(track.codec, packets, track.seconds)])


def test_every_number_is_read_from_its_frame_at_each_size() -> None:
    for width, height in ((64, 48), (17, 2), (160, 90)):
        for number in range(64):
            assert shown_number(numbered_frame(number, width, height)[..., 0]) == number


def test_a_healthy_file_has_no_faults(healthy: tuple[Truth, Played]) -> None:
    truth, played = healthy
    assert faults_of(truth, played) == ""
    report = SimpleNamespace(notices=(), frames=24, audio_packets=len(played.tracks[0].packets))
    assert report_faults(report, played) == []


def test_a_report_of_other_frames_or_packets_is_a_fault(healthy: tuple[Truth, Played]) -> None:
    _, played = healthy
    packets = len(played.tracks[0].packets)
    for frames, audio_packets, fault in ((30, packets, "24 frames decode, 30"), (24, packets - 1, "audio packets")):
        report = SimpleNamespace(notices=(), frames=frames, audio_packets=audio_packets)
        assert fault in report_faults(report, played)[0]


def test_frames_at_one_time_are_a_fault_unless_a_notice_counts_them(healthy: tuple[Truth, Played]) -> None:
    _, played = healthy
    played = replace(played, frames=[played.frames[0], *played.frames[:-1]])
    report = SimpleNamespace(notices=(), frames=24, audio_packets=len(played.tracks[0].packets))
    assert report_faults(report, played) == ["frames do not follow each other"]
    report.notices = ("frames have the same time as the frame before (1)",)
    assert report_faults(report, played) == []


def test_lost_frames_are_a_fault_unless_damage_is_reported(healthy: tuple[Truth, Played]) -> None:
    truth, played = healthy
    shorter = replace(played, frames=played.frames[:5] + played.frames[6:])
    assert "23 of 24 frames are shown, without [5]" in faults_of(truth, shorter)
    assert faults_of(truth, shorter, is_damaged=True) == ""


def test_frames_at_other_times_are_a_fault_but_for_a_stray_one_in_damaged_clips(healthy: tuple[Truth, Played]) -> None:
    truth, played = healthy
    stray = replace(played, frames=[(time + (number == 7) * Fraction(1, 50), number) for time, number in played.frames])
    assert "frame 7 is" in faults_of(truth, stray)
    assert faults_of(truth, stray, is_damaged=True) == ""
    slow = replace(played, frames=[(2 * time, number) for time, number in played.frames])
    assert "frame 1 is" in faults_of(truth, slow, is_damaged=True)


def part_of(*numbers: int | None) -> Played:
    """Return frames that show ``numbers``; each is shown at the time of the frame that belongs there, or one later."""
    return Played([(Fraction(place, 25), number) for place, number in enumerate(numbers)])


def test_a_part_has_all_frames_even_if_damaged(healthy: tuple[Truth, Played]) -> None:
    truth, _ = healthy
    for is_damaged in (False, True):
        assert part_faults(truth, part_of(*range(7, 15)), (), is_damaged=is_damaged) == []
        for numbers in ((7, 8, 10), (7, 8, 8), (7, 8, None), (9, 10, 10), (None,)):
            assert "are shown" in part_faults(truth, part_of(*numbers), (), is_damaged=is_damaged)[0]


def test_only_the_last_frames_before_another_codec_may_be_wrong_in_a_damaged_part() -> None:
    truth = Truth()
    truth.add(Recording(frames=12, codec="mpeg2video"))
    truth.add(Recording(first=12, frames=12))
    for numbers in ((5, 6, 7, 8, 9, 9), (5, 6, 7, None), (5, 6, 7, 8, 10, 11), (9, 9), (5, 6, 7)):
        assert part_faults(truth, part_of(*numbers), (), is_damaged=True) == []
    assert "are shown" in part_faults(truth, part_of(8, 9, 9), (), is_damaged=False)[0]
    for numbers in ((4, 5, 5, 8), (4, None, 7, 8), (None, 5, 6), (13, 14, 14)):
        assert "are shown" in part_faults(truth, part_of(*numbers), (), is_damaged=True)[0]


def test_audio_that_is_crowded_or_off_is_a_fault(healthy: tuple[Truth, Played]) -> None:
    truth, played = healthy
    first = played.tracks[0].packets[0][0]
    crowded = moved(played, {n: first - time for n, (time, *_) in enumerate(played.tracks[0].packets)})
    assert "are crowded into" in faults_of(truth, crowded)
    assert "off the frames" in faults_of(truth, moved(played, Fraction(1, 10)))
    assert faults_of(truth, moved(played, Fraction(1, 100))) == ""


def test_lost_audio_is_a_fault(healthy: tuple[Truth, Played]) -> None:
    truth, played = healthy
    track = played.tracks[0]
    silent = replace(played, tracks=[Sounds(track.codec, track.packets, track.seconds / 2)])
    assert "decode of" in faults_of(truth, silent)


def test_a_subtitle_at_another_time_or_none_is_a_fault(healthy: tuple[Truth, Played]) -> None:
    truth, played = healthy
    text, start, end = played.cues[0]
    assert "is shown from" in faults_of(truth, replace(played, cues=[(text, start, end + 1)]))
    assert "is missing" in faults_of(truth, replace(played, cues=[("two", start, end)]))
