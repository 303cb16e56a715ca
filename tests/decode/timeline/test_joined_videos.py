"""Joined recordings whose frame size, aspect ratio or codec changes: nothing is dropped silently."""

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import pytest

from pipeline.decode.demuxer import MediaReader
from pipeline.decode.timeline.sequence_header import SequenceHeader
from pipeline.media.damage import MARKED_CORRUPT
from tests.support.fuzz.recordings import Recording, record, shown_number
from tests.support.media import Clip, make_clip

MPEG2 = Recording(codec="mpeg2video", sounds=())


def joined(path: Path, form: str, *pieces: Recording) -> Path:
    data = b""
    for piece in pieces:
        record(path, [piece], form=form)
        data += path.read_bytes()
    path.write_bytes(data)
    return path


def numbers(reader: MediaReader) -> list[int | None]:
    return [shown_number(cast(Any, frame).to_ndarray(format="gray")) for frame in reader.read()]


@pytest.mark.parametrize("change", [{"width": 96, "height": 64}, {"aspect": Fraction(16, 11)}])
@pytest.mark.parametrize(("form", "suffix"), [("mpeg", "mpg"), ("mpegts", "ts")])
def test_the_frame_before_a_change_is_not_lost(tmp_path: Path, form: str, suffix: str, change: dict[str, Any]) -> None:
    """FFmpeg's decoder holds one frame back, and drops it where it restarts."""
    second = Recording(first=12, codec="mpeg2video", sounds=(), **change)
    reader = MediaReader(str(joined(tmp_path / f"in.{suffix}", form, MPEG2, second)))
    assert numbers(reader) == list(range(24))
    # The counters of the packets of a transport stream do not continue at the joint.
    assert [place.reason for place in reader.damage.places] == [MARKED_CORRUPT] * (form == "mpegts")
    reader.close()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"pixel_format": "yuv420p"}, {"pixel_format": "yuv422p"}),
        ({"pixel_format": "yuv422p"}, {"pixel_format": "yuv420p"}),
        ({"codec": "mpeg1video"}, {"codec": "mpeg2video"}),
        ({"codec": "mpeg2video"}, {"codec": "mpeg1video"}),
    ],
)
@pytest.mark.parametrize(("form", "suffix"), [("mpeg", "mpg"), ("mpegts", "ts")])
def test_the_frame_before_another_chroma_format_or_codec_is_not_lost(
    tmp_path: Path, form: str, suffix: str, first: dict[str, Any], second: dict[str, Any]
) -> None:
    one, two = replace(MPEG2, **first), replace(MPEG2, first=12, **second)
    reader = MediaReader(str(joined(tmp_path / f"in.{suffix}", form, one, two)))
    assert numbers(reader) == list(range(24))
    reader.close()


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_frames_before_the_codec_that_ffmpeg_found_are_reported(tmp_path: Path, codec: str) -> None:
    """FFmpeg reads some seconds of a transport stream, and keeps the codec that it has met last."""
    first = Recording(codec=codec, sounds=())
    second = Recording(first=12, codec="mpeg2video", sounds=())
    reader = MediaReader(str(joined(tmp_path / "in.ts", "mpegts", first, second)))
    assert numbers(reader) == list(range(12, 24))
    place = reader.damage.places[-1]
    assert place.packet_index == 0
    assert re.fullmatch("1[12] packets gave no frame; the codec may change here", place.reason)
    reader.close()


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_the_frame_that_ffmpeg_loses_before_another_codec_moves_no_other(tmp_path: Path, codec: str) -> None:
    """FFmpeg's parser is closed with the packet that it holds; the last frame refers to it and shows anything."""
    first = replace(MPEG2, frames=40)
    second = Recording(first=40, codec=codec, sounds=())
    reader = MediaReader(str(joined(tmp_path / "in.ts", "mpegts", first, second)))
    frames = [cast(Any, frame) for frame in reader.read()]
    assert [shown_number(frame.to_ndarray(format="gray")) for frame in frames[:38]] == list(range(38))
    times = [(frame.pts - frames[0].pts) * reader.header.time_base / first.step for frame in frames]
    assert times == [*range(38), 39]
    assert reader.damage.places[-1].reason == "12 packets gave no frame; the codec may change here"
    reader.close()


@pytest.mark.parametrize(("codec", "frames", "packets"), [("libx264", 4, "4 packets"), ("libx265", 3, "3 packets")])
def test_a_few_packets_of_another_codec_at_the_end_are_reported(
    tmp_path: Path, codec: str, frames: int, packets: str
) -> None:
    """MPEG-2 may lose a frame of its own silently, but has no slices without a picture."""
    first, second = replace(MPEG2, frames=60), Recording(first=60, frames=frames, codec=codec, sounds=())
    reader = MediaReader(str(joined(tmp_path / "in.ts", "mpegts", first, second)))
    assert len(list(reader.read())) == 59
    assert reader.damage.places[-1].reason == f"{packets} gave no frame; the codec may change here"
    reader.close()


def test_a_recording_that_starts_between_key_frames_is_whole(tmp_path: Path) -> None:
    """What comes before the first key frame depends on frames that are not in the file."""
    options = {"g": "15", "keyint_min": "15", "bf": "0", "preset": "ultrafast", "sc_threshold": "0"}
    clip = Clip(pts=range(0, 30 * 3000, 3000), time_base=Fraction(1, 90_000), options=options)
    data = make_clip(tmp_path / "whole.ts", clip).read_bytes()
    packets = [data[place : place + 188] for place in range(0, len(data), 188)]
    starts = [number for number, each in enumerate(packets) if each[1] & 0x40 and each[1:3] == b"\x41\x00"]
    (tmp_path / "in.ts").write_bytes(b"".join(packets[: starts[0]] + packets[starts[1] :]))
    reader = MediaReader(str(tmp_path / "in.ts"))
    assert len(list(reader.read())) < 30
    assert not reader.damage.places
    reader.close()


def sequence(width: int, height: int, *, aspect: int = 1, progressive: int = 1, chroma: int = 1) -> Any:
    """A packet with a sequence header and its extension."""
    header = (
        b"\0\0\1\xb3" + (width % 4096 << 12 | height % 4096).to_bytes(3, "big") + bytes([aspect << 4 | 3]) + bytes(4)
    )
    bits = 1 << 20 | progressive << 11 | chroma << 9 | (width >> 12) << 7 | (height >> 12) << 5
    return header + b"\0\0\1\xb5" + bits.to_bytes(3, "big") + bytes(4)


def test_sequence_headers_tell_what_the_decoder_restarts_for() -> None:
    header = SequenceHeader()
    assert [
        header.has_changed(sequence(720, 576)),
        header.has_changed(sequence(720, 576)),
        header.has_changed(b"\0\0\1\0"),
    ] == [False] * 3
    assert not header.has_changed(sequence(720, 576, aspect=3))
    assert header.has_changed(sequence(720, 480, aspect=3))
    assert not header.has_changed(sequence(720, 480, aspect=3, progressive=0))
    assert header.has_changed(sequence(720, 576 + 4096, aspect=3))
    assert not header.has_changed(sequence(720, 576 + 4096, aspect=3)[:7])
    assert header.has_changed(sequence(720, 576 + 4096, chroma=2))
    assert header.has_changed(sequence(720, 480)[:12])
    assert not header.has_changed(sequence(720, 480))
