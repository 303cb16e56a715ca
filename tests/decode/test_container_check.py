import struct
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import pytest

from pipeline.decode.container_check import find_inflated_index, find_truncation
from pipeline.decode.source import open_source
from pipeline.errors import InputError
from pipeline.media.damage import damage_notice
from tests.support.clips.reading import count_frames, index_first, truncate, video_packets
from tests.support.fuzz.originals import make_originals
from tests.support.media import Clip, make_clip


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One whole clip of each kind."""
    return make_originals(tmp_path_factory.mktemp("originals"))


def test_complete_clips_of_each_kind_have_no_damage(originals: list[Path]) -> None:
    for path in originals:
        frames, damage = count_frames(path)
        assert frames >= 6, path.name
        assert not damage, (path.name, str(damage[0]))


KINDS = ["h264.mp4", "h264.mkv", "vp9.webm", "prores.mov", "h264.ts", "mpeg4.avi", "h264.flv", "gif.gif", "vp8.ogg"]


@pytest.mark.parametrize("name", [*KINDS, "moving.webp"])
def test_a_truncated_clip_is_decoded_to_its_end_with_damage(originals: list[Path], tmp_path: Path, name: str) -> None:
    whole = next(path for path in originals if path.name == name)
    path = tmp_path / name
    path.write_bytes(whole.read_bytes())
    if path.suffix in (".mp4", ".mov"):
        index_first(whole, path)
    content, counts = path.read_bytes(), []
    for share in (0.9, 0.8, 0.7, 0.6, 0.5, 0.3, 0.2, 0.1):
        path.write_bytes(content[: int(len(content) * share) | 1])
        with suppress(InputError):  # the first frame itself may be cut
            frames, damage = count_frames(path)
            counts.append(frames)
            assert damage
            assert "\n" not in damage_notice(damage)[0]
    assert any(0 < count < 12 for count in counts), counts


def test_a_matroska_block_that_is_skipped_is_damage(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mkv", Clip(pts=range(0, 4000, 40), time_base=Fraction(1, 1000)))
    content = bytearray(path.read_bytes())
    start = video_packets(path)[50][0]
    place = content.rfind(b"\xa1", start - 5, start)
    content[place] = 0
    path.write_bytes(content)
    assert f"damaged at byte {place}" in count_frames(path)[1][-1].reason


def test_a_recording_that_was_never_closed_is_complete_up_to_its_last_block(tmp_path: Path) -> None:
    """As browsers write: neither the segment nor its clusters have a length."""
    path = tmp_path / "live.mkv"
    with path.open("wb") as file:
        plain = type("Pipe", (), {"write": lambda self, data: file.write(data)})()
        with av.open(plain, "w", format="matroska", options={"live": "1"}) as container:
            _mux_squares(container)
    frames, damage = count_frames(path)
    assert (frames, damage) == (30, [])
    assert "last element" in count_frames(truncate(path, 0.8))[1][-1].reason


def _mux_squares(container: "av.container.OutputContainer") -> None:
    stream = container.add_stream("libx264", rate=30, options={"preset": "ultrafast"})
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    for number in range(30):
        frame = Clip().frame(number)
        frame.pts, frame.time_base = number, Fraction(1, 30)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def test_an_mp4_without_its_index_is_an_error(tmp_path: Path) -> None:
    path = truncate(make_clip(tmp_path / "clip.mp4"), 0.5)
    with pytest.raises(InputError, match=r"no readable index.*'mdat' box"):
        open_source(path)


def test_what_cannot_be_determined_counts_as_complete(tmp_path: Path) -> None:
    assert find_truncation(str(tmp_path / "not there.mp4"), "mov") is None
    assert find_truncation(str(make_clip(tmp_path / "clip.nut", Clip(codec="ffv1", options={}))), "nut") is None


def test_an_index_of_more_samples_than_bytes_is_refused(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", Clip(pts=(0, 512, 1024)))
    assert find_inflated_index(str(path)) is None
    data = bytearray(path.read_bytes())
    place = data.index(b"stsz") + 8
    data[place : place + 8] = struct.pack(">II", 1, 170_000_000)
    path.write_bytes(data)
    with pytest.raises(InputError, match="170000000 samples"):
        open_source(path)
