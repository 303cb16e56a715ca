"""A small file takes no gigabytes for its index, and no healthy clip is refused."""

import io
import os
import struct
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.decode.index import walk
from pipeline.decode.index.check import IndexGuard, check_index
from pipeline.decode.source import open_source
from pipeline.errors import InputError
from tests.support.clips.boxes import BOMBS, MANY, OVERLAPS, box, movie, sample_table, table, track
from tests.support.clips.reading import count_frames, index_first, read_piped
from tests.support.fuzz.originals import make_originals
from tests.support.media import Audio, Clip, make_clip
from tests.support.memory import MEBIBYTE, printed_by

PEAK = "import av, sys; from tests.support.memory import growth; print(growth(lambda: av.open(sys.argv[1])))"


def piped(data: bytes, step: int = 32_768) -> str | None:
    """Return what is wrong with ``data`` as a stream that arrives in pieces of ``step`` bytes."""
    guard = IndexGuard()
    pieces = [data[place : place + step] for place in range(0, len(data), step)]
    return next(filter(None, map(guard.find_fault, [*pieces, b""])), None)


@pytest.mark.parametrize("name", BOMBS)
def test_an_index_of_more_samples_than_bytes_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(BOMBS[name]())
    with pytest.raises(InputError, match=r"declares at least \d+ samples in \d+ bytes"):
        open_source(path)


@pytest.mark.parametrize("name", [name for name in BOMBS if "million" not in name])
def test_standard_input_has_the_same_limit(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(BOMBS[name]())
    with pytest.raises(InputError, match=r"declares at least \d+ samples after \d+ bytes"):
        read_piped(path, monkeypatch)


@pytest.mark.parametrize("name", ["plain", "edits", "fragment in mdat", "in the description"])
def test_the_limit_acts_wherever_the_stream_is_cut(name: str) -> None:
    assert "samples" in str(piped(BOMBS[name](), step=1))


def test_a_hole_in_a_file_holds_no_samples(tmp_path: Path) -> None:
    """A sparse file is as large as it likes and takes no space: two tracks took 5.6 GB of memory."""
    path = tmp_path / "clip.mp4"
    content = movie(*(track(sample_table(80_000_000), number=number) for number in (1, 2)))
    path.write_bytes(content)
    os.truncate(path, 200_000_000)
    with path.open("rb") as file:
        assert "declares at least 160000000 samples" in str(check_index(file, 200_000_000))


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux does")
@pytest.mark.parametrize("name", ["in dinf", "in the description", "edits"])
def test_ffmpeg_would_take_the_memory(tmp_path: Path, name: str) -> None:
    """Otherwise the limit guards nothing: what FFmpeg does has changed."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(BOMBS[name]())
    [taken] = printed_by(PEAK, str(path))
    assert int(taken) > 400 * MEBIBYTE


def test_a_compressed_index_is_refused() -> None:
    data = movie(box(b"cmov", bytes(64)))
    assert "compressed index" in str(check_index(io.BytesIO(data), len(data)))
    assert "compressed index" in str(piped(data))


def test_a_table_longer_than_its_box_is_refused() -> None:
    data = movie(track(box(b"stbl", box(b"stsc", b"\0\0\0\0\0\x0f\0\0", bytes(24)))))
    assert "longer than its box" in str(check_index(io.BytesIO(data), len(data)))
    assert "longer than its box" in str(piped(data))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("content", [b"", b"\0\0", b"\0" * 12, b"\0hdlr\0\0\0", box(b"name", bytes(70_000))])
def test_metadata_without_a_handler_ends_the_check(content: bytes) -> None:
    """The file may end there, as one that is cut short."""
    data = movie() + box(b"meta", content)
    assert check_index(io.BytesIO(data), len(data)) is None
    assert piped(data) is None


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", OVERLAPS)
def test_tables_that_share_their_bytes_are_not_all_read(name: str) -> None:
    """A megabyte of them took minutes and gigabytes."""
    data = OVERLAPS[name]()
    assert "more bytes than there are" in str(check_index(io.BytesIO(data), len(data)))
    assert piped(data) is not None


def test_no_healthy_clip_is_refused(tmp_path: Path) -> None:
    for path in make_originals(tmp_path):
        data = path.read_bytes()
        assert check_index(io.BytesIO(data), len(data)) is None, path.name
        assert piped(data, step=1000) is None, path.name


@pytest.mark.parametrize(
    "flags", ["faststart", "frag_keyframe+empty_moov", "dash+global_sidx", "frag_every_frame", "cmaf", "write_colr"]
)
def test_no_way_to_write_an_mp4_is_refused(tmp_path: Path, flags: str) -> None:
    whole = make_clip(tmp_path / "whole.mp4", Clip(audio=[Audio()]))
    path = tmp_path / "clip.mp4"
    with av.open(str(whole)) as before, av.open(str(path), "w", options={"movflags": flags}) as after:
        streams = [after.add_stream_from_template(stream) for stream in before.streams]
        for packet in before.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                after.mux(packet)
    data = path.read_bytes()
    assert piped(data, step=777) is None
    assert count_frames(path) == (30, [])


def test_what_looks_like_a_table_in_data_and_free_space_is_none(tmp_path: Path) -> None:
    noise = box(b"stsz", b"\0\0\0\0\0\0\0\1\xff\xff\xff\xff") + box(b"moof", box(b"traf", box(b"trun", b"\xff" * 32)))
    start = movie(track(sample_table(10)))
    data = start + box(b"free", b"junk" * 3, noise) + box(b"abcd", noise) + box(b"mdat", noise)
    assert check_index(io.BytesIO(data), len(data)) is None
    assert piped(data) is None


def test_pcm_audio_of_hours_may_be_piped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its samples are millions, but FFmpeg's index has packets of 1024."""
    hours = movie(track(sample_table(2 * 3600 * 48_000, handler=b"soun", chunks=14_400), handler=b"soun"))
    assert piped(hours) is None
    audio = Audio(codec="pcm_s16le", seconds=Fraction(2))
    clip = make_clip(tmp_path / "clip.mov", Clip(audio=[audio]))
    index_first(clip, tmp_path / "first.mov")
    frames, packets = read_piped(tmp_path / "first.mov", monkeypatch)
    assert len(frames) == 30
    assert packets


def test_a_movie_of_many_cuts_is_not_refused() -> None:
    """A hundred edits of a clip in which each sample has its bytes."""
    data = movie(track(sample_table(5000), edits=100)) + box(b"mdat", bytes(5000))
    assert check_index(io.BytesIO(data), len(data)) is None
    assert piped(data) is None


class Counted(io.BytesIO):
    """Counts how often it is read, and how many bytes."""

    calls = total = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.calls += 1
        self.total += len(data)
        return data


def test_little_of_a_large_file_is_read() -> None:
    rng = np.random.default_rng(0)
    data = movie(track(sample_table(MANY // 4, chunks=1000))) + box(b"mdat", rng.bytes(16 * MEBIBYTE))
    file = Counted(data)
    assert check_index(file, len(data)) is None
    assert file.total < 2000


@pytest.mark.timeout(10)
@pytest.mark.parametrize("kind", [b"meta", b"stsd"])
def test_a_box_without_an_end_is_not_searched_without_end(tmp_path: Path, kind: bytes) -> None:
    """The last box of a stream may have no length; that of a file may be a hole of a terabyte."""
    assert piped(movie() + struct.pack(">I4s", 0, kind)) is None
    path = tmp_path / "clip.mp4"
    path.write_bytes(movie() + struct.pack(">I4sQ", 1, kind, 2**40))
    os.truncate(path, 2**40)
    with path.open("rb") as file:
        assert "descriptions have more than" in str(check_index(file, 2**40))


@pytest.mark.timeout(10)
def test_a_table_in_a_hole_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(movie() + struct.pack(">I4sQ4xI", 1, b"stsc", 2**40, 2**32 - 1))
    os.truncate(path, 2**40)
    with path.open("rb") as file:
        assert "table of 4294967295 entries" in str(check_index(file, 2**40))
        file.seek(0)
        assert "table of 4294967295 entries" in str(piped(file.read(2000)))


@pytest.mark.parametrize("parent", ["stsd", "meta"])
def test_a_table_in_a_stream_is_found_before_its_parent_ends(parent: str) -> None:
    bomb = table(b"trun", 2**31)
    padding = box(b"free", bytes(60_000))
    start = box(b"hdlr", bytes(4), b"mdir", bytes(20)) if parent == "meta" else bytes(40)
    data = movie() + box(parent.encode(), bytes(4), start, bomb, padding)
    guard = IndexGuard()
    assert "samples after" in str(guard.find_fault(data[: -len(padding) + 100]))


def fragments(count: int) -> bytes:
    """Return fragments of one frame of four bytes each: seven boxes in 108 bytes."""
    run = box(b"traf", table(b"tfhd", 1), table(b"tfdt", 0), table(b"trun", 1, 4))
    return (box(b"moof", table(b"mfhd", 1), run) + box(b"mdat", b"data")) * count


@pytest.mark.parametrize("boxes", [box(b"skip") * 8000, box(b"abcd", b"1234") * 8000, box(b"free") * 8000])
def test_many_small_boxes_are_read_together(boxes: bytes) -> None:
    """Each cost a call of the system and more: a megabyte of them 0.2 to 0.6 s, several times as long as in FFmpeg."""
    data = movie(track(sample_table(10))) + boxes
    file = Counted(data)
    assert check_index(file, len(data)) is None
    assert file.calls < 100


def test_an_absurd_number_of_boxes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "MAX_BOXES", 2000)  # otherwise it takes more than a gigabyte
    for boxes in (box(b"skip") * 8000, box(b"moof") * 8000, box(b"udta", box(b"abcd") * 8000)):
        data = movie(track(sample_table(10))) + boxes
        assert "more than 2000 boxes" in str(check_index(io.BytesIO(data), len(data)))
        assert "boxes; it is damaged or malicious" in str(piped(data))


def test_a_stream_of_tiny_fragments_has_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera may send for months."""
    monkeypatch.setattr(walk, "MAX_BOXES", 100)
    assert piped(movie(track(sample_table(10))) + fragments(2000)) is None
