"""Damaged input: painted as far as it decodes, each place named, exit code 7; with --strict an error."""

import json
import os
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from unittest.mock import Mock

import av
import pytest
from typer.testing import CliRunner

import cli
from pipeline.config import DecodeConfig
from pipeline.decode.container_check import find_truncation
from pipeline.decode.demuxer import MediaReader
from pipeline.decode.source import open_source
from pipeline.errors import DAMAGED_INPUT, InputError
from pipeline.media.damage import Damage, DamageLog, damage_notice
from tests.support.fuzz import make_originals
from tests.support.media import SHARED, Clip, Sound, contents, make_clip

PLAIN = ["--style", "great-wave", "--engine", "eager", "--device", "cpu", "--stability", "none"]
EVERY_FIFTH = {"crf": "12", "preset": "ultrafast", "g": "5", "bf": "0"}
INTRA = {"preset": "ultrafast", "g": "1", "x264-params": "slices=2"}


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One whole clip of each kind."""
    return make_originals(tmp_path_factory.mktemp("originals"))


def packets(path: Path) -> list[tuple[int, int, Fraction]]:
    """Byte place, size and seconds of the video packets."""
    with av.open(str(path)) as container:
        found = [packet for packet in container.demux(video=0) if packet.size]
        return [(packet.pos or 0, packet.size, (packet.pts or 0) * packet.time_base) for packet in found]


def spoil(path: Path, number: int, data: bytes, *, at: float = 0.0) -> Fraction:
    """Overwrite the packet with this number from a part of its length on; its seconds."""
    place, size, seconds = packets(path)[number]
    content = bytearray(path.read_bytes())
    begin = place + int(size * at)
    part = data[: place + size - begin]
    content[begin : begin + len(part)] = part
    path.write_bytes(content)
    return seconds


def read(path: Path, **config: object) -> tuple[int, list[Damage]]:
    """Number of frames, and what was noted."""
    with open_source(path, DecodeConfig(**config)) as source:  # type: ignore[arg-type]
        count = sum(isinstance(item, av.VideoFrame) for item in source.items())
        return count, list(source.damage)


def cut(path: Path, share: float) -> Path:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


def run(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


# --- no false alarm ---


def test_whole_clips_of_each_kind_are_whole(originals: list[Path]) -> None:
    for path in originals:
        frames, damage = read(path)
        assert frames >= 6, path.name
        assert not damage, (path.name, str(damage[0]))


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="no folder of real clips beside the checkout")
def test_real_clips_are_whole_and_so_are_their_parts() -> None:
    whole = [path for path in sorted(SHARED.iterdir()) if "invalid" not in path.name]
    assert whole
    for path in whole:
        assert not read(path)[1], path.name
        assert not read(path, start_seconds=Fraction(1, 5), duration_seconds=Fraction(1))[1], path.name


def test_gaps_in_time_are_no_damage(tmp_path: Path) -> None:
    clip = Clip(pts=(0, 40, 80, 9000, 9040, 60_000), time_base=Fraction(1, 1000), sounds=[Sound()])
    for ending in ("mkv", "mp4", "mov"):
        assert read(make_clip(tmp_path / f"gaps.{ending}", clip)) == (6, [])


def test_a_start_inside_an_open_group_is_no_damage(tmp_path: Path) -> None:
    options = {"preset": "ultrafast", "bf": "3", "g": "10", "x264-params": "open-gop=1"}
    path = make_clip(
        tmp_path / "open.ts", Clip(pts=range(0, 3000 * 60, 3000), time_base=Fraction(1, 90000), options=options)
    )
    for start in (Fraction(1, 3), Fraction(7, 10), Fraction(1)):
        assert not read(path, start_seconds=start)[1]


# --- what is found ---


def test_a_concealed_picture_is_named_at_its_packet(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", Clip(width=320, height=240, options=INTRA))
    seconds = spoil(path, 12, b"\x55" * 400, at=0.7)
    frames, damage = read(path)
    assert frames == 30
    assert [(place.packet_index, place.seconds) for place in damage] == [(12, seconds)]
    assert "concealed" in damage[0].reason


@pytest.mark.parametrize("threads", [1, 4])
def test_a_lost_packet_is_named_at_its_place_whatever_the_threads(tmp_path: Path, threads: int) -> None:
    path = make_clip(tmp_path / "clip.mp4", Clip(options=EVERY_FIFTH))
    seconds = spoil(path, 10, b"\xff" * 9999)
    frames, damage = read(path, threads=threads)
    assert 25 <= frames < 30
    assert [(place.packet_index, place.seconds) for place in damage] == [(10, seconds)]


def test_pictures_that_h265_loses_without_a_word_are_named(tmp_path: Path) -> None:
    options = {"preset": "ultrafast", "x265-params": "log-level=none:keyint=5:min-keyint=5:bframes=0"}
    path = make_clip(tmp_path / "clip.mp4", Clip(codec="libx265", options=options))
    place, _, seconds = packets(path)[10]
    content = bytearray(path.read_bytes())
    content[place + 4] ^= 0x7E  # the kind of its first unit: nothing that a decoder knows, up to the next key frame
    path.write_bytes(content)
    frames, damage = read(path)
    assert frames == 25
    assert [each.packet_index for each in damage] == [10, 11, 12, 13, 14]
    assert (damage[0].seconds, damage[0].reason) == (seconds, "the packet gave no frame")


def test_a_gap_in_a_transport_stream_is_named(tmp_path: Path) -> None:
    clip = Clip(pts=range(0, 90 * 3000, 3000), time_base=Fraction(1, 90000))
    path = make_clip(tmp_path / "clip.ts", clip)
    place, _, seconds = packets(path)[45]
    content = path.read_bytes()
    path.write_bytes(content[: place - 188] + content[place + 188 :])
    (damage, *_) = read(path)[1]
    assert damage.stream == "video"
    assert abs((damage.seconds or 0) - seconds) < Fraction(1, 2)


def test_damage_of_the_sound_is_named_too(tmp_path: Path) -> None:
    clip = Clip(pts=range(0, 512 * 15, 512), sounds=[Sound(seconds=Fraction(3))])
    path = _index_first(make_clip(tmp_path / "long.mp4", clip), tmp_path)
    with av.open(str(path)) as container:
        place = [packet.pos for packet in container.demux(audio=0) if packet.size][-9]
    path.write_bytes(path.read_bytes()[: (place or 0) + 7])
    _, damage = read(path)
    assert any(each.stream == "audio 1" and (each.seconds or 0) > 2 for each in damage)


def test_a_matroska_block_that_is_skipped_is_named(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mkv", Clip(pts=range(0, 4000, 40), time_base=Fraction(1, 1000)))
    content = bytearray(path.read_bytes())
    begin = packets(path)[50][0]
    place = content.rfind(b"\xa1", begin - 5, begin)
    content[place] = 0
    path.write_bytes(content)
    assert f"damaged at byte {place}" in read(path)[1][-1].reason


KINDS = ["h264.mp4", "h264.mkv", "vp9.webm", "prores.mov", "h264.ts", "mpeg4.avi", "h264.flv", "gif.gif", "vp8.ogg"]


@pytest.mark.parametrize("name", [*KINDS, "moving.webp"])
def test_a_clip_cut_short_is_painted_to_its_end_and_said(originals: list[Path], tmp_path: Path, name: str) -> None:
    whole = next(path for path in originals if path.name == name)
    path = tmp_path / name
    path.write_bytes(whole.read_bytes())
    if path.suffix in (".mp4", ".mov"):
        path.write_bytes(_index_first(whole, tmp_path).read_bytes())
    content, counts = path.read_bytes(), []
    for share in (0.9, 0.8, 0.7, 0.6, 0.5, 0.3, 0.2, 0.1):
        path.write_bytes(content[: int(len(content) * share) | 1])
        with suppress(InputError):  # the first picture itself may be cut
            frames, damage = read(path)
            counts.append(frames)
            assert damage
            assert "\n" not in damage_notice(damage)[0]
    assert any(0 < count < 12 for count in counts), counts


def _index_first(path: Path, folder: Path) -> Path:
    target = folder / f"first{path.suffix}"
    with av.open(str(path)) as before, av.open(str(target), "w", options={"movflags": "+faststart"}) as after:
        streams = [after.add_stream_from_template(stream) for stream in before.streams]
        for packet in before.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                after.mux(packet)
    return target


def test_a_recording_that_never_ended_is_whole_up_to_its_last_block(tmp_path: Path) -> None:
    """As browsers write: neither segment nor clusters know their length."""
    path = tmp_path / "live.mkv"
    with path.open("wb") as file:
        plain = type("Pipe", (), {"write": lambda self, data: file.write(data)})()
        with av.open(plain, "w", format="matroska", options={"live": "1"}) as container:
            _mux_squares(container)
    frames, damage = read(path)
    assert (frames, damage) == (30, [])
    assert "last element" in read(cut(path, 0.8))[1][-1].reason


def _mux_squares(container: "av.container.OutputContainer") -> None:
    stream = container.add_stream("libx264", rate=30, options={"preset": "ultrafast"})
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    for number in range(30):
        frame = Clip().frame(number)
        frame.pts, frame.time_base = number, Fraction(1, 30)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def test_an_mp4_without_its_index_is_told_so(tmp_path: Path) -> None:
    path = cut(make_clip(tmp_path / "clip.mp4"), 0.5)
    with pytest.raises(InputError, match=r"no readable index.*'mdat' box"):
        open_source(path)


def test_what_cannot_be_told_is_whole(tmp_path: Path) -> None:
    assert find_truncation(str(tmp_path / "not there.mp4"), "mov") is None
    assert find_truncation(str(make_clip(tmp_path / "clip.nut", Clip(codec="ffv1", options={}))), "nut") is None


def test_only_the_wanted_part_counts(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", Clip(pts=range(0, 512 * 90, 512), options=EVERY_FIFTH))
    spoil(path, 30, b"\xff" * 9999)
    assert len(read(path)[1]) == 1
    assert not read(path, duration_seconds=Fraction(1, 2))[1]
    assert not read(path, start_seconds=Fraction(3, 2))[1]
    assert len(read(path, start_seconds=Fraction(1, 2), duration_seconds=Fraction(1))[1]) == 1


# --- the log ---


def test_the_log_keeps_each_place_once_and_takes_over_what_was_noted_before() -> None:
    log = DamageLog("x")
    log.add(Damage(3, Fraction(1, 3), "bad"))
    log.add(Damage(4, Fraction(1, 3), "worse"))
    log.add(Damage(5, None, "bad"))
    again = DamageLog("x")
    again.restore([place.as_json() for place in log.places])
    again.add(Damage(0, Fraction(1, 3), "bad"))
    assert [place.packet_index for place in again.places] == [3, 5]
    assert [place.as_json() for place in again.places] == [place.as_json() for place in log.places]


def test_what_an_earlier_run_noted_is_an_error_too_where_that_is_asked_for() -> None:
    log = DamageLog("clip.mp4", strict=True)
    log.restore([])
    with pytest.raises(InputError, match=r"clip\.mp4: is damaged \(video packet 3 at 1\.000 s: bad\)"):
        log.restore([Damage(3, Fraction(1), "bad").as_json()])


def test_a_place_is_looked_for_among_the_newest_alone() -> None:
    """Else a clip with thousands of damages takes their square in time."""
    log = DamageLog("x")
    for number in range(300):
        log.add(Damage(number, Fraction(number), "bad"))
    assert not log.move(range(50, 52), 50, Fraction(50))
    assert log.move(range(298, 300), 297, Fraction(297))
    assert [place.packet_index for place in log.places[-2:]] == [297, 299]


def test_the_notice_names_the_first_three_places() -> None:
    places = [Damage(number, Fraction(number), "bad") for number in range(5)]
    (line,) = damage_notice(places)
    assert line.startswith("5 places of the input could not be read")
    assert "video packet 2 at 2.000 s: bad; and 2 more" in line
    assert damage_notice([]) == []


def test_where_reading_began_elsewhere_no_number_of_a_packet_is_told(damaged: Path) -> None:
    with open_source(damaged) as source:
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


def test_a_decoder_is_at_rest_before_it_is_let_go_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Freeing it waits for its threads with Python's lock, for which PyAV's log may be waiting in them."""
    reader, steps = MediaReader(str(make_clip(tmp_path / "in.mp4"))), Mock()
    reader.close()
    monkeypatch.setattr(reader, "_video", steps.video)
    monkeypatch.setattr(reader, "_input", steps.input)
    reader.close()
    assert [step[0] for step in steps.mock_calls] == ["video.codec_context.flush_buffers", "input.close"]


# --- the file system below ---


def test_a_file_that_shrinks_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mkv", Clip(width=320, height=240, options={"qp": "1"}))
    with open_source(path) as source:
        items = source.items()
        next(items)
        os.truncate(path, path.stat().st_size // 2)
        with pytest.raises(InputError, match="shrank while it was read"):
            list(items)


def test_a_disk_that_fails_is_an_error_and_no_end_of_the_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = cut(make_clip(tmp_path / "clip.mkv"), 0.8)
    plain = open

    def fail(file: object, *arguments: object, **options: object) -> object:
        opened = plain(file, *arguments, **options)  # type: ignore[call-overload]
        if file == str(path):
            opened.close()
            raise OSError(5, "Input/output error")
        return opened

    with open_source(path) as source:
        monkeypatch.setattr("builtins.open", fail)
        with pytest.raises(InputError, match=r"cannot be read any further \(Input/output error\)"):
            list(source.items())


def test_a_file_that_is_taken_away_while_it_is_read_is_read_to_its_end(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mkv", Clip(width=320, height=240, options={"qp": "1"}))
    with open_source(path) as source:
        items = source.items()
        next(items)
        path.unlink()
        assert sum(isinstance(item, av.VideoFrame) for item in items) == 29


def test_a_demuxer_that_never_ends_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_clip(tmp_path / "clip.mkv", Clip(pts=range(0, 400, 40), time_base=Fraction(1, 1000)))
    reader = MediaReader(str(path))
    (packet, *_) = list(reader._input.demux(video=0))

    def endless(*arguments: object) -> object:
        while True:
            yield packet

    monkeypatch.setattr("pipeline.decode.demuxer.demux", endless)
    monkeypatch.setattr(reader, "_decode", lambda packet: [])
    with pytest.raises(InputError, match="packets without end"):
        list(reader.read())
    reader.close()


def test_a_demuxer_that_only_fails_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = MediaReader(str(make_clip(tmp_path / "clip.mkv")))

    def failing(*arguments: object) -> object:
        raise av.error.InvalidDataError(1, "Invalid data found")

    monkeypatch.setattr("pipeline.decode.demuxer.demux", failing)
    assert list(reader.read()) == []
    assert len(reader.damage.places) == 1
    reader.close()


# --- the command ---


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A clip with a hole in the picture at 1/3 s."""
    path = make_clip(tmp_path / "damaged.mp4", Clip(options=EVERY_FIFTH, sounds=[Sound()]))
    spoil(path, 10, b"\xff" * 9999)
    return path


def test_a_damaged_clip_is_painted_and_the_exit_code_says_so(tmp_path: Path, damaged: Path) -> None:
    target = tmp_path / "out.mp4"
    code, out, said = run("video", damaged, target, *PLAIN, "--json")
    assert code == DAMAGED_INPUT == 7
    result = json.loads(out)
    assert 25 <= result["frames"] == len(contents(target).times) < 30
    (place,) = result["damage"]
    assert set(place) == {"stream", "packet", "seconds", "reason"}
    assert (place["stream"], place["packet"]) == ("video", 10)
    assert place["seconds"] == pytest.approx(1 / 3, abs=1e-5)
    assert "note: 1 place of the input could not be read as written (video packet 10 at 0.333 s" in said


def test_a_whole_clip_exits_with_0(tmp_path: Path) -> None:
    code, out, _ = run("video", make_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4", *PLAIN, "--json")
    assert (code, json.loads(out)["damage"]) == (0, [])


def test_strict_makes_damage_an_error_and_leaves_no_output(tmp_path: Path, damaged: Path) -> None:
    code, _, said = run("video", damaged, tmp_path / "out.mp4", *PLAIN, "--strict", "-q")
    assert code == 3
    assert "is damaged (video packet 1" in said  # a decoder with threads tells it late
    assert "--strict" in said
    assert not (tmp_path / "out.mp4").exists()


def test_strict_refuses_a_clip_cut_short_before_anything_is_painted(tmp_path: Path) -> None:
    path = cut(make_clip(tmp_path / "in.mkv"), 0.8)
    code, _, said = run("video", path, tmp_path / "out.mp4", *PLAIN, "--strict")
    assert code == 3
    assert "before the end of its Matroska segment" in said
    assert [file.name for file in tmp_path.iterdir()] == ["in.mkv"]


def test_sound_that_does_not_decode_is_named_where_it_is_converted(tmp_path: Path) -> None:
    clip = Clip(pts=range(0, 3000, 40), time_base=Fraction(1, 1000), sounds=[Sound(seconds=Fraction(3))])
    path = make_clip(tmp_path / "in.mkv", clip)
    with av.open(str(path)) as container:
        sound = [packet for packet in container.demux(audio=0) if packet.size]
        broken = [bytes(packet) for packet in sound if 1 <= packet.pts * packet.time_base < 2]
    content = path.read_bytes()
    for payload in broken:
        content = content.replace(payload, b"\xff" * len(payload), 1)
    path.write_bytes(content)
    code, out, _ = run("video", path, tmp_path / "out.webm", *PLAIN, "--json", "--start", "0.5")
    (place,) = json.loads(out)["damage"]
    assert (code, place["stream"]) == (DAMAGED_INPUT, "audio 1")
    assert place["seconds"] == pytest.approx(1, abs=0.03)
    code, _, said = run("video", path, tmp_path / "strict.webm", *PLAIN, "--strict")
    assert (code, (tmp_path / "strict.webm").exists()) == (3, False)
    assert "is damaged (audio 1 packet" in said
