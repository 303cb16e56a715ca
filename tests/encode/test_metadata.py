from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.stream import Disposition

from pipeline.decode.source import open_source
from pipeline.encode.metadata import choose_metadata, stream_metadata
from pipeline.encode.planner import plan_output
from pipeline.media.containers import container_for
from tests.support import media
from tests.support.clips.extras import film, make_films
from tests.support.clips.transcoding import transcode, transcode_file
from tests.support.media import Audio, Clip, make_clip

MILLISECOND = Fraction(1, 1000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two films with everything that their containers support: film.mkv, film.mp4."""
    return make_films(tmp_path_factory.mktemp("films"))


def test_statistics_of_source_packets_are_dropped() -> None:
    old = {"BPS-eng": "1", "NUMBER_OF_FRAMES": "2", "_STATISTICS_TAGS": "BPS", "DURATION": "0:01", "ENCODER": "x"}
    assert stream_metadata(old | {"title": "T"}, "matroska", is_encoded=True) == {"title": "T"}
    assert stream_metadata(old | {"name": "T"}, "matroska", is_encoded=False) == {"title": "T", "ENCODER": "x"}


def test_mov_has_other_codes_for_some_languages(folder: Path, tmp_path: Path) -> None:
    transcode_file(folder / "film.mkv", tmp_path / "out.mov")
    after = film(tmp_path / "out.mov")
    assert [track.metadata.get("language") for track in after.of("audio")] == ["eng", "ger"]


def test_arbitrary_keys_are_kept(tmp_path: Path) -> None:
    said = {"title": "T", "com.apple.quicktime.make": "Apfel", "my_key": "mine"}
    path = make_clip(tmp_path / "in.mkv", Clip(pts=(0, 512), metadata=said))
    for ending in (".mp4", ".mov", ".mkv", ".webm"):
        _, plan = transcode_file(path, tmp_path / f"out{ending}")
        after = film(tmp_path / f"out{ending}")
        held = {key.casefold(): text for key, text in after.metadata.items()}
        assert {key: held.get(key) for key in said} == said
        assert plan.notices == ()


def test_an_mp4_with_a_cover_stores_only_known_keys(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", Clip(has_cover=True))
    with open_source(clip) as source:
        source.metadata = {"title": "T", "my_key": "mine"}
        plan = plan_output(source, tmp_path / "out.mp4")
        transcode(source, plan)
    assert ["(my_key)" in notice for notice in plan.notices] == [True]
    after = film(tmp_path / "out.mp4")
    assert (after.metadata["title"], len(after.of("cover"))) == ("T", 1)


def test_bytes_that_are_not_text_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "in.mkv"
    with av.open(str(path), "w", format="matroska", metadata_errors="surrogateescape") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width = stream.height = 32
        container.metadata["title"] = "\udcff\udcfe"
        container.set_chapters(
            [{"id": 1, "start": 0, "end": 9, "time_base": MILLISECOND, "metadata": {"title": "\udcff"}}]
        )
        container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(stream.encode(None))
    for ending in (".mkv", ".mp4", ".mov", ".webm"):
        transcode_file(path, tmp_path / f"out{ending}")
        after = film(tmp_path / f"out{ending}")
        assert after.metadata["title"] == "\udcff\udcfe"
        assert after.chapters[0][2]["title"] == "\udcff"


def timecoded(path: Path, timecode: str = "01:00:00:00") -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "ultrafast"})
        stream.width, stream.height = 64, 48
        stream.metadata["timecode"] = timecode
        for number in range(30):
            frame = av.VideoFrame(64, 48, "yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("ending", [".mov", ".mp4", ".mkv"])
def test_a_time_code_is_kept(tmp_path: Path, ending: str) -> None:
    _, plan = transcode_file(timecoded(tmp_path / "in.mov"), tmp_path / f"out{ending}")
    after = film(tmp_path / f"out{ending}")
    assert plan.notices == ()
    assert {key.casefold(): text for key, text in after.tracks[0].metadata.items()}["timecode"] == "01:00:00:00"
    assert len(after.of("data")) == (ending != ".mkv")
    assert plan.streams[0].entry["codec"] == "timecode"


def test_a_time_code_that_would_be_wrong_is_dropped_with_a_notice(tmp_path: Path) -> None:
    path = timecoded(tmp_path / "in.mov")
    _, plan = transcode_file(path, tmp_path / "out.mov", decoding={"start_seconds": Fraction(1, 2)})
    after = film(tmp_path / "out.mov")
    assert ["time code" in notice for notice in plan.notices] == [True]
    assert plan.streams[0].entry["action"] == "drop"
    assert after.of("data") == []


def test_a_time_code_that_the_container_does_not_support_is_dropped() -> None:
    said = {"timecode": "01:00:00:00", "title": "T"}
    found = choose_metadata(said, said, container_for("x.mp4"), Fraction(300), is_start_trimmed=False, has_cover=False)
    assert ["time code" in notice and "frame rate" in notice for notice in found.notices] == [True]
    assert (found.file, found.video) == ({"title": "T"}, {"title": "T"})


def test_languages_titles_and_dispositions_are_kept(tmp_path):
    audio = [
        Audio(metadata={"language": "eng", "title": "Film"}),
        Audio(metadata={"language": "deu", "title": "Kommentar"}),
    ]
    path = make_clip(tmp_path / "in.mkv", Clip(audio=audio, metadata={"title": "Ein Film", "artist": "wir"}))
    with av.open(str(path)) as container:
        dispositions = [int(stream.disposition) for stream in container.streams.audio]
    transcode_file(path, tmp_path / "out.mkv", tag={"comment": "painted"})
    after = media.contents(tmp_path / "out.mkv")
    assert [(data["language"], data["title"]) for data in after.audio_metadata] == [
        ("eng", "Film"),
        ("deu", "Kommentar"),
    ]
    assert after.audio_dispositions == dispositions
    assert {key.lower(): text for key, text in after.metadata.items()} | {
        "title": "Ein Film",
        "artist": "wir",
        "comment": "painted",
    } == {key.lower(): text for key, text in after.metadata.items()}


def test_a_default_track_stays_the_default(tmp_path):
    path = make_clip(tmp_path / "in.mp4", Clip(audio=[Audio(), Audio(hertz=880)]))

    with open_source(path) as source:
        source.other_streams[0].disposition = Disposition(0)
        source.other_streams[1].disposition = Disposition.default | Disposition.visual_impaired
        transcode(source, plan_output(source, tmp_path / "out.mkv"))
    after = media.contents(tmp_path / "out.mkv")
    assert after.audio_dispositions == [0, int(Disposition.default | Disposition.visual_impaired)]
