"""Where long clips are split into segment jobs."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from pipeline.config import DecodeConfig
from pipeline.decode.demuxer import MediaReader
from pipeline.decode.source import Source, open_source
from pipeline.workers.partition import count_jobs, find_boundaries
from tests.support.workers.segment_jobs import BRIEF, config, make_clips


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clips(tmp_path_factory.mktemp("clips"))[None]


@pytest.fixture
def source(clip: Path) -> Iterator[Source]:
    with open_source(clip) as source:
        yield source


def test_only_long_clips_are_split(source: Source) -> None:
    assert count_jobs(source.info, 2) == 1
    long = replace(source.info, frame_count=1800)
    assert [count_jobs(long, workers) for workers in (1, 2, 3, 9)] == [1, 2, 3, 3]
    assert count_jobs(long, 2, are_busy=True) == 1
    assert count_jobs(replace(long, frame_count=None), 2) == 1
    assert count_jobs(replace(long, frame_count=100_000), 2) == 8


def test_only_the_surroundings_of_boundaries_are_decoded(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restart, starts = Source.restart, list[Fraction | None]()
    monkeypatch.setattr(Source, "restart", lambda self, seconds: starts.append(seconds) or restart(self, seconds))
    decode = DecodeConfig(start_seconds=Fraction(1, 2))
    with open_source(clip, decode) as source:
        trimmed = config(clip, tmp_path / "out.mkv", decode=decode)
        (boundary,) = find_boundaries(source, trimmed, 2, warm_up=BRIEF)
        assert source.first_frame_seconds == 0
    assert len(starts) == 1
    assert starts[0] is not None
    assert boundary.pts == 1000


def test_a_seek_that_fails_leaves_the_reader_at_the_start(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(self: MediaReader, seconds: Fraction) -> None:
        assert sum(1 for _ in self.read()) == 60
        raise av.error.PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(MediaReader, "seek", failing)
    source.restart(Fraction(1))
    assert sum(isinstance(item, av.VideoFrame) for item in source.items()) == 60
