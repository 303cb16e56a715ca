"""Clocks that restart or jump in the middle of a transport stream: all streams continue, and stay in step."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline.decode.source import open_source
from pipeline.decode.timeline.clock_samples import is_even
from tests.support.clips.reading import read, read_piped
from tests.support.clips.timelines import FRAMES, TICKS, joined, set_clock, stream
from tests.support.media import Audio

HOUR = 3600
STEP = Fraction(1, 30)
AUDIO_STEP = Fraction(1024, 48_000)
STARTS = {
    "the clock restarts": (10, 10),
    "it goes back": (20, 10),
    "it goes back by a frame": (10, 10 + (FRAMES - 2) * STEP),
    "it repeats a frame": (10, 10 + (FRAMES - 1) * STEP),
    "it wraps for FFmpeg": (1000, 10),
    "it jumps by hours": (10, 8 * HOUR),
    "it jumps several times": (10, 8 * HOUR, 10, 5, 26 * HOUR),
}


def times_of(path: Path) -> tuple[list[Fraction], list[Fraction]]:
    frames, packets = read(path)
    return [frame.seconds for frame in frames], [seconds for seconds, _ in packets[1]]


@pytest.mark.parametrize("suffix", [".ts", ".mpg"])
@pytest.mark.parametrize("starts", STARTS.values(), ids=STARTS)
def test_all_streams_continue_and_stay_in_step(tmp_path: Path, suffix: str, starts: tuple[Fraction | int, ...]) -> None:
    frames, packets = times_of(stream(tmp_path / f"one{suffix}", starts[0]))
    path = joined(tmp_path / f"in{suffix}", *starts)
    video, audio = times_of(path)
    length, audio_length = len(frames), len(packets)
    assert (len(video), len(audio)) == (length * len(starts), audio_length * len(starts))
    assert video[:length] == frames
    for part in range(len(starts)):
        offset = video[part * length] - frames[0]
        assert [time - offset for time in video[part * length : (part + 1) * length]] == frames
        # The other clock is so much finer that only the same offset fits.
        moved = [time - offset for time in audio[part * audio_length : (part + 1) * audio_length]]
        assert all(abs(time - true) <= TICKS for time, true in zip(moved, packets, strict=True))
    assert all(STEP / 2 < after - before < 3 * STEP for before, after in pairwise(video))
    assert all(AUDIO_STEP / 2 < after - before < 3 * STEP for before, after in pairwise(audio))


@pytest.mark.parametrize("suffix", [".ts", ".mpg"])
@pytest.mark.parametrize("starts", STARTS.values(), ids=STARTS)
def test_every_way_to_read_has_the_same_times(
    tmp_path: Path, suffix: str, starts: tuple[Fraction | int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = joined(tmp_path / f"in{suffix}", *starts)
    video, audio = times_of(path)
    if suffix == ".ts":  # FFmpeg guesses other times of an .mpg in a pipe, wherever its clock starts
        piped, packets = read_piped(path, monkeypatch)
        assert [frame.seconds for frame in piped] == video
        assert [seconds for seconds, _ in packets[1]] == audio
    with open_source(path, with_side_packets=False) as source:
        second = [packet.pts * packet.time_base for packet in source.packets([1]) if packet.pts is not None]
        assert second == audio
        for number in range(0, len(video), 7):
            source.restart(video[number])
            items = [item.pts * TICKS for item in source.items() if item.pts is not None]
            assert items[-1] == video[-1]
            assert items == video[-len(items) :]
            assert len(items) >= len(video) - number  # nothing is missing


@pytest.mark.parametrize("starts", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize("suffix", [".ts", ".mpg"])
@pytest.mark.parametrize("length", [Fraction(7, 20), Fraction(9, 20)])
def test_audio_that_ends_after_the_frames_stays_in_step(
    tmp_path: Path, length: Fraction, suffix: str, starts: tuple[Fraction | int, ...]
) -> None:
    """Its last packets are stored after the first frames of the next recording; only then is its end known."""
    sound = Audio(codec="ac3", seconds=length)  # a packet of it fills one of a transport stream
    frames, packets = times_of(stream(tmp_path / f"one{suffix}", starts[0], audio=sound))
    video, audio = times_of(joined(tmp_path / f"in{suffix}", *starts, audio=sound))
    assert (len(video), len(audio)) == (len(frames) * len(starts), len(packets) * len(starts))
    for part in range(len(starts)):
        offset = video[part * len(frames)] - frames[0]
        moved = [time - offset for time in audio[part * len(packets) : (part + 1) * len(packets)]]
        assert all(abs(time - true) <= TICKS for time, true in zip(moved, packets, strict=True))


def test_a_part_after_a_jump_is_found(tmp_path: Path) -> None:
    path = joined(tmp_path / "in.ts", 10, 10, 8 * HOUR)
    video, audio = times_of(path)
    start, length = video[2 * FRAMES + 3] - min(video[0], audio[0]), Fraction(1, 9)
    frames, packets = read(path, start_seconds=start, duration_seconds=length)
    inside = [time for time in video if 0 <= time - video[2 * FRAMES + 3] < length]
    assert [frame.seconds - frames[0].seconds for frame in frames] == [time - inside[0] for time in inside]
    assert frames[0].seconds < STEP
    assert len(packets[1]) == sum(0 <= time - video[2 * FRAMES + 3] < length for time in audio)


@pytest.mark.parametrize("starts", [(10,), *STARTS.values()], ids=["it runs on", *STARTS])
def test_the_length_is_known_before_reading(tmp_path: Path, starts: tuple[Fraction | int, ...]) -> None:
    with open_source(joined(tmp_path / "in.ts", *starts, count=30)) as source:
        assert source.info.duration_seconds == pytest.approx(len(starts), rel=0.1)
        assert source.info.frame_count == pytest.approx(30 * len(starts), rel=0.1)


@pytest.mark.parametrize("seconds", [0, 8 * HOUR])
def test_one_wrong_time_is_no_jump(tmp_path: Path, seconds: int) -> None:
    """The times of all other frames and packets stay."""
    path = stream(tmp_path / "in.ts", 30)
    video, audio = times_of(path)
    set_clock(path, 5, seconds)
    wrong, packets = times_of(path)
    assert packets == audio
    assert len(wrong) == len(video)
    assert sum(a != b for a, b in zip(wrong, video, strict=True)) <= 3
    assert all(abs(a - b) <= 3 * STEP for a, b in zip(wrong, video, strict=True))


@pytest.mark.parametrize("count", [10, 60])
def test_an_even_clock_is_not_read_twice(tmp_path: Path, count: int) -> None:
    path = stream(tmp_path / "in.ts", 10, count=count)
    assert is_even(str(path))
    assert not is_even(str(joined(tmp_path / "joined.ts", 10, 10, count=count)))
