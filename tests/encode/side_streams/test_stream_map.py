"""What happens to the streams of a source in each container."""

from pathlib import Path
from typing import ClassVar

import pytest
from av.stream import Disposition

from pipeline.config import EncodeConfig
from pipeline.decode.source import open_source
from pipeline.encode.planner import plan_output
from pipeline.encode.side_streams.stream_map import map_streams
from pipeline.media.containers import container_for
from tests.support.clips.extras import CHAPTERS, Film, film, make_films
from tests.support.clips.transcoding import transcode_file
from tests.support.media import Audio, Clip, make_clip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two films with everything that their containers support: film.mkv, film.mp4."""
    return make_films(tmp_path_factory.mktemp("films"))


def kinds(found: Film) -> list[tuple[str, str | None]]:
    return [(track.kind, track.codec) for track in found.tracks]


def same_packets(before: Film, after: Film, *of: str) -> None:
    for kind in of:
        assert [track.payloads for track in before.of(kind)] == [track.payloads for track in after.of(kind)]


def test_matroska_into_matroska_keeps_everything(folder: Path, tmp_path: Path) -> None:
    before = film(folder / "film.mkv")
    _, plan = transcode_file(folder / "film.mkv", tmp_path / "out.mkv")
    after = film(tmp_path / "out.mkv")
    assert plan.notices == ()
    assert kinds(after) == kinds(before)
    same_packets(before, after, "audio", "subtitle", "cover")
    assert after.tracks[3].payloads == before.tracks[3].payloads  # the further video
    assert after.chapters == before.chapters
    assert after.attachments == before.attachments
    assert [track.disposition for track in after.tracks] == [track.disposition for track in before.tracks]
    for kept, track in zip(before.tracks, after.tracks, strict=True):
        names = ("language", "title", "filename", "mimetype")
        assert {key: kept.metadata.get(key) for key in names} == {key: track.metadata.get(key) for key in names}


def test_mp4_into_mp4_keeps_everything(folder: Path, tmp_path: Path) -> None:
    before = film(folder / "film.mp4")
    _, plan = transcode_file(folder / "film.mp4", tmp_path / "out.mp4")
    after = film(tmp_path / "out.mp4")
    assert plan.notices == ()
    assert sorted(kinds(after)) == sorted(kinds(before))
    same_packets(before, after, "audio", "subtitle", "cover", "data")
    assert after.of("video")[1].payloads == before.of("video")[1].payloads
    assert after.chapters == before.chapters
    assert after.of("subtitle")[0].metadata["name"] == "Voll"
    assert after.of("data")[0].times == before.of("data")[0].times
    assert len(plan.streams) == len(before.tracks) - 1  # the track that repeats the chapters is none


@pytest.mark.parametrize(
    ("source", "target", "lines"),
    [
        (
            "film.mkv",
            "out.mp4",
            [
                "subtitle stream 4 (subrip, deu) becomes mov_text",
                "attachment stream 5 (Schrift.ttf) is dropped",
            ],
        ),
        (
            "film.mkv",
            "out.mov",
            [
                "subtitle stream 4 (subrip, deu) becomes mov_text",
                "attachment stream 5 (Schrift.ttf) is dropped",
                "cover image 6 (mjpeg) is dropped",
            ],
        ),
        (
            "film.mkv",
            "out.webm",
            [
                "audio stream 1 (aac, eng) becomes libopus",
                "audio stream 2 (ac3, deu) becomes libopus",
                "video stream 3 (h264) is dropped",
                "subtitle stream 4 (subrip, deu) becomes webvtt",
                "attachment stream 5 (Schrift.ttf) is dropped",
                "cover image 6 (mjpeg) is dropped",
            ],
        ),
        (
            "film.mp4",
            "out.mkv",
            [
                "subtitle stream 4 (mov_text, deu) becomes subrip",
                "data stream 5 (bin_data) is dropped",
            ],
        ),
    ],
)
def test_each_stream_that_is_not_copied_has_a_notice(
    folder: Path, tmp_path: Path, source: str, target: str, lines: list[str]
) -> None:
    _, plan = transcode_file(folder / source, tmp_path / target)
    after = film(tmp_path / target)
    assert [line.partition(":")[0] for line in plan.notices if "metadata" not in line] == lines
    carried = [plan for plan in plan.streams if plan.action != "drop"]
    assert len(after.tracks) + len(after.attachments) == 1 + len(carried)
    before = film(folder / source)
    assert [(begin, end, data["title"]) for begin, end, data in after.chapters] == list(CHAPTERS)
    assert after.of("subtitle")[0].cues[0].text == "Guten Tag"
    if target != "out.webm":
        same_packets(before, after, "audio")
    if target in ("out.mp4", "out.mkv"):
        same_packets(before, after, "cover")


def test_a_gif_has_one_notice_for_all_streams(folder: Path, tmp_path: Path) -> None:
    with open_source(folder / "film.mkv") as source:
        plan = plan_output(source, tmp_path / "out.gif")
    assert len([line for line in plan.notices if "stream" in line]) == 1
    assert "are dropped" in plan.notices[0]
    assert plan.carried == ()


def test_the_plan_describes_each_stream_after_the_source_is_closed(folder: Path) -> None:
    with open_source(folder / "film.mkv") as source:
        plan = plan_output(source, "-", EncodeConfig(streams="audio"))
    assert plan.streams[0].entry == {
        "index": 1,
        "type": "audio",
        "codec": "aac",
        "language": "eng",
        "action": "copy",
        "to": "aac",
        "reason": None,
    }
    assert plan.streams[3].entry["action"] == "drop"
    assert plan.streams[3].entry["reason"] == "left out by --streams audio"
    assert plan.streams[-1].entry["type"] == "cover"


@pytest.mark.parametrize(("streams", "left"), [("audio", ["audio", "audio"]), ("none", [])])
def test_streams_can_be_left_out_without_a_notice(folder: Path, tmp_path: Path, streams: str, left: list[str]) -> None:
    _, plan = transcode_file(folder / "film.mkv", tmp_path / "out.mkv", streams=streams)
    after = film(tmp_path / "out.mkv")
    assert [track.kind for track in after.tracks] == ["video", *left]
    assert (after.chapters, after.attachments, plan.notices) == ([], [], ())
    assert after.metadata["title"] == "Élan"


def test_an_unknown_choice_of_streams_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="streams must be one of all, audio, none, not 'some'"):
        EncodeConfig(streams="some")


def test_a_stream_of_an_unknown_kind_is_dropped() -> None:
    class Unknown:
        index, type, codec_context, language, name = 7, "data", None, None, None
        metadata: ClassVar[dict[str, str]] = {}
        disposition, discard = Disposition(0), 0

    plans, lines = map_streams([Unknown()], container_for("x.mov"))  # type: ignore[list-item]
    assert [plan.action for plan in plans] == ["drop"]
    assert ["data stream 7 is dropped" in line for line in lines] == [True]


def test_audio_for_a_gif_is_dropped_with_a_notice(tmp_path):
    path = make_clip(tmp_path / "in.mp4", Clip(audio=[Audio(metadata={"language": "fra"})]))
    report, plan = transcode_file(path, tmp_path / "out.gif")
    assert report.audio_packets == 0
    assert ["audio stream 1 (aac, fra) is dropped" in notice for notice in plan.notices] == [True]
