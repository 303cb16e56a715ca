import sys
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import pytest

from pipeline.config import DecodeConfig
from pipeline.decode import source as source_module
from pipeline.decode.source import open_source
from pipeline.errors import InputError
from tests.support.clips.extras import make_films
from tests.support.media import Audio, Clip, make_clip, moving_square
from tests.support.memory import MEBIBYTE, growth


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two films with everything that their containers support: film.mkv, film.mp4."""
    return make_films(tmp_path_factory.mktemp("films"))


def side_packets_of(path: Path, form: str, **part: Fraction) -> list[tuple[Any, ...]]:
    """Return the side packets of a run that reads the file in one pass or in two."""
    with open_source(path, DecodeConfig(**part), with_side_packets=form == "one pass") as source:
        if form == "one pass":
            packets = [item for item in source.items() if isinstance(item, av.Packet)]
        else:
            assert not [item for item in source.items() if isinstance(item, av.Packet)]
            packets = list(source.packets([stream.index for stream in source.other_streams]))
        return [(p.stream_index, p.pts, p.dts, p.duration, p.time_base, bytes(p)) for p in packets]


@pytest.mark.parametrize("name", ["film.mkv", "film.mp4"])
@pytest.mark.parametrize(
    "part",
    [
        {},
        {"start_seconds": Fraction(1, 2)},
        {"start_seconds": Fraction(1, 3), "duration_seconds": Fraction(1)},
        {"duration_seconds": Fraction(9, 10)},
    ],
)
def test_a_second_pass_gives_what_the_first_would(folder: Path, name: str, part: dict[str, Fraction]) -> None:
    first, second = (
        side_packets_of(folder / name, "one pass", **part),
        side_packets_of(folder / name, "two passes", **part),
    )
    assert first
    assert sorted(first) == sorted(second)
    assert [packet[0] for packet in first] == [packet[0] for packet in second]


def test_a_second_pass_of_no_streams_opens_nothing(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mkv", Clip(audio=[Audio()]))
    with open_source(path, with_side_packets=False) as source:
        path.unlink()
        assert list(source.packets([])) == []
        with pytest.raises(InputError):
            list(source.packets([1]))


@pytest.mark.parametrize("name", ["late.mkv", "late.mp4", "late.mov", "late.ts"])
def test_audio_before_the_first_frame_is_not_lost_by_seeking(tmp_path: Path, name: str) -> None:
    """The wanted part starts so late that the second pass seeks, but there is no frame to seek to before its end."""
    audio = Audio(rate=8000, layout="mono", seconds=Fraction(80))
    late = range(76 * 15_360, 78 * 15_360, 512)
    path = make_clip(tmp_path / name, Clip(pts=late, audio=[audio], has_audio_first=name != "late.ts"))
    start = {"start_seconds": Fraction(65)}
    first = side_packets_of(path, "one pass", **start)
    assert len(first) > 100
    assert side_packets_of(path, "two passes", **start) == first


@pytest.mark.parametrize("form", ["one pass", "two passes"])
@pytest.mark.parametrize("name", ["apart.mkv", "apart.ts"])
def test_audio_that_is_stored_long_before_its_frames_is_not_lost_by_seeking(
    tmp_path: Path, name: str, form: str
) -> None:
    audio = Audio(rate=8000, layout="mono", seconds=Fraction(100))
    options = {"preset": "ultrafast", "g": "10"}
    path = make_clip(tmp_path / name, Clip(pts=range(0, 100 * 15_360, 7680), options=options, audio=[audio]))
    whole = [packet[-1] for packet in side_packets_of(path, "two passes")]
    late = [packet[-1] for packet in side_packets_of(path, form, start_seconds=Fraction(70))]
    assert len(late) > 200
    assert late == whole[-len(late) :]


def late_commentary(path: Path, *, megabytes: int) -> Path:
    """A clip of 100 s: one audio track has many bytes between 12 and 20 s, the other starts at 21 s."""
    with av.open(str(path), "w") as container:
        options = {"preset": "ultrafast", "g": "10"}
        video = cast(av.VideoStream, container.add_stream("libx264", rate=1, options=options))
        video.width, video.height = 64, 48
        loud, late = (cast(av.AudioStream, container.add_stream("pcm_s16le", rate=8000)) for _ in range(2))
        for second in range(100):
            frame = av.VideoFrame.from_ndarray(moving_square(second), "rgb24")
            frame.pts, frame.time_base = second, Fraction(1)
            container.mux(video.encode(frame))
            size = megabytes * MEBIBYTE // 8 if 12 <= second < 20 else 16
            for stream, content in ((loud, bytes(size)), (late, bytes(16) if second >= 21 else b"")):
                packet = av.Packet(content)
                packet.stream, packet.pts, packet.time_base = stream, second * 8000, Fraction(1, 8000)
                packet.dts, packet.duration = packet.pts, 8
                if content:
                    container.mux(packet)
        container.mux(video.encode(None))
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux does")
def test_packets_before_those_of_the_last_audio_are_not_all_kept(tmp_path: Path) -> None:
    path = late_commentary(tmp_path / "late.mkv", megabytes=60)
    with open_source(path, DecodeConfig(start_seconds=Fraction(72)), with_side_packets=False) as source:
        late: list[int] = []
        assert growth(lambda: late.extend(packet.stream_index for packet in source.packets([1, 2]))) < 30 * MEBIBYTE
    assert sorted(late) == [1] * 28 + [2] * 28


@pytest.mark.parametrize("start", [{}, {"start_seconds": Fraction(5)}])
def test_packets_before_the_first_frame_have_a_limit_in_one_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: dict[str, Fraction]
) -> None:
    """All of them were kept, as the output starts with the first frame."""
    monkeypatch.setattr(source_module, "MAX_EARLY_BYTES", 40_000)
    path = late_commentary(tmp_path / "late.mkv", megabytes=1)
    assert len(side_packets_of(path, "one pass", **start)) > 100
    late = range(12 * 15_360, 13 * 15_360, 512)
    audio = Audio(rate=8000, layout="mono", seconds=Fraction(12))
    path = make_clip(tmp_path / "first.mkv", Clip(pts=late, audio=[audio], has_audio_first=True))
    with pytest.raises(InputError, match="before its first frame, too much for a pipe"):
        side_packets_of(path, "one pass", **start)
    assert len(side_packets_of(path, "two passes", **start)) > 50
