"""Damage of a video is found at its packet, and nowhere else."""

from fractions import Fraction
from pathlib import Path

import av
import pytest

from pipeline.decode.source import open_source
from pipeline.media.damage import Damage, DamageLog
from tests.support.clips.reading import count_frames, index_first, spoil, video_packets
from tests.support.media import SHARED, Audio, Clip, make_clip

EVERY_FIFTH = {"crf": "12", "preset": "ultrafast", "g": "5", "bf": "0"}


INTRA = {"preset": "ultrafast", "g": "1", "x264-params": "slices=2"}


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="no folder of real clips beside the checkout")
def test_real_clips_have_no_damage_and_neither_have_their_parts() -> None:
    whole = [path for path in sorted(SHARED.iterdir()) if "invalid" not in path.name]
    assert whole
    for path in whole:
        assert not count_frames(path)[1], path.name
        assert not count_frames(path, start_seconds=Fraction(1, 5), duration_seconds=Fraction(1))[1], path.name


def test_gaps_in_time_are_not_damage(tmp_path: Path) -> None:
    clip = Clip(pts=(0, 40, 80, 9000, 9040, 60_000), time_base=Fraction(1, 1000), audio=[Audio()])
    for ending in ("mkv", "mp4", "mov"):
        assert count_frames(make_clip(tmp_path / f"gaps.{ending}", clip)) == (6, [])


def test_a_start_in_an_open_gop_is_not_damage(tmp_path: Path) -> None:
    options = {"preset": "ultrafast", "bf": "3", "g": "10", "x264-params": "open-gop=1"}
    path = make_clip(
        tmp_path / "open.ts", Clip(pts=range(0, 3000 * 60, 3000), time_base=Fraction(1, 90000), options=options)
    )
    for start in (Fraction(1, 3), Fraction(7, 10), Fraction(1)):
        assert not count_frames(path, start_seconds=start)[1]


def test_a_concealed_frame_is_damage_at_its_packet(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", Clip(width=320, height=240, options=INTRA))
    seconds = spoil(path, 12, b"\x55" * 400, at=0.7)
    frames, damage = count_frames(path)
    assert frames == 30
    assert [(place.packet_index, place.seconds) for place in damage] == [(12, seconds)]
    assert "concealed" in damage[0].reason


@pytest.mark.parametrize("threads", [1, 4])
def test_a_lost_packet_is_damage_at_its_place_with_any_number_of_threads(tmp_path: Path, threads: int) -> None:
    path = make_clip(tmp_path / "clip.mp4", Clip(options=EVERY_FIFTH))
    seconds = spoil(path, 10, b"\xff" * 9999)
    frames, damage = count_frames(path, threads=threads)
    assert 25 <= frames < 30
    assert [(place.packet_index, place.seconds) for place in damage] == [(10, seconds)]


def test_frames_that_h265_silently_loses_are_damage(tmp_path: Path) -> None:
    options = {"preset": "ultrafast", "x265-params": "log-level=none:keyint=5:min-keyint=5:bframes=0"}
    path = make_clip(tmp_path / "clip.mp4", Clip(codec="libx265", options=options))
    place, _, seconds = video_packets(path)[10]
    content = bytearray(path.read_bytes())
    content[place + 4] ^= 0x7E
    path.write_bytes(content)
    frames, damage = count_frames(path)
    assert frames == 25
    assert [each.packet_index for each in damage] == [10, 11, 12, 13, 14]
    assert (damage[0].seconds, damage[0].reason) == (seconds, "the packet gave no frame")


def test_a_gap_in_a_transport_stream_is_damage(tmp_path: Path) -> None:
    clip = Clip(pts=range(0, 90 * 3000, 3000), time_base=Fraction(1, 90000))
    path = make_clip(tmp_path / "clip.ts", clip)
    place, _, seconds = video_packets(path)[45]
    content = path.read_bytes()
    path.write_bytes(content[: place - 188] + content[place + 188 :])
    (damage, *_) = count_frames(path)[1]
    assert damage.stream == "video"
    assert abs((damage.seconds or 0) - seconds) < Fraction(1, 2)


def test_damage_of_the_audio_is_damage_too(tmp_path: Path) -> None:
    clip = Clip(pts=range(0, 512 * 15, 512), audio=[Audio(seconds=Fraction(3))])
    path = index_first(make_clip(tmp_path / "long.mp4", clip), tmp_path / "first.mp4")
    with av.open(str(path)) as container:
        place = [packet.pos for packet in container.demux(audio=0) if packet.size][-9]
    path.write_bytes(path.read_bytes()[: (place or 0) + 7])
    _, damage = count_frames(path)
    assert any(each.stream == "audio 1" and (each.seconds or 0) > 2 for each in damage)


def test_only_damage_of_the_wanted_part_counts(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", Clip(pts=range(0, 512 * 90, 512), options=EVERY_FIFTH))
    spoil(path, 30, b"\xff" * 9999)
    assert len(count_frames(path)[1]) == 1
    assert not count_frames(path, duration_seconds=Fraction(1, 2))[1]
    assert not count_frames(path, start_seconds=Fraction(3, 2))[1]
    assert len(count_frames(path, start_seconds=Fraction(1, 2), duration_seconds=Fraction(1))[1]) == 1


def test_damage_has_no_packet_number_if_reading_started_elsewhere(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", Clip(options=EVERY_FIFTH))
    spoil(path, 10, b"\xff" * 9999)
    with open_source(path) as source:
        source.restart(Fraction(1, 6))
        list(source.items())
        (place,) = source.damage
    assert str(place).startswith("video at 0.333 s: ")
    assert place.as_json()["packet"] is None
    again = DamageLog("x")
    again.restore([place.as_json()])
    assert [each.as_json() for each in again.places] == [place.as_json()]
    again.add(Damage(10, Fraction(1, 3), "bad"))
    assert len(again.places) == 1


@pytest.mark.parametrize("codecs", [("mpeg2video", "libx264"), ("libx264", "mpeg2video"), ("libx264", "libx265")])
def test_a_change_of_the_codec_is_damage(tmp_path: Path, codecs: tuple[str, str]) -> None:
    """Decoders drop what they do not know, some of them silently; joined recordings have it."""
    options = {"libx264": {"preset": "ultrafast"}, "libx265": {"preset": "ultrafast", "x265-params": "log-level=none"}}
    parts = [
        make_clip(
            tmp_path / f"{codec}.ts",
            Clip(pts=range(30), time_base=Fraction(1, 30), codec=codec, options=options.get(codec, {})),
        )
        for codec in codecs
    ]
    joined = tmp_path / "in.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    count, damage = count_frames(joined)
    assert count < 40
    assert any("Invalid data" in place.reason or "no frame" in place.reason for place in damage)
