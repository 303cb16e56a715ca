from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from pipeline.config import DecodeConfig
from pipeline.decode.source import open_source
from pipeline.errors import InputError
from tests.support.extras import make_films
from tests.support.media import Audio, Clip, make_clip


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


@pytest.mark.parametrize("name", ["apart.mkv", "apart.ts"])
def test_audio_that_is_stored_long_before_its_frames_is_not_lost_by_seeking(tmp_path: Path, name: str) -> None:
    audio = Audio(rate=8000, layout="mono", seconds=Fraction(100))
    options = {"preset": "ultrafast", "g": "10"}
    path = make_clip(tmp_path / name, Clip(pts=range(0, 100 * 15_360, 7680), options=options, audio=[audio]))
    whole = [packet[-1] for packet in side_packets_of(path, "two passes")]
    late = [packet[-1] for packet in side_packets_of(path, "two passes", start_seconds=Fraction(70))]
    assert len(late) > 200
    assert late == whole[-len(late) :]
